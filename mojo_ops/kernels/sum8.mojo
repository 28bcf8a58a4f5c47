"""Op sum8: y = a + b + c + d + e + f + g + h, in this order.

A probe: a call with 8 tensors, to see what each of them costs on the way.
"""

import extensibility
from extensibility import InputTensor, OutputTensor, foreach
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.utils.coord import Coord

from .common.parallel import split_flat
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, Ptr, put, up, vector_loop


def sum8_cpu(
    y: Ptr[F32],
    a: Ptr[F32],
    b: Ptr[F32],
    c: Ptr[F32],
    d: Ptr[F32],
    e: Ptr[F32],
    f: Ptr[F32],
    g: Ptr[F32],
    h: Ptr[F32],
    n: Int,
):
    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int, stream: Bool](i: Int) {var}:
            put[width](
                y,
                i,
                up[width](a, i)
                + up[width](b, i)
                + up[width](c, i)
                + up[width](d, i)
                + up[width](e, i)
                + up[width](f, i)
                + up[width](g, i)
                + up[width](h, i),
            )

        vector_loop(body, first, last)

    split_flat(chunk, n)


# ---- binding: mojo ----


@extensibility.register("mojo_ops_sum8")
struct Sum8:
    """Writes into the caller's tensor, on a GPU."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: MutableInputTensor[dtype=F32, ...],
        a: InputTensor[dtype=F32, rank=y.rank, ...],
        b: InputTensor[dtype=F32, rank=y.rank, ...],
        c: InputTensor[dtype=F32, rank=y.rank, ...],
        d: InputTensor[dtype=F32, rank=y.rank, ...],
        e: InputTensor[dtype=F32, rank=y.rank, ...],
        f: InputTensor[dtype=F32, rank=y.rank, ...],
        g: InputTensor[dtype=F32, rank=y.rank, ...],
        h: InputTensor[dtype=F32, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        comptime if is_gpu[target]():

            @always_inline
            def sum[
                width: Int
            ](at: Coord) {var a, var b, var c, var d, var e, var f, var g, var h} -> SIMD[F32, width]:
                return (
                    a.load[width](at)
                    + b.load[width](at)
                    + c.load[width](at)
                    + d.load[width](at)
                    + e.load[width](at)
                    + f.load[width](at)
                    + g.load[width](at)
                    + h.load[width](at)
                )

            foreach[target=target](sum, y, ctx)
        else:
            sum8_cpu(
                y.unsafe_ptr(),
                a.unsafe_ptr(),
                b.unsafe_ptr(),
                c.unsafe_ptr(),
                d.unsafe_ptr(),
                e.unsafe_ptr(),
                f.unsafe_ptr(),
                g.unsafe_ptr(),
                h.unsafe_ptr(),
                y.size(),
            )


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_sum8_dps")
struct Sum8Dps:
    """Writes into the engine's tensor."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=F32, ...],
        a: InputTensor[dtype=F32, rank=y.rank, ...],
        b: InputTensor[dtype=F32, rank=y.rank, ...],
        c: InputTensor[dtype=F32, rank=y.rank, ...],
        d: InputTensor[dtype=F32, rank=y.rank, ...],
        e: InputTensor[dtype=F32, rank=y.rank, ...],
        f: InputTensor[dtype=F32, rank=y.rank, ...],
        g: InputTensor[dtype=F32, rank=y.rank, ...],
        h: InputTensor[dtype=F32, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        comptime if is_gpu[target]():

            @always_inline
            def sum[
                width: Int
            ](at: Coord) {var a, var b, var c, var d, var e, var f, var g, var h} -> SIMD[F32, width]:
                return (
                    a.load[width](at)
                    + b.load[width](at)
                    + c.load[width](at)
                    + d.load[width](at)
                    + e.load[width](at)
                    + f.load[width](at)
                    + g.load[width](at)
                    + h.load[width](at)
                )

            foreach[target=target](sum, y, ctx)
        else:
            sum8_cpu(
                y.unsafe_ptr(),
                a.unsafe_ptr(),
                b.unsafe_ptr(),
                c.unsafe_ptr(),
                d.unsafe_ptr(),
                e.unsafe_ptr(),
                f.unsafe_ptr(),
                g.unsafe_ptr(),
                h.unsafe_ptr(),
                y.size(),
            )


# ---- binding: mojo, mojo_aot ----


struct Torch(TorchOp):
    """Behind PyTorch's dispatcher on the CPU, without MAX or in front of it."""

    comptime NAME: StaticString = "sum8"
    comptime INPUTS: List[StaticString] = ["a", "b", "c", "d", "e", "f", "g", "h"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES: List[DType] = [F32]

    @staticmethod
    def check(call: Call) raises Message:
        comptime for i in range(1, 8):
            call.require_like(i, 0)
            call.require_sizes(i, call.input(0).sizes_from(0), call.input(0).rank, "the shape of a")

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(0), call.input(0).rank)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of a"

    @staticmethod
    def run[dtype: DType](call: Call):
        var y = call.output(0)
        sum8_cpu(
            y.pointer[F32](),
            call.input(0).pointer[F32](),
            call.input(1).pointer[F32](),
            call.input(2).pointer[F32](),
            call.input(3).pointer[F32](),
            call.input(4).pointer[F32](),
            call.input(5).pointer[F32](),
            call.input(6).pointer[F32](),
            call.input(7).pointer[F32](),
            y.numel,
        )
