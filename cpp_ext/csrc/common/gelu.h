// gelu_tanh(x) = 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3): the tanh form of GELU, Hendrycks and
// Gimpel 2016, arXiv:1606.08415, section 2. With 1 + tanh(u) = 2 / (1 + exp(-2u)) it becomes x / (1 +
// exp(-2u)), which needs one exponential and does not cancel for negative x; where x is NaN the quotient is.
#pragma once

#include "common/exp2.h"

namespace cpp_ext {

inline Floats gelu(Floats x) {
  constexpr float kLinear = -2.302208198144325f;  // -2 sqrt(2/pi) log2(e)
  constexpr float kCubic = kLinear * 0.044715f;
  return x / (1.0f + exp2(x * (x * x * kCubic + kLinear)));
}

}  // namespace cpp_ext
