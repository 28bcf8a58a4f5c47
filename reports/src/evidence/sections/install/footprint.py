"""Install footprint: what a route needs to be built and to run, from package records, and what it ships itself.

What is needed is what the packages themselves declare: the build requirements and dependencies in `cpp_ext` and
`mojo_ops`. To run, the system's C library and C++ run-time library are not counted: PyTorch needs them as well.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

from evidence.core import packages
from evidence.core.machine import ROOT
from evidence.core.packages import HEADERS, NotCounted, Package
from evidence.sections.install.row import PURPOSES, FootprintRow, Kind, Purpose
from shared_tests.route_facts import CPP
from shared_tests.route_table import facts

ROUTES = tuple(name for name, route in facts().items() if route.ours or name == "eager")


def declared(file: Path, key: str) -> list[str]:
    """A list of requirements in a pyproject.toml: those on the line that begins with `key =`.

    Raises:
        ValueError: the file has no such line with a list on it.
    """
    match = re.search(rf"^{re.escape(key)} = (\[.*\])$", file.read_text(), re.MULTILINE)
    if not match:
        raise ValueError(f"{file} has no line `{key} = [...]`")
    return list(ast.literal_eval(match[1]))


def requirements(route: str, purpose: str, root: Path = ROOT) -> list[str]:
    """What a route asks of Python's package index, as its package declares it.

    Raises:
        ValueError: unknown route or purpose.
    """
    if route not in ROUTES or purpose not in PURPOSES:
        raise ValueError(
            f"route is {route!r} and purpose {purpose!r}, expected one of {', '.join(ROUTES)} and build or run"
        )
    if route == "eager":
        return ["torch"] if purpose == "run" else []
    cpp, mojo = root / "cpp_ext/pyproject.toml", root / "mojo_ops/pyproject.toml"
    record = facts()[route]
    if record.side == CPP:
        return declared(cpp, "requires" if purpose == "build" else "dependencies")
    if purpose == "run":
        return declared(mojo, "dependencies") + (declared(mojo, "max") if record.needs_max else [])
    if not record.artifacts:
        return []
    return [*declared(mojo, "requires"), *declared(mojo, "dependencies"), *declared(mojo, "build")]


def programs(route: str, purpose: str) -> list[str]:
    """System programs that a build starts: the C++ compiler, or the C compiler that `mojo build` links with."""
    if purpose != "build" or not facts()[route].library:
        return []  # nothing is linked
    if facts()[route].side != CPP:
        return ["cc"]
    compiler = os.environ.get("CXX") or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), "c++")
    # setup.py builds GPU kernels for a PyTorch that has CUDA, and for no other
    return [compiler.split()[0], *(["nvcc"] if torch.version.cuda and shutil.which("nvcc") else [])]


def _row(route: str, purpose: Purpose, kind: Kind, package: Package | str, message: str | None = None) -> FootprintRow:
    """The row of a package, or of one by its name that cannot be counted."""
    if isinstance(package, str):
        return FootprintRow(route=route, purpose=purpose, package=package, kind=kind, message=message)
    return FootprintRow(
        route=route,
        purpose=purpose,
        package=package.name,
        version=package.version or None,
        bytes=package.bytes,
        files=package.files,
        kind=kind,
        message=message,
    )


def python_rows(route: str, purpose: Purpose, root: Path = ROOT) -> list[FootprintRow]:
    """The Python packages that a route needs, or one row with the reason why they cannot be counted."""
    specifiers = requirements(route, purpose, root)
    if not specifiers:
        return []
    try:
        installed = packages.closure(specifiers)
    except NotCounted as error:
        return [_row(route, purpose, "python package", ", ".join(specifiers), f"not counted: {error}")]
    return [_row(route, purpose, "python package", package) for package in installed]


@cache
def _system(program: str) -> list[Package]:
    return packages.headers() if program == HEADERS else packages.system_closure(program)


def system_rows(route: str, purpose: Purpose) -> list[FootprintRow]:
    """The system packages that a route's build needs, with their dependencies; a row says if one has no record."""
    program_names = programs(route, purpose)
    if purpose == "build" and facts()[route].side == CPP:
        program_names.append(HEADERS)
    rows: dict[str, FootprintRow] = {}
    for name in program_names:
        try:
            for package in _system(name):
                rows[package.name] = _row(route, purpose, "system package", package, f"for {name}")
        except NotCounted as error:
            rows[name] = _row(route, purpose, "system package", name, f"not counted: {error}")
    return list(rows.values())


def artifact_rows(route: str, root: Path = ROOT) -> list[FootprintRow]:
    """What the build of a route leaves behind and a user of it carries along."""
    rows = []
    for pattern in facts()[route].artifacts:
        file = next(iter(sorted(root.glob(pattern))), None)
        if file is None:
            rows.append(_row(route, "run", "artifact", Path(pattern).name, "not counted: not built here"))
        else:
            rows.append(_row(route, "run", "artifact", Package(file.name, "", file.stat().st_size, 1)))
    return rows


def rows_of(routes: Iterable[str], root: Path = ROOT) -> list[FootprintRow]:
    """The `footprint` rows of the routes that install or build something; `eager`, PyTorch alone, is the base."""
    rows: list[FootprintRow] = []
    for route in ROUTES:
        if route in routes:
            for purpose in PURPOSES:
                rows += python_rows(route, purpose, root) + system_rows(route, purpose)
            rows += artifact_rows(route, root)
    return rows
