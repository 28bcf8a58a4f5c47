"""The larger of two vectors, lane by lane."""

from std.sys import CompilationTarget
from std.sys.intrinsics import llvm_intrinsic

from .vectors import F32


@always_inline
def larger[
    dtype: DType, width: SIMDLength, //
](a: SIMD[dtype, width], b: SIMD[dtype, width]) -> SIMD[dtype, width]:
    """The maximum of each lane, `b` where one is NaN: one instruction, where `max` of floats takes three.

    On x86 the instruction is called by name: LLVM would move the selection of two
    widened bfloat16 in front of the cast, into two dependent instructions.
    """
    comptime Vector = SIMD[dtype, width]
    comptime x86 = dtype == F32 and CompilationTarget.is_x86()
    comptime if x86 and width == 16 and CompilationTarget.has_avx512f():
        return llvm_intrinsic["llvm.x86.avx512.max.ps.512", Vector, has_side_effect=False](a, b, Int32(4))
    elif x86 and width == 8 and CompilationTarget.has_avx():
        return llvm_intrinsic["llvm.x86.avx.max.ps.256", Vector, has_side_effect=False](a, b)
    elif x86 and width > 8:
        comptime HALF = width // 2
        var low = larger(a.slice[HALF](), b.slice[HALF]())
        var high = larger(a.slice[HALF, offset=HALF](), b.slice[HALF, offset=HALF]())
        return rebind[Vector](low.join(high))
    else:
        return a.gt(b).select(a, b)
