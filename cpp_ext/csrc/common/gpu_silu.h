// silu(a) b and its gradients on the GPU, for silu_mul and silu_and_mul; see csrc/common/silu.h.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

struct SiluTimes {
  __device__ float operator()(float a, float b) const { return a / (1.0f + expf(-a)) * b; }
};

// The inputs come by value, so that each is one load: a reference is read element by element.
template <int N, class T>
__device__ inline void silu_times_gradients(Pack<T, N> grad, Pack<T, N> a, Pack<T, N> b, Pack<T, N>& grad_a,
                                            Pack<T, N>& grad_b) {
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float g = to_float(grad.v[k]), x = to_float(a.v[k]), s = 1.0f / (1.0f + expf(-x));
    grad_a.v[k] = from_float<T>(g * to_float(b.v[k]) * (s * (1.0f + x * (1.0f - s))));
    grad_b.v[k] = from_float<T>(g * (x * s));
  }
}

}  // namespace cpp_ext
