"""Tests the contents of the wheels, and that every op runs from them in an environment without a compiler.

Only `--all` runs these tests, because they install PyTorch into an empty environment.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest
import torch
from filelock import FileLock  # PyTorch requires it

from shared_tests.routes import all_routes

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Wheel:
    """A package's wheel and the routes that must run from it.

    package: import name, which is also the folder of the project.
    routes: routes to run in the environment.
    extra: extra of the package, in brackets, to install.
    tag: regular expression for the tag in the file name (Python, ABI and platform).
    """

    package: str
    routes: tuple[str, ...]
    tag: str
    extra: str = ""

    @property
    def id(self) -> str:
        return f"{self.package}-{'-'.join(self.routes)}"


WHEELS = [
    Wheel("cpp_ext", ("cpp",), r"cp310-abi3-(linux|manylinux|macosx|win)\w*"),
    Wheel("mojo_ops", ("mojo_aot",), r"py3-none-(linux|manylinux|macosx)\w*"),
    Wheel("mojo_ops", ("mojo",), r"py3-none-(linux|manylinux|macosx)\w*", extra="[max]"),
]
# The same version of torch, without the local part, which package indexes do not have.
TORCH = f"torch=={torch.__version__.split('+')[0]}"

packages = pytest.mark.parametrize("wheel", WHEELS, ids=lambda w: w.id)
cpp_ext_only = pytest.mark.parametrize("wheel", WHEELS[:1], ids=lambda w: w.id)
pytestmark = [pytest.mark.full, pytest.mark.wheels]


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT, timeout: float = 900) -> str:
    """Runs a command, which must succeed, and returns its output."""
    process = subprocess.run(
        list(map(str, command)), env=env, cwd=cwd, timeout=timeout, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.returncode == 0, f"{' '.join(map(str, command))}\n{process.stdout[-4000:]}"
    return process.stdout


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function for named folders, each of which the first worker that needs it fills."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def fill(name: str, build: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                partial = shared / f"{name}.half"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                build(partial)
                partial.rename(folder)
        return folder

    return fill


@pytest.fixture(scope="session")
def build_wheel(session_folder):
    """Builds a package's wheel as `nox -s wheels` does."""

    def build(package: str) -> Path:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir")
        folder = session_folder(
            f"wheel_{package}", lambda to: run(*pip, to, ROOT / package, env={**os.environ, "PATH": path})
        )
        (wheel,) = folder.glob("*.whl")
        return wheel

    return build


def available(wheel: Wheel) -> None:
    if not (ROOT / wheel.package / "setup.py").exists():
        pytest.skip(f"{wheel.package} has no setup.py, so its wheel has no platform tag")
    for route in wheel.routes:
        if route not in all_routes():
            pytest.skip(f"there is no route {route}")


