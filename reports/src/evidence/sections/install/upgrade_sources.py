"""Whether the sources fit the headers of another release of PyTorch: the C++ by compiling it, the Mojo by its codes.

Nothing is linked. The Mojo library has PyTorch's numbers for dtypes and devices compiled in (torch_abi.mojo), which the
stable ABI leaves open; a static assertion on each tells whether they are those of the release.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from evidence.core.child import run_command
from evidence.core.machine import ROOT

_ABI = "mojo_ops/kernels/common/torch_abi.mojo"
# Of each route the one file that includes PyTorch; the kernels include none of it. The target is that of setup.py.
_FILES = {"cpp": "csrc/bindings/dispatcher.cpp", "cpp_classic": "csrc/classic/library.cpp"}
_CODES = {
    "UINT8": "c10::ScalarType::Byte",
    "FLOAT16": "c10::ScalarType::Half",
    "FLOAT32": "c10::ScalarType::Float",
    "BFLOAT16": "c10::ScalarType::BFloat16",
    "CPU": "c10::DeviceType::CPU",
}
_CODE = re.compile(r"^comptime (\w+) = Int32\((\d+)\)$", re.MULTILINE)
CODES = "codes of mojo"
_DECIDING = {
    "cpp": ("cpp_ext/setup.py", "cpp_ext/csrc/bindings/dispatcher.cpp"),
    "cpp_classic": ("cpp_ext/setup.py", "cpp_ext/classic_ops.py", "cpp_ext/csrc/classic/library.cpp"),
    CODES: (_ABI,),
}
"""And what these include of this checkout."""

_INCLUDE = re.compile(r'^#include "([\w/.]+)"', re.MULTILINE)
_TARGET = re.compile(r'^TORCH_TARGET = "(\w+)"', re.MULTILINE)


def _with_included(files: Iterable[str], root: Path) -> set[str]:
    """The files and those that they include, directly or not; what a build generates is left out."""
    included: set[str] = set()
    left = list(files)
    while left:
        file = left.pop()
        if file in included or not (root / file).is_file():
            continue
        included.add(file)
        left += [f"cpp_ext/csrc/{name}" for name in _INCLUDE.findall((root / file).read_text())]
    return included


def digest(route: str, root: Path = ROOT) -> str:
    """Hash of the sources of a route (or `CODES`) that use PyTorch; kernels include nothing of PyTorch."""
    hasher = hashlib.sha256()
    for file in sorted(_with_included(_DECIDING[route], root)):
        # without white space: a formatter's new line breaks decide nothing
        hasher.update(file.encode() + b"\0" + b"".join((root / file).read_bytes().split()))
    return hasher.hexdigest()


def code_assertions(abi: str) -> str:
    """C++ that compiles where the numbers in the text of torch_abi.mojo are PyTorch's.

    Raises:
        ValueError: the text lacks one of the numbers.
    """
    numbers = dict(_CODE.findall(abi))
    if lacking := sorted(set(_CODES) - set(numbers)):
        raise ValueError(f"torch_abi.mojo has no `comptime {lacking[0]} = Int32(...)`")
    lines = [f"static_assert(static_cast<int>({name}) == {numbers[code]});" for code, name in _CODES.items()]
    includes = ["#include <torch/headeronly/core/DeviceType.h>", "#include <torch/headeronly/core/ScalarType.h>"]
    return "\n".join([*includes, *lines, ""])


def compiler() -> str | None:
    """The C++ compiler's command, as setup.py finds it."""
    if os.environ.get("CXX"):
        return os.environ["CXX"]
    return next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)


def compile_sources(include: Path, root: Path = ROOT) -> dict[str, dict[str, str]]:
    """route or `CODES` -> outcome (`works`, `fails`), message, hash; `include` has the headers of a PyTorch.

    The C++ side is built: the sources of cpp_classic are written from its schemas.

    Raises:
        RuntimeError: there is no C++ compiler.
    """
    command = compiler()
    if command is None:
        raise RuntimeError("no C++ compiler found (looked for $CXX, c++, g++, clang++)")
    folder = root / "cpp_ext"
    target = _TARGET.search((folder / "setup.py").read_text())
    if target is None:
        raise RuntimeError(f"{folder / 'setup.py'} has no TORCH_TARGET")
    flags = {
        "cpp": [f"-DTORCH_TARGET_VERSION={target[1]}"],
        "cpp_classic": ["-DCPP_EXT_CLASSIC", "-DTORCH_EXTENSION_NAME=_classic"],
    }
    results = {}
    with tempfile.TemporaryDirectory() as generated:
        write = "import sys, pathlib, classic_ops as c; pathlib.Path(sys.argv[1], 'classic_ops.h').write_text("
        write += "c.generate(c.registered_ops()))"
        done = run_command([sys.executable, "-c", write, generated], folder)
        if done.code != 0:
            raise RuntimeError(f"classic_ops.h could not be written: {done.error}")
        paths = [generated, "csrc", include, include / "torch/csrc/api/include", sysconfig.get_paths()["include"]]
        codes = Path(generated, "codes.cpp")
        codes.write_text(code_assertions((root / _ABI).read_text()))
        for route, file in {**_FILES, CODES: str(codes)}.items():
            arguments = [
                "-std=c++20",
                "-fsyntax-only",
                "-w",
                *flags.get(route, []),
                *(f"-I{path}" for path in paths),
                file,
            ]
            done = run_command([*shlex.split(command), *arguments], folder)
            errors = [line for line in done.output.splitlines() if " error: " in line or " fatal error: " in line]
            message = f"{Path(file).name} compiles against its headers"
            if done.code != 0:
                message = f"{len(errors)} errors, the first: {errors[0] if errors else 'no message'}"
            outcome = "works" if done.code == 0 else "fails"
            results[route] = {"outcome": outcome, "message": message, "sha256": digest(route, root)}
    return results
