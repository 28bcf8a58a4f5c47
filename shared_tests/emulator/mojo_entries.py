"""Writes the Mojo source that calls the GPU code of ops, with no function written by hand for any of them.

The entry of an op is the struct that MAX calls on a GPU, which the build generates into the module `bindings` of the
kernel package. MAX generates the call from its graph; here it is generated from the same description, `Kernel`, for a
library or a program of `mojo build`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from shared_tests.emulator.mojo_bindings import Binding

ARGUMENTS = Path(__file__).with_name("call_arguments.mojo")  # a module that the source imports

_ENTRY = """

def {entry}(mut arguments: Arguments, ctx: DeviceContext) raises:
    {struct}.execute["gpu"](
{arguments}
        ctx,
    )
"""
_EXPORT = """

@export
def {symbol}(arguments: Int, message: Int, room: Int) abi("C") -> Int:
    return call[{entry}](arguments, message, room)
"""
_PROGRAM = """

def main() raises:
    with DeviceContext() as ctx:
        var arguments = Arguments(4096)
"""


def entry(op: str, dtype: str) -> str:
    """Name of the Mojo function for one dtype of an op."""
    return f"{op}_{dtype}"


def symbol(op: str, dtype: str) -> str:
    """Name of the C function for one dtype of an op: `(arguments, message, room) -> 0, or 1 after an error`."""
    return f"emulated_{entry(op, dtype)}"


def library(bindings: Iterable[Binding]) -> str:
    """Source of a shared library with a C function for each dtype of every op."""
    bindings = list(bindings)
    names = [(symbol(b.kernel.name, dtype), entry(b.kernel.name, dtype)) for b in bindings for dtype in b.kernel.dtypes]
    return _entries(bindings) + "".join(_EXPORT.format(symbol=name, entry=function) for name, function in names)


def program(bindings: Iterable[Binding]) -> str:
    """Source of a program that is only compiled: it calls every dtype of every op."""
    bindings = list(bindings)
    calls = [f"        {entry(b.kernel.name, dtype)}(arguments, ctx)\n" for b in bindings for dtype in b.kernel.dtypes]
    return _entries(bindings) + _PROGRAM + "".join(calls)


def _entries(bindings: list[Binding]) -> str:
    lines = ["from call_arguments import Arguments, call", "from max.gpu.host import DeviceContext", ""]
    lines += [f"from kernels.bindings import {b.struct}" for b in bindings]
    functions = [
        _ENTRY.format(entry=entry(b.kernel.name, dtype), struct=b.struct, arguments="\n".join(_arguments(b, dtype)))
        for b in bindings
        for dtype in b.kernel.dtypes
    ]
    return "\n".join(lines) + "\n" + "".join(functions)


def _arguments(binding: Binding, dtype: str) -> Iterator[str]:
    kernel = binding.kernel
    ranks = [len(shape) for shape in (*kernel.outputs, *kernel.inputs)]
    for i, (element, rank) in enumerate(zip(kernel.tensor_dtypes(dtype), ranks, strict=True)):
        kind = "output" if i < len(kernel.outputs) else "input"
        yield f"        arguments.{kind}[DType.{element}, {rank}](),"
    for scalar in kernel.scalar_types:
        yield f"        arguments.{'real' if scalar == 'float32' else 'integer'}(),"
