"""The two sides as things that are built: the command, the one-line edit, the process that uses the result."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evidence.core.child import Finished, run_command
from evidence.core.machine import ROOT
from shared_tests.route_table import facts


@dataclass(frozen=True)
class Edit:
    """A one-line change of the add kernel, from a sum to a difference, so that its effect can be seen in a result."""

    file: str
    old: str
    new: str

    def apply(self, copy: Path) -> None:
        """Change the copy.

        Raises:
            ValueError: the line is not there exactly once.
        """
        source = copy / self.file
        text = source.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {self.old!r} {text.count(self.old)} times, expected once")
        source.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Side:
    """One thing that is built: namespace of its ops, folder, build command (arguments of python, run in `cwd`), edit.

    `rebuild` is what a developer of one op runs after an edit, and `use` the Python that then takes up its result.
    """

    name: str
    namespace: str
    folder: str
    build: tuple[str, ...]
    cwd: str
    edit: Edit
    rebuild: tuple[str, ...]
    use: str

    def run_build(
        self, root: Path = ROOT, env: dict[str, str] | None = None, timeout: float = 900, edited: bool = False
    ) -> Finished:
        """Build the side in the checkout at `root`, or what has to be built after an edit of one op."""
        command = self.rebuild if edited else self.build
        return run_command([sys.executable, *command], root / self.cwd, env or environment(root), timeout, True)


def environment(root: Path, **extra: str) -> dict[str, str]:
    """The environment in which the checkout at `root` is the one that is imported."""
    paths = [root, root / "cpp_ext/src", root / "mojo_ops/src", root / "reports/src"]
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        **extra,
    }


_CPP_EDIT = Edit("cpp_ext/csrc/cpu/add.cpp", "return x + y;", "return x - y;")
_MOJO_EDIT = Edit(
    "mojo_ops/kernels/add.mojo",
    "up[width, alignment](a, i) + up[width, alignment](b, i)",
    "up[width, alignment](a, i) - up[width, alignment](b, i)",
)

SIDES = {
    "cpp": Side(
        "cpp",
        "cpp_ext",
        "cpp_ext",
        ("setup.py", "build_ext", "--inplace"),
        "cpp_ext",
        _CPP_EDIT,
        rebuild=("setup.py", "build_ext", "--inplace"),
        use=facts()["cpp"].load,
    ),
    "cpp_classic": Side(
        "cpp_classic",
        "cpp_classic",
        "cpp_ext",
        ("setup.py", "build_classic"),
        "cpp_ext",
        _CPP_EDIT,
        rebuild=("setup.py", "build_classic"),
        use=facts()["cpp_classic"].load,
    ),
    "mojo": Side(
        "mojo",
        "mojo_ops",
        "mojo_ops",
        ("-m", "mojo_ops.build", "--target", "cpu"),
        ".",
        _MOJO_EDIT,
        rebuild=("-m", "mojo_ops.build", "--target", "cpu", "--ops", "add", "--out", "edited"),
        use="import mojo_ops.engine; mojo_ops.engine.load('edited')",
    ),
    "mojo_aot": Side(
        "mojo_aot",
        "mojo_aot",
        "mojo_ops",
        ("-m", "mojo_ops.build", "--target", "aot"),
        ".",
        _MOJO_EDIT,
        rebuild=("-m", "mojo_ops.build", "--target", "aot", "--ops", "add", "--out", "edited"),
        use=f"{facts()['mojo_aot'].load}; mojo_ops.aot.load('edited')",
    ),
}


def sides_of(routes: list[str]) -> list[Side]:
    """The sides that the chosen routes need built."""
    needed = {name for route in routes for name in facts()[route].builds}
    return [side for name, side in SIDES.items() if name in needed]


class Copied(Protocol):
    """What can be copied: a name, and a folder of the checkout."""

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> str: ...


@contextmanager
def clean_copy(side: Copied, folder: Path, root: Path = ROOT) -> Iterator[Path]:
    """A copy of the side's sources in the checkout at `root` without anything built, deleted at the end."""
    copy = folder / f"copy-{side.name}"
    built = shutil.ignore_patterns("build", "*.so", "artifacts", "__pycache__", "*.egg-info", "dist")
    shutil.copytree(root / side.folder, copy / side.folder, ignore=built)
    try:
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)
