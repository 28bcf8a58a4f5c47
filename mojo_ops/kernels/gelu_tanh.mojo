"""Op gelu_tanh: y = 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).

Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415. Computed in the equal
form x / (1 + exp(-2u)): one exponential, and no cancellation in 1 + tanh(u)
for negative x.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.math import ceildiv
from std.memory import bitcast
from std.sys import align_of

from .common import (
    BLOCK,
    F32,
    Ptr,
    aligned,
    down,
    gpu_item,
    gpu_width,
    split_flat,
    up,
    vector_loop,
)


@always_inline
def exp2[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    """2^x to 1e-7 relative error; inf from 128 up, tiny at -125 and below.

    The library's exp is no less accurate but flushes and clamps with more
    instructions. Adding 1.5 * 2^23 rounds to an integer that stays in the low
    mantissa bits, ready to be added to the exponent; at x = 128 the polynomial
    is exactly 1 and the sum is the bit pattern of infinity. NaN passes through.
    """
    comptime ROUND = Float32(12582912)
    var t = min(max(x, -125), 128)
    var shifted = t + ROUND
    var f = t - (shifted - ROUND)
    var p = f.fma(0.00015353362, 0.0013398875)
    p = p.fma(f, 0.009618437)
    p = p.fma(f, 0.055503324)
    p = p.fma(f, 0.24022648)
    p = p.fma(f, 0.6931472)
    p = p.fma(f, 1)
    var exponent = bitcast[DType.uint32, width](shifted) << 23
    return bitcast[F32, width](bitcast[DType.uint32, width](p) + exponent)


@always_inline
def gelu[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    # -2 sqrt(2/pi) log2(e), so that exp2 gives exp(-2u)
    comptime LINEAR = Float32(-2.302208198144325)
    comptime CUBIC = LINEAR * 0.044715
    return x / (1 + exp2(x * (x * x).fma(CUBIC, LINEAR)))


@always_inline
def gelu_at[
    dtype: DType, //, width: Int, alignment: Int = align_of[dtype]()
](y: Ptr[dtype], x: Ptr[dtype], i: Int):
    var v = gelu(up[width, alignment](x, i))
    y.unsafe_store[alignment=alignment](i, down[dtype](v))


def gelu_tanh_cpu[dtype: DType, //](y: Ptr[dtype], x: Ptr[dtype], n: Int):
    def chunk(first: Int, last: Int) {var}:
        @always_inline
        def body[width: Int](i: Int) {var}:
            gelu_at[width](y, x, i)

        vector_loop(body, first, last)

    split_flat(chunk, n)


def gelu_tanh_kernel[
    dtype: DType, width: Int
](y: Ptr[dtype], x: Ptr[dtype], n: Int64):
    """One thread for `width` elements; the last one takes the tail."""
    var first = gpu_item() * width
    if first + width <= Int(n):
        comptime alignment = width * align_of[dtype]()
        gelu_at[width, alignment](y, x, first)
    else:
        for i in range(first, Int(n)):
            gelu_at[1](y, x, i)


def gelu_tanh_gpu[
    dtype: DType, //
](y: Ptr[dtype], x: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    @always_inline
    def launch[width: Int]() raises {var, imm ctx}:
        ctx.enqueue_function[gelu_tanh_kernel[dtype, width]](
            y,
            x,
            Int64(n),
            grid_dim=ceildiv(n, BLOCK * width),
            block_dim=BLOCK,
        )

    if aligned(y) and aligned(x):
        launch[gpu_width[dtype]()]()
    else:
        launch[1]()


@always_inline
def gelu_tanh[
    dtype: DType, //, target: StaticString
](y: Ptr[dtype], x: Ptr[dtype], n: Int, ctx: DeviceContext) raises:
    if n == 0:
        return
    comptime if is_gpu[target]():
        gelu_tanh_gpu(y, x, n, ctx)
    else:
        gelu_tanh_cpu(y, x, n)


# ---- binding ----


@extensibility.register("mojo_ops_gelu_tanh")
struct GeluTanh:
    """Writes into the caller's tensor (route mojo)."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: MutableInputTensor,
        x: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        gelu_tanh[target](y.unsafe_ptr(), x.unsafe_ptr(), y.size(), ctx)


@extensibility.register("mojo_ops_gelu_tanh_dps")
struct GeluTanhDps:
    """Writes into the engine's tensor (route mojo_stock)."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor,
        x: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        gelu_tanh[target](y.unsafe_ptr(), x.unsafe_ptr(), y.size(), ctx)
