"""Vectors on the CPU: conversion to and from float32, and loops over vectors."""

from std.memory import Pointer, bitcast
from std.sys import align_of, is_gpu, simd_width_of, size_of

from .bfloat16 import to_bf16

comptime F32 = DType.float32
comptime FLOATS: List[DType] = [DType.float32, DType.bfloat16, DType.float16]
comptime Ptr[dtype: DType] = Pointer[Scalar[dtype], MutAnyOrigin]

comptime LANES = simd_width_of[F32]()
comptime UNROLLED = 4 * LANES  # four independent chains hide the latency of fused multiply-add
comptime CACHE_LINE = 64


@always_inline
def up[
    dtype: DType, //, width: Int, alignment: Int = align_of[dtype]()
](p: Ptr[dtype], i: Int) -> SIMD[F32, width]:
    """Loads `width` elements as float32.

    Bfloat16 on a CPU is widened by a shift: LLVM would compare two casts before casting, which without AVX512-BF16
    is scalarised.
    """
    var v = p.unsafe_load[width=width, alignment=alignment](i)
    comptime if dtype == DType.bfloat16 and not is_gpu():
        return bitcast[F32, width](bitcast[DType.uint16, width](v).cast[DType.uint32]() << 16)
    else:
        return v.cast[F32]()


@always_inline
def down[dtype: DType, width: SIMDLength](v: SIMD[F32, width]) -> SIMD[dtype, width]:
    """Rounds float32 to `dtype`, to nearest even."""
    comptime if dtype == DType.bfloat16 and not is_gpu():
        return rebind[SIMD[dtype, width]](to_bf16(v))
    else:
        return v.cast[dtype]()


@always_inline
def put[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](p: Ptr[dtype], i: Int, v: SIMD[F32, width]):
    """Rounds to `dtype` and stores, past the cache if `stream`."""
    comptime if stream:
        comptime line = min(CACHE_LINE, width * size_of[dtype]())
        p.unsafe_store[alignment=line, non_temporal=True](i, down[dtype](v))
    else:
        p.unsafe_store[alignment=alignment](i, down[dtype](v))


@always_inline
def vector_loop[
    Body: def[width: Int, stream: Bool](Int) -> None
](body: Body, first: Int, last: Int, stream: Bool = False):
    """Calls `body` for [first, last): four vectors at a time, then single vectors, then single elements.

    The middle step matters for short rows: with AVX-512 the unrolled step is 64
    elements, as long as a whole attention head.
    """
    var i = first
    if stream:
        while i + UNROLLED <= last:
            body[UNROLLED, True](i)
            i += UNROLLED
    while i + UNROLLED <= last:
        body[UNROLLED, False](i)
        i += UNROLLED
    while i + LANES <= last:
        body[LANES, False](i)
        i += LANES
    while i < last:
        body[1, False](i)
        i += 1
