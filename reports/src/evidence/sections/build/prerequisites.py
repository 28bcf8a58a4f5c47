"""What has to be installed before the first build of a route: packages and bytes from records, seconds by installing.

PyTorch and what it brings are left out, since every route builds against them; its size is said beside. System packages
are counted and not installed: that would take root. What is installed is timed in a fresh virtual environment from
files that were downloaded before, so that nobody's network is measured.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from evidence.sections.build.row import BuildRow, Kind
from evidence.sections.build.stages import CHEAP, Cost, absent, row
from evidence.sections.build.recipes import LabSide
from evidence.core.child import run_command
from evidence.core.packages import HEADERS, NotCounted, Package, closure, headers, system_closure

KIND: Kind = "prerequisites"
SHARED = ("torch",)


def counted(side: LabSide) -> tuple[list[Package], list[Package], list[str]]:
    """Python packages beside PyTorch's, system packages, and what could not be counted."""
    shared = {package.name for package in closure(SHARED)}
    python = [package for package in closure(side.requirements) if package.name not in shared]
    system: dict[str, Package] = {}
    missing = []
    for program in side.programs:
        try:
            packages = headers() if program == HEADERS else system_closure(program)
            system.update({package.name: package for package in packages})
        except NotCounted:
            missing.append(f"{program} not counted: no package record of it here")
    return python, list(system.values()), missing


class Installer:
    """pip of an environment of its own, and the files that it has downloaded."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "installer" / "bin" / "python"
        self.wheels = folder / "wheels"
        self.downloaded: set[str] = set()

    def seconds(self, packages: Sequence[Package], repeats: int) -> list[Cost]:
        """Time of installing these packages at their versions, each time into a fresh environment; once where long.

        Raises:
            RuntimeError: pip or the files are not to be had here; the message is the reason.
        """
        wanted = [f"{package.name}=={package.version}" for package in packages]
        if not self.python.exists():
            self._need([sys.executable, "-m", "venv", str(self.folder / "installer")], 120)
        if new := sorted(set(wanted) - self.downloaded):
            self._need([*self._pip(), "download", "--no-deps", "--quiet", "--dest", str(self.wheels), *new], 300)
            self.downloaded |= set(new)
        costs = []
        for repeat in range(repeats):
            fresh = self.folder / f"fresh-{repeat}"
            self._need([sys.executable, "-m", "venv", "--clear", "--without-pip", str(fresh)], 60)
            offline = ("--no-deps", "--no-index", "--find-links", str(self.wheels))
            install = [*self._pip(), "--python", str(fresh / "bin" / "python"), "install", "--quiet", *offline, *wanted]
            done = run_command(install, self.folder, timeout=300, peak_memory=True)
            shutil.rmtree(fresh)  # up to a gigabyte
            if done.code != 0:
                raise RuntimeError(f"pip could not install: {done.error}")
            costs.append(Cost(done.seconds, done.peak_mb, done.cpu_seconds))
            if costs[0].seconds > CHEAP:
                break
        return costs

    def _pip(self) -> list[str]:
        return [str(self.python), "-m", "pip", "--disable-pip-version-check"]

    @staticmethod
    def _need(command: list[str], timeout: float) -> None:
        done = run_command(command, Path.cwd(), timeout=timeout)
        if done.code is None:
            raise RuntimeError(f"{' '.join(command[1:4])} did not end within {timeout:.0f} s")
        if done.code:
            lines = [line for line in done.output.splitlines() if line.strip()]
            errors = [line for line in lines if "error" in line.lower()]
            raise RuntimeError(f"{' '.join(command[1:4])}: {(errors or lines or ['no message'])[-1][:200]}")


def prerequisites_row(side: LabSide, installer: Installer | str, repeats: int) -> BuildRow:
    """The row of one route; `installer` is either an installer or the reason why nothing is installed."""
    try:
        python, system, missing = counted(side)
    except NotCounted as error:
        return absent(side.name, KIND, "did not run", f"not counted: {error}")
    torch = closure(SHARED)
    notes = [f"Python: {_sum(python)} ({', '.join(side.requirements)} and what they need)"]
    if side.documented:
        notes.append(f"with the documented “pip install {side.documented}”: {_sum(_documented(side.documented))}")
    notes += [f"system, for {', '.join(side.programs)}: {_sum(system)}"] if system else []
    notes += [*missing, f"apart, for every route: torch, {_sum(torch)}"]
    count = {
        "packages": len(python) + len(system),
        "install_bytes": sum(package.bytes for package in (*python, *system)),
    }
    why = installer if isinstance(installer, str) else ""
    if isinstance(installer, Installer):
        try:
            costs = installer.seconds(python, repeats)
            notes.append("seconds: pip into a fresh environment, Python packages only, files downloaded before")
            return row(side.name, KIND, costs, "; ".join(notes), **count)
        except RuntimeError as error:
            why = str(error)
    notes.append(f"seconds not measured: {why}")
    return absent(side.name, KIND, "did not run", "; ".join(notes), **count)


def _documented(name: str) -> list[Package]:
    """Packages that a documented package needs besides PyTorch's; empty if it is not installed."""
    try:
        packages = closure([name])
    except NotCounted:
        return []
    shared = {package.name for package in closure(SHARED)}
    return [package for package in packages if package.name not in shared]


def _sum(packages: Sequence[Package]) -> str:
    number = f"{len(packages)} package{'' if len(packages) == 1 else 's'}"
    return f"{number}, {sum(package.bytes for package in packages) / 1e6:.1f} MB"
