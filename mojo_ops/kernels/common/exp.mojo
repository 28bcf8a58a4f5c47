"""The exponential of float32 vectors. The result underflows to exactly 0."""

from std.memory import bitcast

from .vectors import F32


@always_inline
def exp[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    """Relative error 1e-7 near 0; infinity from 88.4 on, 0 below -87.7, as softmax needs it for masked elements.

    e^x = 2^n e^r, n = round(x / log 2). Adding 1.5 * 2^23 + 127 leaves n + 127 in the
    low mantissa bits, from where it is shifted into the exponent of the float 2^n. e^r
    is the polynomial of exp2.mojo in r, which is computed from x itself, so the rounding
    of x / log 2 does not enter. NaN stays NaN: `select` keeps it, `min` and `max` drop it.
    """
    comptime LOG2_E = SIMD[F32, width](1.4426950408889634)
    comptime MINUS_LOG_2 = SIMD[F32, width](-0.6931471805599453)
    comptime ROUND = SIMD[F32, width](12582912 + 127)
    comptime LEAST = SIMD[F32, width](-88.0)
    comptime MOST = SIMD[F32, width](88.8)
    var t = LEAST.gt(x).select(LEAST, x)
    t = MOST.lt(t).select(MOST, t)
    var shifted = t.fma(LOG2_E, ROUND)
    var r = (shifted - ROUND).fma(MINUS_LOG_2, t)
    var p = r.fma(0.00138436537, 0.0083741555)
    p = p.fma(r, 0.0416680016)
    p = p.fma(r, 0.166664317)
    p = p.fma(r, 0.49999994)
    p = p.fma(r, 1)
    p = p.fma(r, 1)
    return p * bitcast[F32, width](bitcast[DType.uint32, width](shifted) << 23)
