// 2^x for a vector of float32.
#pragma once

#include "common/simd.h"

namespace cpp_ext {

// 2^x = 2^n 2^f, n = round(x), |f| <= 1/2. Adding 1.5 * 2^23 leaves n in the low bits of the mantissa, from
// where it is shifted into the exponent of a minimax polynomial of degree 6 for 2^f; relative error 7e-8.
// From 128 on the result is infinite, below -125 it stays at 2^-125; NaN stays NaN.
inline Floats exp2(Floats x) {
  constexpr float kMin = -125.0f, kMax = 128.0f, kRoundToInteger = 12582912.0f;
  const Floats t = smaller(splat(kMax), larger(splat(kMin), x));
  const Floats shifted = t + kRoundToInteger;
  const Floats f = t - (shifted - kRoundToInteger);
  Floats p = 0.00015353362f * f + 0.0013398875f;
  p = p * f + 0.009618437f;
  p = p * f + 0.055503324f;
  p = p * f + 0.24022648f;
  p = p * f + 0.6931472f;
  p = p * f + 1.0f;
  return bits_as<Floats>(bits_as<Ints>(p) + (bits_as<Ints>(shifted) << 23));
}

}  // namespace cpp_ext
