"""Install footprint: what a route needs to be built and to run, from package records, and what it ships itself.

What is needed is what the packages themselves declare: the build requirements and dependencies in `cpp_ext` and
`mojo_ops`. To run, the system's C library and C++ run-time library are not counted: PyTorch needs them as well.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from evidence.core.machine import ROOT
from evidence.sections.install import packages
from evidence.sections.install.packages import NotCounted, Package
from shared_tests.route_facts import CPP
from shared_tests.route_table import facts

Row = dict[str, Any]

ROUTES = tuple(name for name, route in facts().items() if route.ours or name == "eager")
HEADERS = "Python headers"


def declared(file: Path, key: str) -> list[str]:
    """A list of requirements in a pyproject.toml: those on the line that begins with `key =`.

    Raises:
        ValueError: the file has no such line with a list on it.
    """
    found = re.search(rf"^{re.escape(key)} = (\[.*\])$", file.read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{file} has no line `{key} = [...]`")
    return list(ast.literal_eval(found[1]))


def requirements(route: str, purpose: str, root: Path = ROOT) -> list[str]:
    """What a route asks of Python's package index, as its package declares it.

    Raises:
        ValueError: unknown route or purpose.
    """
    if route not in ROUTES or purpose not in ("build", "run"):
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
    if purpose != "build" or facts()[route].library is None:
        return []  # nothing is linked
    if facts()[route].side != CPP:
        return ["cc"]
    compiler = os.environ.get("CXX") or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), "c++")
    # setup.py builds GPU kernels for a PyTorch that has CUDA, and for no other
    return [compiler.split()[0], *(["nvcc"] if torch.version.cuda and shutil.which("nvcc") else [])]


def _row(route: str, purpose: str, kind: str, found: Package | str, message: str | None = None) -> Row:
    package = found if isinstance(found, Package) else None
    return {
        "route": route,
        "purpose": purpose,
        "package": package.name if package else found,
        "version": package.version or None if package else None,
        "bytes": package.bytes if package else None,
        "files": package.files if package else None,
        "kind": kind,
        "message": message,
    }


def python_rows(route: str, purpose: str, root: Path = ROOT) -> list[Row]:
    """The Python packages that a route brings along, or one row that says why they cannot be counted."""
    asked = requirements(route, purpose, root)
    if not asked:
        return []
    try:
        found = packages.closure(asked)
    except NotCounted as error:
        return [_row(route, purpose, "python package", ", ".join(asked), f"not counted: {error}")]
    return [_row(route, purpose, "python package", package) for package in found]


@cache
def _system(program: str) -> list[Package]:
    return headers() if program == HEADERS else packages.system_closure(program)


def headers() -> list[Package]:
    """The system package that has this Python's headers.

    Raises:
        NotCounted: there are none, or they belong to no package of dpkg.
    """
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise NotCounted(f"{header} is not there")
    if not shutil.which("dpkg-query"):
        raise NotCounted("there is no dpkg here, whose package records are the ones that are read")
    owners = packages.dpkg_query("-S", str(header.resolve()))
    if owners is None:
        raise NotCounted(f"{header} belongs to no package of dpkg: this Python was not installed by it")
    name = owners.split(":")[0]
    version, size = (packages.dpkg_query("-W", "-f", "${Version} ${Installed-Size}", name) or " 0").split(" ")
    return [Package(name, version, int(size) * 1024, packages.installed_files(name))]


def system_rows(route: str, purpose: str) -> list[Row]:
    """The system packages that a route's build needs, with what they bring along; what has no record says so."""
    asked = programs(route, purpose)
    if purpose == "build" and facts()[route].side == CPP:
        asked.append(HEADERS)
    rows: dict[str, Row] = {}
    for name in asked:
        try:
            for package in _system(name):
                rows[package.name] = _row(route, purpose, "system package", package, f"for {name}")
        except NotCounted as error:
            rows[name] = _row(route, purpose, "system package", name, f"not counted: {error}")
    return list(rows.values())


def artifact_rows(route: str, root: Path = ROOT) -> list[Row]:
    """What the build of a route leaves behind and a user of it carries along."""
    rows = []
    for pattern in facts()[route].artifacts:
        file = next(iter(sorted(root.glob(pattern))), None)
        if file is None:
            rows.append(_row(route, "run", "artifact", Path(pattern).name, "not counted: not built here"))
        else:
            rows.append(
                _row(route, "run", "artifact", Package(file.name, "", file.stat().st_size, 1)) | {"version": None}
            )
    return rows


def rows_of(routes: Iterable[str], root: Path = ROOT) -> list[Row]:
    """The `footprint` rows of the routes that install or build something; `eager`, PyTorch alone, is the base."""
    found: list[Row] = []
    for route in ROUTES:
        if route in routes:
            for purpose in ("build", "run"):
                found += python_rows(route, purpose, root) + system_rows(route, purpose)
            found += artifact_rows(route, root)
    return found
