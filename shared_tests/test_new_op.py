"""Tests which arguments `nox -s new_op` rejects, and that its files are formatted, compile and pass the suite."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shared_tests.emulator.cuda_build import compiler
from shared_tests.new_op.__main__ import main
from shared_tests.new_op.files import FOLDERS, write
from shared_tests.new_op.schema import Refused, read
from shared_tests.spec import OpSpec

ROOT = Path(__file__).resolve().parent.parent
# An op with all kinds of arguments, and one with the fewest.
OPS = {
    "written_mixed": "(Tensor x, Tensor y, Tensor z, int shift, bool flip, float gain) -> Tensor",
    "written_plain": "(Tensor x) -> Tensor",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folders that the written files need, with the files of `OPS`."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in (".clang-format", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    ignore_build_outputs = shutil.ignore_patterns("build", "*.so", "artifacts", "__pycache__", "*.egg-info")
    for folder in ("cpp_ext", "mojo_ops", "shared_tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore_build_outputs)
    for name, schema in OPS.items():
        write(read(name, schema, copy), copy)
    return copy


def written_files(checkout: Path, suffix: str) -> list[str]:
    return [str(p) for folder in FOLDERS.values() for p in (checkout / folder).glob(f"written_*{suffix}")]


def run(*command: str, cwd: Path, **environment: str) -> None:
    env = {**os.environ, **environment}
    process = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("name", "schema", "reason"),
    [
        ("add", "(Tensor x) -> Tensor", "is an op already"),
        ("sum8", "(Tensor x) -> Tensor", "is an op already"),
        ("infer", "(Tensor x) -> Tensor", "uses for something else"),
        ("Scaled", "(Tensor x) -> Tensor", "expected lower-case letters"),
        ("a__b", "(Tensor x) -> Tensor", "single underscores"),
        ("1x", "(Tensor x) -> Tensor", "a letter first"),
        ("lambda", "(Tensor x) -> Tensor", "Python, C++, Mojo"),
        ("double", "(Tensor x) -> Tensor", "Python, C++, Mojo"),
        ("comptime", "(Tensor x) -> Tensor", "Python, C++, Mojo"),
        ("scaled", "Tensor x -> Tensor", "PyTorch does not read"),
        ("scaled", "(Tensor? x) -> Tensor", "x has the type Optional[Tensor]"),
        ("scaled", "(Tensor[] x) -> Tensor", "x has the type List[Tensor]"),
        ("scaled", "(Tensor x, str mode) -> Tensor", "mode has the type str"),
        ("scaled", "(Tensor x, float s=1.0) -> Tensor", "s has a default"),
        ("scaled", "(Tensor(a!) x) -> ()", "expected one new tensor"),
        ("scaled", "(Tensor x) -> (Tensor, Tensor)", "expected one new tensor"),
        ("scaled", "(float s) -> Tensor", "at least one tensor"),
        ("scaled", "(float s, Tensor x) -> Tensor", "tensors first"),
        ("scaled", "(Tensor x, Tensor x) -> Tensor", "x stands twice"),
        ("scaled", "(Tensor out) -> Tensor", "use for something else"),
        ("scaled", f"({', '.join(f'Tensor t{i}' for i in range(9))}) -> Tensor", "at most 8"),
    ],
)
def test_what_cannot_be_written_is_refused(
    name: str, schema: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused) as refusal:
        read(name, schema, ROOT)
    assert reason in str(refusal.value)
    assert main([name, schema]) == 2
    assert reason in capsys.readouterr().err


def test_every_place_of_an_op_gets_its_file(checkout: Path) -> None:
    for name in OPS:
        files = [path for folder in FOLDERS.values() for path in (checkout / folder).glob(f"{name}.*")]
        assert len(files) == len(FOLDERS)
        for path in files:
            assert "$" not in path.read_text()


def test_written_files_are_formatted_and_linted(checkout: Path) -> None:
    python = written_files(checkout, ".py")
    run(sys.executable, "-m", "ruff", "check", *python, cwd=checkout)
    run(sys.executable, "-m", "ruff", "format", "--diff", *python, cwd=checkout)
    sibling = Path(sys.executable).with_name
    run(str(sibling("clang-format")), "--dry-run", "-Werror", *written_files(checkout, ".c[pu]*"), cwd=checkout)
    run(sys.executable, "-m", "mypy", "--follow-imports=silent", *python, cwd=checkout)


@pytest.mark.parametrize("name", OPS)
def test_written_spec_describes_the_op(name: str, checkout: Path) -> None:
    import_spec = importlib.util.spec_from_file_location(name, checkout / f"shared_tests/ops/{name}.py")
    assert import_spec is not None
    assert import_spec.loader is not None
    module = importlib.util.module_from_spec(import_spec)
    import_spec.loader.exec_module(module)
    spec: OpSpec = module.SPEC
    assert (spec.name, spec.schema) == (name, OPS[name])
    tensors = [value for value in spec.sized(2, torch.float64, "cpu") if isinstance(value, torch.Tensor)]
    expected = sum(tensors[1:], tensors[0]).square()
    if name == "written_mixed":  # the first value of each type: plus 3, negated, times 0.75
        expected = (expected + 3) * -0.75
    assert torch.allclose(spec.reference(*spec.sized(2, torch.float64, "cpu")), expected)


def test_written_cpp_compiles(checkout: Path) -> None:
    csrc = checkout / "cpp_ext/csrc"
    for file in written_files(checkout, ".cpp"):
        run(*compiler(), "-std=c++20", "-Wall", "-Wno-psabi", "-Werror", "-fsyntax-only", "-I.", file, cwd=csrc)


@pytest.mark.full
def test_written_ops_are_built_and_pass_the_suite(checkout: Path) -> None:
    """Runs the routes without an engine; only the written ops stay in the copy's C++ package, to shorten its build."""
    for kind in ("op.cpp", "op.cu", "cpp_ext.py"):
        for path in (checkout / FOLDERS[kind]).iterdir():
            if path.stem not in (*OPS, "__init__") and path.is_file():
                path.unlink()
    paths = (checkout, checkout / "cpp_ext/src", checkout / "mojo_ops/src")
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "FORCE_CPU": "1"}
    names, artifacts = ",".join(OPS), str(checkout / "mojo_ops/src/mojo_ops/artifacts")
    run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=checkout / "cpp_ext", **environment)
    build = ("mojo_ops.build", "--target", "aot", "--ops", names, "--out", artifacts)
    run(sys.executable, "-m", *build, cwd=checkout, **environment)
    tests = [f"shared_tests/test_{name}.py" for name in ("correctness", "errors", "autocast", "derivatives")]
    # Deselected, because it uses ops of the catalogue, which are not built in the copy.
    pytest_run = ("pytest", "-q", "-p", "no:xdist", "--ops", names, "--routes", "cpp,mojo_aot", *tests)
    pytest_run += ("-k", "not refusals_in_python")
    run(sys.executable, "-m", *pytest_run, cwd=checkout, **environment)
