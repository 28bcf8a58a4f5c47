// e^x for a vector of float32. The result underflows to exactly 0: softmax must give 0 for masked elements.
#pragma once

#include "common/simd.h"

namespace cpp_ext {

// A constant that the compiler keeps in a register over a loop. Loaded from memory at each use, the constants
// would make e^x 1.4 times as slow (docs/measurements.md, “Instructions”).
inline Floats held(float x) {
  return held(splat(x));
}

// e^x = 2^n e^r, n = round(x / log 2). Adding 1.5 * 2^23 + 127 leaves n + 127 in the low bits of the
// mantissa, from where it is shifted into the exponent of the float 2^n. e^r is the polynomial of exp2.h in
// r, which is computed from x itself, so the rounding of x / log 2 does not enter. Relative error: 1e-7 near
// 0, 3e-7 at the ends. From 88.4 on the result is infinite, below -87.7 it is 0; NaN stays NaN. Make an
// object before a loop and capture it in the loop's body.
struct Exp {
  Floats min = held(-88.0f), max = held(88.8f), to_integer = held(12582912.0f + 127.0f);
  Floats c6 = held(0.00138436537f), c5 = held(0.0083741555f), c4 = held(0.0416680016f);
  Floats c3 = held(0.166664317f), c2 = held(0.49999994f), unit = held(1.0f);
  Floats log2_e = held(1.44269504088896341f), log_2 = held(0.69314718055994531f);

  Floats operator()(Floats x) const {
    const Floats t = smaller(max, larger(min, x));  // a NaN in second place is kept
    const Floats shifted = t * log2_e + to_integer;
    const Floats r = t - (shifted - to_integer) * log_2;
    Floats p = c6 * r + c5;
    p = p * r + c4;
    p = p * r + c3;
    p = p * r + c2;
    p = p * r + unit;
    p = p * r + unit;
    return p * bits_as<Floats>(bits_as<Ints>(shifted) << 23);
  }
};

}  // namespace cpp_ext
