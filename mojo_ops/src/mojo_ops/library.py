"""Builds the shared library of route mojo_aot with `mojo build`: the kernels behind PyTorch's stable C ABI."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Mojo's assertions end the process through a run-time library that the target machine may not have; every argument
# is checked before a kernel starts. Without -Bsymbolic the linker refuses the strings of a shared library (Mojo 1.2).
_FLAGS = ("--emit", "shared-lib", "-D", "ASSERT=none", "-D", "MOJO_OPS_WITHOUT_MAX=1", "-Xlinker", "-Bsymbolic")

_EXPORT = """

@export
def mojo_aot_{op}(stack: Stack, inputs: UInt64, outputs: UInt64) abi("C"):
    boxed[{op}, False](stack)


@export
def mojo_aot_{op}_out(stack: Stack, inputs: UInt64, outputs: UInt64) abi("C"):
    boxed[{op}, True](stack)
"""


def march() -> str:
    """CPU that the library is built for: $MOJO_OPS_MARCH, «native» without it; a wheel wants x86-64-v3."""
    return os.environ.get("MOJO_OPS_MARCH", "native")


def source(ops: Sequence[str]) -> str:
    """The library's root module: a C entry point for every op and its out variant."""
    imports = ["from kernels.torch_abi import Stack", "from kernels.torch_op import boxed"]
    imports += [f"from kernels.{op} import Torch as {op}" for op in ops]
    return "\n".join(imports) + "\n" + "".join(_EXPORT.format(op=op) for op in ops)


def torch_libraries() -> Path:
    """The folder of libtorch_cpu.so, found without the seconds that importing torch takes.

    Raises:
        ModuleNotFoundError: torch is not installed.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("torch is not installed; its libtorch_cpu.so is needed to link")
    return Path(spec.submodule_search_locations[0]) / "lib"


def compile_library(mojo: str, precompiled: Path, ops: Sequence[str], library: Path) -> subprocess.CompletedProcess:
    """Runs `mojo build`.

    Args:
        mojo: the compiler.
        precompiled: kernels.mojoc; the library is made of it.
        ops: ops to put in.
        library: file to write.

    Returns:
        The finished process, with stdout and stderr as text; a return code other than 0 is the caller's to report.
    """
    root = library.with_suffix(".mojo")
    root.write_text(source(ops))
    target = () if march() == "native" else ("--target-cpu", march())
    command = [mojo, "build", *_FLAGS, *target, "-I", str(precompiled.parent), "-o", str(library), str(root)]
    command += ["-Xlinker", f"-L{torch_libraries()}", "-Xlinker", "-ltorch_cpu"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def is_x86() -> bool:
    """Whether the levels of x86-64 mean anything here."""
    return platform.machine() in ("x86_64", "AMD64")
