"""The files of the catalogue: none is missing or orphaned, and imports go only one way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from shared_tests.emulator.mojo_bindings import binding
from shared_tests.op_files import ops_in
from shared_tests.spec import all_specs

ROOT = Path(__file__).resolve().parent.parent

# Folders that have one file per op, and the suffix of these files.
PLACES = [
    ("cpp_ext/csrc/cpu", ".cpp"),
    ("cpp_ext/csrc/cuda", ".cu"),
    ("cpp_ext/src/cpp_ext/ops", ".py"),
    ("mojo_ops/kernels", ".mojo"),
    ("mojo_ops/src/mojo_ops/ops", ".py"),
    ("mojo_ops/src/mojo_ops/max_graph", ".py"),
    ("shared_tests/ops", ".py"),
]


def missing_and_orphans(folder: str, suffix: str, root: Path = ROOT) -> tuple[set[str], set[str]]:
    existing = {op for p in (root / folder).glob(f"*{suffix}") for op in ops_in(p.stem)}
    required = set(all_specs())
    if folder.endswith("/max_graph"):  # MAX may have no operations for an op; its spec then says so
        required -= {name for name, spec in all_specs().items() if spec.no_max_graph}
    return required - existing, existing - required


@pytest.mark.parametrize(("folder", "suffix"), PLACES, ids=[p[0] for p in PLACES])
def test_every_op_has_its_file_and_every_file_its_op(folder: str, suffix: str) -> None:
    missing, orphans = missing_and_orphans(folder, suffix)
    assert not missing, f"no {[f'{folder}/{m}{suffix}' for m in sorted(missing)]}"
    assert not orphans, f"{[f'{folder}/{o}{suffix}' for o in sorted(orphans)]} belong to no spec in shared_tests/ops"


def test_samples_in_turn_are_of_ops_that_leave_their_arguments() -> None:
    """Samples in turn reuse their sets of arguments, so the op must not change them."""
    assert not [
        spec.name for spec in all_specs().values() if spec.mutates and any(s.in_turn for s in spec.bench_samples)
    ]


def test_orphan_and_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    for name in [*all_specs(), "lonely"]:
        (tmp_path / "kernels" / f"{name}.mojo").touch()
    (tmp_path / "kernels" / "add.mojo").unlink()
    assert missing_and_orphans("kernels", ".mojo", tmp_path) == ({"add"}, {"lonely"})


def imports_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("cpp_ext", {"mojo_ops", "shared_tests", "evidence"}),
        ("mojo_ops", {"cpp_ext", "shared_tests", "evidence"}),
        ("shared_tests", {"evidence"}),
    ],
)
def test_imports_run_one_way(folder: str, forbidden: set[str]) -> None:
    python = [p for p in (ROOT / folder).rglob("*.py") if "build" not in p.relative_to(ROOT).parts]
    assert len(python) >= 5
    violations = {
        str(p.relative_to(ROOT)): forbidden_imports for p in python if (forbidden_imports := imports_of(p) & forbidden)
    }
    assert not violations


@pytest.mark.parametrize("folder", ["cpp_ext", "mojo_ops"])
def test_outer_folders_are_no_packages(folder: str) -> None:
    """With an `__init__.py`, a checkout on sys.path would hide the installed package."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("op", all_specs())
def test_every_op_has_an_entry_to_its_gpu_code(op: str) -> None:
    """Every op has the struct that MAX, `nox -s targets` and the emulator call for its GPU code."""
    assert binding(op).kernel.name == op


def test_an_op_without_entry_to_its_gpu_code_is_named(tmp_path: Path) -> None:
    source = (ROOT / "mojo_ops/kernels/add.mojo").read_text()
    (tmp_path / "add.mojo").write_text(source.replace("struct Op(TorchOp)", "struct Other(TorchOp)"))
    with pytest.raises(LookupError, match=r"add\.mojo has no `struct Op\(TorchOp\)`"):
        binding("add", tmp_path)


def shared_names(source: str) -> list[str]:
    """The first lines of definitions in a C++ source that could clash with the same name in another file."""
    body = re.sub(r"^namespace \{$.*?^\}  // namespace$", "", source, flags=re.MULTILINE | re.DOTALL)
    body = re.sub(r"^template <.*>\nstatic ", "static ", body, flags=re.MULTILINE)
    kinds = "template|inline|constexpr|const|struct|class|enum|using|void|bool|int"
    return re.findall(rf"^(?:{kinds})\b.*$", body, re.MULTILINE)


def test_names_of_one_source_are_not_those_of_another() -> None:
    """Of two templates with the same signature in different files, the linker silently keeps only one."""
    assert shared_names("namespace a {\ntemplate <class T>\nvoid launch(T* x) {\n}\n}") == [
        "template <class T>",
        "void launch(T* x) {",
    ]
    assert shared_names("namespace {\nvoid launch() {\n}\n}  // namespace\nstatic void run() {\n}\n") == []
    for source in sorted((ROOT / "cpp_ext/csrc").glob("c[pu]*/*.c*")):
        assert shared_names(source.read_text()) == [], f"{source.name}: put this into an unnamed namespace"
