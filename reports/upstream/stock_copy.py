"""`CustomOpLibrary` computes into a temporary and copies it into the output tensor.

What: one kernel, y = 2 x over 64 MB, called through CustomOpLibrary and through a custom graph that takes y as a
`BufferType` input and writes it with `ops.inplace_custom`. Both outputs are allocated and warm.
Expected: the same time, because the kernel is memory-bound and y exists already.
Seen: see the output. The bridge builds `result = ops.custom(...)` and then `buffer[...] = result`
(max/experimental/torch/torch.py), which needs a second pass over the output and a second buffer of its size.
Whose: Modular. Takes about a minute, almost all of it for compiling.
"""

import inspect
import os
import platform
import sys
import tempfile
import timeit
from importlib.metadata import version
from pathlib import Path

import torch
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.experimental.torch import CustomOpLibrary
from max.experimental.torch import torch as bridge
from max.graph import BufferType, DeviceRef, Graph, TensorType, ops

KERNELS = """
import extensibility
from extensibility import InputTensor, OutputTensor, foreach
from extensibility.managed_tensor_slice import _MutableInputTensor as MutableInputTensor
from max.gpu.host import DeviceContext
from std.utils.coord import Coord


@extensibility.register("twice")
struct Twice:
    @staticmethod
    def execute[target: StaticString](
        y: OutputTensor, x: InputTensor[dtype=y.dtype, rank=y.rank, ...], ctx: DeviceContext
    ) raises:
        @always_inline
        def double[width: Int](index: Coord) {var x} -> SIMD[y.dtype, width]:
            return x.load[width](index) * 2

        foreach[target=target](double, y, ctx)


@extensibility.register("twice_in_place")
struct TwiceInPlace:
    @staticmethod
    def execute[target: StaticString](
        y: MutableInputTensor, x: InputTensor[dtype=y.dtype, rank=y.rank, ...], ctx: DeviceContext
    ) raises:
        @always_inline
        def double[width: Int](index: Coord) {var x} -> SIMD[y.dtype, width]:
            return x.load[width](index) * 2

        foreach[target=target](double, y, ctx)
"""
ELEMENTS = 1 << 24


def milliseconds(function):
    """Median time of fifteen calls."""
    return sorted(timeit.repeat(function, number=1, repeat=15))[7] * 1e3


def own_graph(folder):
    """A graph as a callable (y, x) that writes y directly."""
    device, shape = DeviceRef.CPU(), ["n"]
    types = [BufferType(DType.float32, shape, device), TensorType(DType.float32, shape, device)]
    with Graph("twice_in_place", input_types=types, custom_extensions=[folder]) as graph:
        y, x = graph.inputs
        ops.inplace_custom("twice_in_place", device, [y.buffer, x.tensor])
        graph.output()
    model = InferenceSession(devices=[CPU()]).load(graph)
    return lambda y, x: model._execute_device_tensors([Buffer.from_dlpack(y), Buffer.from_dlpack(x)])


def main() -> int:
    print(f"torch {torch.__version__}, modular {version('modular')}, Python {platform.python_version()}")
    for line in inspect.getsource(bridge).splitlines():
        if "[...] = " in line:
            print(f"the bridge's source has: {line.strip()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "twice"
        folder.mkdir()
        (folder / "__init__.mojo").write_text(KERNELS)
        x, y = torch.ones(ELEMENTS), torch.zeros(ELEMENTS)
        own, stock = own_graph(folder), CustomOpLibrary(folder).twice
        for call in (own, stock):
            y.zero_()
            call(y, x)
            assert bool((y == 2).all()), "wrong result"
        times = {
            "own graph, in place": milliseconds(lambda: own(y, x)),
            "CustomOpLibrary": milliseconds(lambda: stock(y, x)),
        }
    for way, time in times.items():
        print(f"{way}: {time:.1f} ms, {2 * 4 * ELEMENTS / time / 1e6:.1f} GB/s of what must move")
    ratio = times["CustomOpLibrary"] / times["own graph, in place"]
    print(f"CustomOpLibrary takes {ratio:.2f} times as long")
    return 0 if ratio > 1.15 else 3


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the engine sometimes aborts at exit, see exit_abort.py
