"""A built library in an environment with PyTorch and nothing else: no other package, and no program on PATH.

What a user of a wheel has: this interpreter with an import path of what the route's package asks for and the package
itself. PATH is empty, so neither a compiler nor the Mojo tools can be called.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from evidence.core import packages
from evidence.core.child import run_command
from evidence.core.machine import ROOT
from evidence.core.packages import NotCounted
from evidence.sections.install.footprint import requirements
from evidence.sections.install.row import UpgradeRow
from evidence.sections.install.upgrade_load import SECONDS, Tried, child, environment, judge
from shared_tests.route_table import facts


def try_bare(route: str) -> Tried:
    """Load and call a route's add in a bare environment."""
    try:
        specifiers = requirements(route, "run")
        names = {package.name for package in packages.closure(specifiers)}
    except NotCounted as error:
        return Tried(None, "did not run", str(error))
    with tempfile.TemporaryDirectory() as folder:
        packages.link_packages(names, Path(folder) / "packages")
        nothing = Path(folder) / "nothing"
        nothing.mkdir()
        env = environment(Path(folder) / "packages") | {"PATH": str(nothing)}
        # -S: nothing of this environment's own site-packages
        return judge(run_command([os.path.realpath(sys.executable), "-S", "-c", child(route)], ROOT, env, SECONDS))


def bare_rows(routes: Iterable[str], built_with: str, artifacts: dict[str, str]) -> list[UpgradeRow]:
    """One `upgrade` row of method `alone` for each built library; arguments as for `upgrade_load.load_rows`."""
    rows = []
    for route in routes:
        if route not in artifacts:
            continue
        attempt = try_bare(route)
        with_max = " and max" if facts()[route].needs_max else ""
        under = f"torch {attempt.torch or ''}{with_max} alone, nothing else installed"
        rows.append(attempt.row(artifacts[route], route, built_with, under, "alone"))
    return rows
