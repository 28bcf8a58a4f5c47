"""GELU in its tanh form, x / (1 + exp(-2u)); see `gelu_tanh.mojo`."""

from .exp2 import exp2
from .vectors import F32


@always_inline
def gelu[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    comptime LINEAR = Float32(-2.302208198144325)  # -2 sqrt(2/pi) log2(e)
    comptime CUBIC = LINEAR * 0.044715
    return x / (1 + exp2(x * (x * x).fma(CUBIC, LINEAR)))
