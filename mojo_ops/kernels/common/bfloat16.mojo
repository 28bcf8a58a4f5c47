"""Rounding of float32 to bfloat16 on a CPU, to nearest even."""

from std.memory import bitcast
from std.sys import CompilationTarget, llvm_intrinsic

from .vectors import F32, LANES

comptime IN_HARDWARE = (
    LANES == 16
    and CompilationTarget._has_feature["avx512bf16"]()
    and CompilationTarget._has_feature["avx512dq"]()
)


@always_inline
def to_bf16_by_integers[width: SIMDLength](v: SIMD[F32, width]) -> SIMD[DType.bfloat16, width]:
    """Rounds by integer arithmetic: without AVX512-BF16 the cast is one library call per element (modular#6495).

    NaNs are clamped before rounding, which could carry into the exponent; quiet
    NaNs and NaNs of bfloat16 keep their bits. Selecting them instead would be
    scalarised where there is no AVX-512.
    """
    comptime Bits = SIMD[DType.uint32, width]
    comptime Signed = SIMD[DType.int32, width]
    var bits = min(bitcast[DType.uint32, width](v), Bits(0xFFC00000))
    bits = bitcast[DType.uint32, width](min(bitcast[DType.int32, width](bits), Signed(0x7FC00000)))
    var rounded_bits = bits + 0x7FFF + ((bits >> 16) & 1)  # whose upper half is v in bfloat16
    comptime if LANES == 16 and Int(width) % (2 * LANES) == 0:
        # One instruction for two registers. LLVM compiles a shift and a cast into narrowing stores, which
        # have no streaming form (docs/measurements.md, “Instructions”).
        var halves = bitcast[DType.uint16, 2 * Int(width)](rounded_bits).deinterleave()[1]
        return bitcast[DType.bfloat16, width](rebind[SIMD[DType.uint16, width]](halves))
    return bitcast[DType.bfloat16, width]((rounded_bits >> 16).cast[DType.uint16]())


@always_inline
def to_bf16_in_hardware[width: Int](v: SIMD[F32, width]) -> SIMD[DType.bfloat16, width]:
    """Rounds one or two registers with one instruction; denormals become zero."""
    comptime Rounded = SIMD[DType.bfloat16, width]
    comptime if width == LANES:
        return llvm_intrinsic["llvm.x86.avx512bf16.cvtneps2bf16.512", Rounded, has_side_effect=False](v)
    else:
        comptime HALF = width // 2
        var low = v.slice[HALF]()
        var high = v.slice[HALF, offset=HALF]()
        comptime if HALF == LANES:
            return llvm_intrinsic["llvm.x86.avx512bf16.cvtne2ps2bf16.512", Rounded, has_side_effect=False](
                high, low
            )
        else:
            return rebind[Rounded](to_bf16_in_hardware[HALF](low).join(to_bf16_in_hardware[HALF](high)))


@always_inline
def any_denormal[width: Int](v: SIMD[F32, width]) -> Bool:
    comptime DENORMAL = Int32(0x20)
    var matches = SIMD[DType.bool, LANES](fill=False)
    comptime for k in range(0, width, LANES):
        matches |= llvm_intrinsic[
            "llvm.x86.avx512.fpclass.ps.512", SIMD[DType.bool, LANES], has_side_effect=False
        ](v.slice[LANES, offset=k](), DENORMAL)
    return matches.reduce_or()


@always_inline
def to_bf16[width: SIMDLength](v: SIMD[F32, width]) -> SIMD[DType.bfloat16, width]:
    """Rounds with AVX512-BF16, or by integers where a vector has denormals, which AVX512-BF16 makes zero."""
    comptime if IN_HARDWARE and Int(width) % LANES == 0:
        comptime WIDTH = Int(width)
        var wide = rebind[SIMD[F32, WIDTH]](v)
        if not any_denormal[WIDTH](wide):
            return rebind[SIMD[DType.bfloat16, width]](to_bf16_in_hardware[WIDTH](wide))
    return to_bf16_by_integers(v)