@packages
def test_contents(wheel: Wheel, build_wheel) -> None:
    """Checks name, tag, requirements, licence and library, and that no file is specific to this Python."""
    available(wheel)
    file = build_wheel(wheel.package)
    assert re.fullmatch(rf"{wheel.package}-[^-]+-{wheel.tag}\.whl", file.name), file.name
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        (metadata,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        facts = Parser().parsestr(archive.read(metadata).decode())
        (licence,) = (n for n in names if n.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert facts["License-Expression"] == "Apache-2.0 WITH LLVM-exception"
    assert "torch>=2.11" in facts.get_all("Requires-Dist", [])
    assert not [n for n in names if "_classic" in n or ".cpython-" in n]
    assert [n for n in names if n.endswith((".so", ".mef", ".dylib", ".pyd"))]


@dataclass(frozen=True)
class Environment:
    """A virtual environment, with environment variables whose PATH contains no programs."""

    folder: Path
    python: Path
    variables: dict[str, str]


@pytest.fixture(scope="session")
def environment(build_wheel, session_folder, tmp_path_factory: pytest.TempPathFactory):
    """Makes a virtual environment and installs a wheel with its requirements, once per session and wheel.

    All environments share a folder with PyTorch on their path, because unpacking it takes most of a minute.
    """
    environments: dict[str, Environment] = {}

    def make(wheel: Wheel) -> Environment:
        if wheel.id not in environments:
            folder = tmp_path_factory.mktemp(f"environment_{wheel.id}")
            run(sys.executable, "-m", "venv", "--without-pip", folder)
            scripts = folder / ("Scripts" if os.name == "nt" else "bin")
            variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "MODULAR"))}
            # excludes the environment's programs too, because modular installs the Mojo compiler there
            env = {**variables, "PATH": str(folder / "no-programs")}
            pip = (sys.executable, "-m", "pip")
            torch_folder = session_folder(
                "torch", lambda to: run(*pip, "install", "--quiet", "--target", to, TORCH, env=env)
            )
            code = "import sysconfig; print(sysconfig.get_path('purelib'))"
            packages = Path(run(scripts / "python", "-c", code, env=env).strip())
            (packages / "torch.pth").write_text(f"{torch_folder}\n")
            install = (*pip, "--python", scripts / "python", "install", "--quiet")
            run(*install, f"{build_wheel(wheel.package)}{wheel.extra}", TORCH, env=env)
            environments[wheel.id] = Environment(folder, scripts / "python", env)
        return environments[wheel.id]

    return make


@packages
def test_every_op_runs_without_a_compiler(wheel: Wheel, environment) -> None:
    """Runs the installed package in an environment whose PATH contains no programs."""
    available(wheel)
    installed = environment(wheel)
    variables = {**installed.variables, "PYTHONPATH": str(ROOT)}
    output = run(installed.python, "-m", "shared_tests.wheel_child", *wheel.routes, env=variables)
    for route in wheel.routes:
        assert re.search(rf"^{route}: [1-9]\d* calls of \d+ ops, 0 wrong$", output, re.MULTILINE), output
    code = f"import {wheel.package}; print({wheel.package}.__file__)"
    assert str(installed.folder) in run(installed.python, "-c", code, env=installed.variables, cwd=installed.folder)


@cpp_ext_only
def test_an_old_cpu_gets_an_error_that_names_what_it_lacks(wheel: Wheel, build_wheel) -> None:
    """Checks the level in the wheel against CPUs that support it and CPUs that do not."""
    require = importlib.import_module(f"{wheel.package}._cpu").require
    with zipfile.ZipFile(build_wheel(wheel.package)) as archive:
        level = archive.read(f"{wheel.package}/cpu_level.txt").decode()
    if level != "x86-64-v3":
        pytest.skip(f"the wheel of this machine is for {level or 'every CPU of its kind'}")
    sandy_bridge = {"cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3", "avx", "xsave"}
    haswell = sandy_bridge | {"abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
    require(level, haswell)
    require(level, None)
    with pytest.raises(ImportError, match=r"x86-64-v3.*lacks abm, avx2, bmi1, bmi2, f16c, fma, movbe;"):
        require(level, sandy_bridge)
    with pytest.raises(ImportError, match=r"lacks fma;"):
        require(level, haswell - {"fma"})


@cpp_ext_only
def test_an_old_cpu_is_noticed_before_the_library_is_loaded(wheel: Wheel, environment) -> None:
    """Imports the installed package with the /proc/cpuinfo of an old CPU."""
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("the system does not list the features of its CPU")
    code = f"""
import pathlib, sys
real = pathlib.Path.read_text
old = lambda self, *a, **k: "flags : sse2" if str(self) == "/proc/cpuinfo" else real(self, *a, **k)
pathlib.Path.read_text = old
try:
    import {wheel.package}
except ImportError as error:
    print(error, "{wheel.package}._C" in sys.modules)
"""
    installed = environment(wheel)
    output = run(installed.python, "-c", code, env=installed.variables, cwd=installed.folder)
    assert re.search(r"x86-64-v3.*avx2.*fma.* False$", output, re.MULTILINE), output
