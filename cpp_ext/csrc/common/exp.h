// exp(x) for a vector of float32.
#pragma once

#include "common/simd.h"

namespace cpp_ext {

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2, with ln 2 split in two so that n ln 2 is exact
// (Cody and Waite, Software Manual for the Elementary Functions, 1980, chapter 6). exp(r) = 1 + r + r^2 q(r);
// q is a minimax fit of degree 4, relative error 3.1e-9, a twentieth of a float32 rounding step. Above 88.37
// the result is infinite (the true overflow is at 88.72), below -87.34 it stays at the smallest normal
// number; NaN stays NaN.
inline Floats exp(Floats x) {
  constexpr float kMax = 88.37f, kMin = -87.33f;
  constexpr float kRoundToInteger = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
  Floats t = x > kMax ? splat(kMax) : x;
  t = t < kMin ? splat(kMin) : t;
  const Floats shifted = t * 1.44269504088896341f + kRoundToInteger;
  const Floats n = shifted - kRoundToInteger;
  const Floats r = (t - n * 0.693359375f) - n * -2.12194440e-4f;
  const Floats q = (((0x1.6a2352p-10f * r + 0x1.123a6cp-7f) * r + 0x1.5558f4p-5f) * r + 0x1.55549p-3f) * r +
                   0x1.fffffcp-2f;
  const Floats p = (q * r) * r + r + 1.0f;
  const Ints scale = bits_as<Ints>(shifted) << 23;
  const Floats y = bits_as<Floats>(bits_as<Ints>(p) + scale);
  const Floats finite = x > kMax ? splat(__builtin_inff()) : y;
  return x == x ? finite : x;
}

}  // namespace cpp_ext
