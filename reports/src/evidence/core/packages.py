"""What is installed, from package records alone: `RECORD` of Python packages, dpkg's list of system packages.

Nothing is guessed from the size of a folder: a package is counted with the files that its own record names, so what two
packages share is counted once. Compiled bytecode is left out, since it is made at the first import and not installed.
"""

from __future__ import annotations

import re
import shutil
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from evidence.core.child import run_command

HEADERS = "Python headers"
"""Stands for the system package of this Python's headers where programs are listed."""


class NotCounted(LookupError):
    """A package or program without a record here; the message names it and what was looked for."""


@dataclass(frozen=True)
class Package:
    """One installed package: name and version as recorded, `bytes` on disk, number of `files`."""

    name: str
    version: str
    bytes: int
    files: int


def closure(requirements: Iterable[str]) -> list[Package]:
    """The packages that `requirements` bring along, themselves included, as installed in this environment; by name.

    Follows `Requires-Dist` with the extras that are asked for, under this machine's markers. That the installed version
    satisfies a requirement is the installer's work and is not asked again.

    Raises:
        NotCounted: a requirement is not installed, or has no RECORD.
        ValueError: a requirement that cannot be parsed.
    """
    seen: set[tuple[str, str]] = set()
    packages: dict[str, Package] = {}
    open_requirements = [_parse(text) for text in requirements]
    while open_requirements:
        requirement = open_requirements.pop()
        name = canonicalize_name(requirement.name)
        # Without an extra stands "", so that markers that ask for one are false.
        for extra in sorted({"", *requirement.extras} - {extra for known, extra in seen if known == name}):
            seen.add((name, extra))
            packages.setdefault(name, _installed(name))
            open_requirements += _required(name, extra)
    return [packages[name] for name in sorted(packages)]


def _parse(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"requirement is {text!r}, expected a name with a version as pip takes it: {error}") from None


def _required(name: str, extra: str) -> list[Requirement]:
    environment = {**{key: str(value) for key, value in default_environment().items()}, "extra": extra}
    parsed = [_parse(text) for text in metadata.distribution(name).requires or ()]
    return [item for item in parsed if item.marker is None or item.marker.evaluate(environment)]


@cache
def _installed(name: str) -> Package:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise NotCounted(f"{name} is not installed in this environment, expected its package record") from None
    if distribution.read_text("RECORD") is None:
        raise NotCounted(f"{name} {distribution.version} has no RECORD, expected one as pip writes it")
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    sizes = [path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file()]
    return Package(str(distribution.metadata["Name"]), distribution.version, sum(sizes), len(sizes))


@dataclass(frozen=True)
class _Debian:
    """One entry of dpkg's list: `base` where every Debian system has it."""

    version: str
    bytes: int
    base: bool
    needs: tuple[str, ...]


_FIELDS = ("Package", "Version", "Installed-Size", "Essential", "Priority", "Pre-Depends", "Depends", "Provides")


def system_closure(program: str) -> list[Package]:
    """The system packages that a program on the PATH brings along, its own included, by name; from dpkg's records.

    Leaves out what every Debian system has: essential packages and those of priority required. Bytes are dpkg's
    `Installed-Size`, which the package's builder wrote, in units of 1024.

    Raises:
        NotCounted: no such program, no dpkg here, or the program belongs to no package.
    """
    path = shutil.which(program)
    if not path:
        raise NotCounted(f"{program} is not on the PATH")
    if not shutil.which("dpkg-query"):
        raise NotCounted(f"{program}: there is no dpkg here, whose package records are the ones that are read")
    # The program itself, not a link such as /usr/bin/c++ -> /etc/alternatives/c++, and then the package that it is for.
    real = Path(path).resolve()
    owners = dpkg_query("-S", str(real))
    if owners is None:
        raise NotCounted(f"{program}: {real} belongs to no package of dpkg")
    listed, providers = _debian()
    reached: set[str] = set()
    waiting = [line.split(":")[0] for line in owners.splitlines()]
    while waiting:
        name = waiting.pop()
        name = name if name in listed else providers.get(name, name)
        if name in reached or name not in listed or listed[name].base:
            continue
        reached.add(name)
        waiting += listed[name].needs
    return [Package(name, listed[name].version, listed[name].bytes, installed_files(name)) for name in sorted(reached)]


@cache
def _debian() -> tuple[dict[str, _Debian], dict[str, str]]:
    """Installed packages by name, and which of them provides a virtual name."""
    shown = "\t".join(f"${{{field}}}" for field in _FIELDS) + "\n"
    records = dpkg_query("-W", "-f", shown) or ""
    listed: dict[str, _Debian] = {}
    providers: dict[str, str] = {}
    rows = [dict(zip(_FIELDS, line.split("\t"), strict=True)) for line in records.splitlines()]
    names = {row["Package"] for row in rows}
    for row in rows:
        providers.update(dict.fromkeys(_names(row["Provides"]), row["Package"]))
    for row in rows:
        # Of alternatives (“a | b”) the first one that is here, under its own name or as provided.
        groups = [_names(group.replace("|", ",")) for group in f"{row['Pre-Depends']},{row['Depends']}".split(",")]
        present = (next((n for n in group if n in names or n in providers), "") for group in groups)
        listed[row["Package"]] = _Debian(
            row["Version"],
            int(row["Installed-Size"] or 0) * 1024,
            row["Essential"] == "yes" or row["Priority"] == "required",
            tuple(name for name in present if name),
        )
    return listed, providers


def _names(field: str) -> list[str]:
    """Package names of a dependency field, without versions and architectures."""
    return [match[0] for part in field.split(",") if (match := re.match(r"[a-z0-9.+-]+", part.strip()))]


def installed_files(name: str) -> int:
    return sum(Path(line).is_file() for line in (dpkg_query("-L", name) or "").splitlines())


def dpkg_query(*arguments: str) -> str | None:
    """What dpkg's records say; None where it has no answer."""
    done = run_command(["dpkg-query", *arguments], Path.cwd(), timeout=60)
    return done.output if done.code == 0 else None


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
    owners = dpkg_query("-S", str(header.resolve()))
    if owners is None:
        raise NotCounted(f"{header} belongs to no package of dpkg: this Python was not installed by it")
    name = owners.split(":")[0]
    version, size = (dpkg_query("-W", "-f", "${Version} ${Installed-Size}", name) or " 0").split(" ")
    return [Package(name, version, int(size) * 1024, installed_files(name))]


def link_packages(names: Iterable[str], where: Path) -> None:
    """Makes a folder of links to what the packages have in site-packages: an import path with these and no others."""
    where.mkdir(parents=True, exist_ok=True)
    for name in names:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            link = where / top
            if not link.is_symlink():
                link.symlink_to(Path(str(distribution.locate_file(top))))
