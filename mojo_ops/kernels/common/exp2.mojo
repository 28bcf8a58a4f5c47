"""Power of two of float32 vectors, for the kernels that need exp."""

from std.memory import bitcast

from .vectors import F32


@always_inline
def exp2[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    """Power of two, relative error 7e-8; infinity from 128 on, 2e-38 below -125.

    Adding 1.5 * 2^23 rounds x to an integer in the low mantissa bits, from where
    it is shifted into the exponent of a polynomial for the rest; at 128 that is
    exactly infinity. NaN stays NaN: `select` keeps it, `min` and `max` drop it.
    The library's exp is not used because it saturates at a finite number, which
    makes x / (1 + exp(-x)) of -1e30 wrong; its exp2 has an error of 1e-5.
    """
    comptime ROUND = Float32(12582912)
    comptime LEAST = SIMD[F32, width](-125)
    comptime MOST = SIMD[F32, width](128)
    var t = LEAST.gt(x).select(LEAST, x)
    t = MOST.lt(t).select(MOST, t)
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
