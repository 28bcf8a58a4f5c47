"""The structure of the package: arrows between folders run one way, no circle, and a pack renders without torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import evidence
import pytest
from evidence.core.section import all_sections

PACKAGE = Path(evidence.__file__).parent
PACKS = PACKAGE.parents[1] / "packs"

LAYERS = ("core", "judge", "page", "commands", "sections")
"""Each may import those before it. Sections are on top of what collects them: that finds them by `declarations`."""

READ_WITHOUT_TORCH = ("row", "judge", "page", "figures")
"""Modules of a section that render a pack on any machine."""


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(file: Path) -> set[str]:
    """The modules of this package that a file imports, including imports in functions and for type checkers."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            module = node.module or ""
            modules |= {name if (name := f"{module}.{alias.name}") in MODULES else module for alias in node.names}
    return modules & MODULES.keys()


GRAPH = {name: imported(file) for name, file in MODULES.items()}


def layer(module: str) -> str | None:
    """`core`, `judge`, ..., or None for the package's own `__init__` and `__main__`."""
    part = module.split(".")[1:2]
    return part[0] if part and part[0] in LAYERS else None


def section(module: str) -> str | None:
    """The section that a module belongs to."""
    parts = module.split(".")
    return parts[2] if parts[1:2] == ["sections"] and len(parts) > 2 else None


def test_no_import_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_arrows_between_folders_run_one_way():
    backwards = [
        f"{module} imports {target}"
        for module, targets in GRAPH.items()
        for target in sorted(targets)
        if (mine := layer(module)) and (other := layer(target)) and LAYERS.index(other) > LAYERS.index(mine)
        # the folder of all sections, in which the contract looks for them
        if (module, target) != ("evidence.core.section", "evidence.sections")
    ]
    assert not backwards


def test_no_section_is_named_outside_of_its_folder():
    named = {
        module: target
        for module, targets in GRAPH.items()
        for target in targets
        if section(target) and section(target) != section(module)
    }
    assert not named


def test_children_are_started_in_one_place():
    """Nothing else kills a child with its descendants at its time limit and at Ctrl-C."""
    pattern = re.compile(r"^\s*(import|from) subprocess", re.MULTILINE)
    starting = {name for name, file in MODULES.items() if pattern.search(file.read_text())}
    assert starting == {"evidence.core.child"}


def run_without(blocked: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a child process in which a package cannot be imported."""
    block = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ImportError(f"{{name}} is imported")
sys.meta_path.insert(0, Blocked())
"""
    return subprocess.run(
        [sys.executable, "-c", block + code, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize(
    "pack", [min(PACKS.iterdir(), key=lambda folder: (folder / "pack.json.gz").stat().st_size)], ids=lambda p: p.name
)
def test_a_pack_is_judged_and_rendered_without_torch(pack, tmp_path):
    code = """
import importlib, shutil, sys
from pathlib import Path
source, folder = map(Path, sys.argv[1:3])
for name in sys.argv[3:]:
    importlib.import_module(name)
from evidence.core.pack import read_pack, write_pack
from evidence.judge.conclude import conclude
from evidence.page.report import render
pack = read_pack(source)
conclude(pack)
write_pack(pack, folder)
render(folder)
"""
    readers = [module for module in MODULES if layer(module) in ("judge", "page")]
    for name in all_sections():
        parts = (f"evidence.sections.{name}.{part}" for part in READ_WITHOUT_TORCH)
        readers += [module for module in parts if module in MODULES]
    child = run_without("torch", code, str(pack), str(tmp_path), *readers)
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "report.html").stat().st_size > 0


def test_torch_is_not_found_where_it_is_blocked():
    assert "torch is imported" in run_without("torch", "import torch").stderr
