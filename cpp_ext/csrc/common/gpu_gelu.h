// gelu_tanh(x) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3); see common/gelu.h.
#pragma once

namespace cpp_ext {

struct GeluTanh {
  __device__ float operator()(float x) const {
    constexpr float kMinusTwoSqrtTwoOverPi = -1.5957691216057308f;
    return x / (1.0f + expf(kMinusTwoSqrtTwoOverPi * (x + 0.044715f * (x * x * x))));
  }
};

}  // namespace cpp_ext
