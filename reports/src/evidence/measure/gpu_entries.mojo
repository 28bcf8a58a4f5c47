"""Calls the GPU code of every op, so that `mojo build --target-accelerator` compiles it. Nothing here is ever run.

Copied into the kernel package by `targets_mojo`. Arguments are read from addresses: the
compiler must not know them, and needs no tensors that way. One function an op.
"""

from max.gpu.host import DeviceContext
from std.memory import Pointer

from .add import add_gpu
from .add_rms import add_rms_gpu
from .attention_gpu import attention_gpu
from .attention_tiles import Sizes as AttentionSizes
from .broadcast import BroadcastRows
from .class_targets import F64, Options
from .common import F32, FLOATS, Ptr
from .cross_entropy_backward import cross_entropy_backward_gpu
from .cross_entropy_gpu import cross_entropy_gpu
from .gelu_tanh import gelu_tanh_gpu
from .gelu_tanh_backward import gelu_tanh_backward_gpu
from .gpt2_mlp import bias_gelu_gpu
from .grayscale import grayscale_gpu
from .layer_norm import layer_norm_gpu
from .layer_norm_backward import layer_norm_backward_gpu
from .linear_w8 import Layer, linear_w8_gpu
from .rms_norm import rms_norm_gpu
from .rms_norm_backward import rms_norm_backward_gpu
from .rope import Sizes as RopeSizes, rope_gpu
from .silu_and_mul import silu_and_mul_gpu
from .silu_and_mul_backward import silu_and_mul_backward_gpu
from .silu_mul import silu_mul_gpu
from .silu_mul_backward import silu_mul_backward_gpu
from .softmax_backward import softmax_backward_gpu
from .softmax_gpu import softmax_gpu
from .top_k_gpu import top_k_gpu

comptime I64 = DType.int64


struct Given(ImplicitlyCopyable, Movable):
    """The arguments of a call, at addresses."""

    var base: Int

    def __init__(out self, base: Int):
        self.base = base

    def p[dtype: DType](self, i: Int) -> Ptr[dtype]:
        return Ptr[dtype](unsafe_from_address=self.base + 64 * i)

    def n(self, i: Int) -> Int:
        return Int(self.p[I64](i).unsafe_load(0))

    def f(self, i: Int) -> Float32:
        return self.p[F32](i).unsafe_load(0)

    def a[T: ImplicitlyCopyable](self, i: Int) -> T:
        return Pointer[T, MutAnyOrigin](unsafe_from_address=self.base + 64 * i)[]


def gpu_add[D: DType](g: Given, ctx: DeviceContext) raises:
    add_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), ctx)


def gpu_add_rms_norm[D: DType](g: Given, ctx: DeviceContext) raises:
    add_rms_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[D](4), g.n(5), g.n(6), g.f(7), ctx)


def gpu_fused_add_rms_norm[D: DType](g: Given, ctx: DeviceContext) raises:
    gpu_add_rms_norm[D](g, ctx)


def gpu_attention[D: DType](g: Given, ctx: DeviceContext) raises:
    attention_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[I64](4), g.n(5) != 0, g.a[AttentionSizes](6), ctx
    )


def gpu_cross_entropy[D: DType](g: Given, ctx: DeviceContext) raises:
    cross_entropy_gpu(
        g.p[D](0), g.p[F64](1), g.p[D](2), g.p[I64](3), g.n(4), g.n(5), g.a[Options](6), ctx
    )


def gpu_cross_entropy_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    cross_entropy_backward_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.p[I64](3), g.p[F64](4), g.n(5), g.n(6), g.a[Options](7), ctx
    )


def gpu_gelu_tanh[D: DType](g: Given, ctx: DeviceContext) raises:
    gelu_tanh_gpu(g.p[D](0), g.p[D](1), g.n(2), ctx)


def gpu_gelu_tanh_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    gelu_tanh_backward_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), ctx)


def gpu_gpt2_mlp[D: DType](g: Given, ctx: DeviceContext) raises:
    """What is not the platform's matrix product."""
    bias_gelu_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), g.n(4), ctx)


def gpu_grayscale[D: DType](g: Given, ctx: DeviceContext) raises:
    grayscale_gpu(g.p[DType.uint8](0), g.p[DType.uint8](1), g.n(2), ctx)


def gpu_layer_norm[D: DType](g: Given, ctx: DeviceContext) raises:
    layer_norm_gpu[True](g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.n(4), g.n(5), g.f(6), ctx)
    layer_norm_gpu[False](g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.n(4), g.n(5), g.f(6), ctx)


def gpu_layer_norm_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    layer_norm_backward_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[D](4), g.p[D](5), g.n(6), g.n(7), g.f(8), ctx
    )


def gpu_linear_w8[D: DType](g: Given, ctx: DeviceContext) raises:
    linear_w8_gpu(g.a[Layer[D]](0), ctx)


def gpu_rms_norm[D: DType](g: Given, ctx: DeviceContext) raises:
    rms_norm_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), g.n(4), g.f(5), ctx)


def gpu_rms_norm_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    rms_norm_backward_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[D](4), g.n(5), g.n(6), g.f(7), ctx
    )


def gpu_rope[D: DType](g: Given, ctx: DeviceContext) raises:
    rope_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[D](4), g.p[D](5), g.a[RopeSizes](6), g.n(7) != 0, ctx
    )


def gpu_silu_and_mul[D: DType](g: Given, ctx: DeviceContext) raises:
    silu_and_mul_gpu(g.p[D](0), g.p[D](1), g.n(2), g.n(3), ctx)


def gpu_silu_and_mul_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    silu_and_mul_backward_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), g.n(4), ctx)


def gpu_silu_mul[D: DType](g: Given, ctx: DeviceContext) raises:
    silu_mul_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), ctx)


def gpu_silu_mul_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    silu_mul_backward_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.p[D](3), g.p[D](4), g.n(5), ctx)


def gpu_softmax[D: DType](g: Given, ctx: DeviceContext) raises:
    ref rows = Pointer[BroadcastRows, MutAnyOrigin](unsafe_from_address=g.base + 64 * 9)[]
    softmax_gpu(
        g.p[D](0), g.p[D](1), g.p[D](2), g.n(3) != 0, g.n(4), rows, g.n(5), g.n(6), g.f(7), ctx
    )


def gpu_softmax_backward[D: DType](g: Given, ctx: DeviceContext) raises:
    softmax_backward_gpu(g.p[D](0), g.p[D](1), g.p[D](2), g.n(3), g.n(4), g.f(5), ctx)


def gpu_top_k[D: DType](g: Given, ctx: DeviceContext) raises:
    top_k_gpu(g.p[D](0), g.p[I64](1), g.p[D](2), g.n(3), g.n(4), g.n(5), ctx)
