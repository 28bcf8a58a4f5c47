// silu(a) b and its gradients on the GPU, for silu_mul and silu_and_mul; see csrc/common/silu.h.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

struct SiluTimes {
  __device__ float operator()(float a, float b) const { return a / (1.0f + expf(-a)) * b; }
};

// The inputs come by value: through a reference to memory they would be read element by element.
template <int N, class T>
__device__ inline void silu_times_gradients(Pack<T, N> grad, Pack<T, N> a, Pack<T, N> b, Pack<T, N>& grad_a,
                                            Pack<T, N>& grad_b) {
  float for_a[N], for_b[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float g = to_float(grad.v[k]), x = to_float(a.v[k]), s = 1.0f / (1.0f + expf(-x));
    for_a[k] = g * to_float(b.v[k]) * (s * (1.0f + x * (1.0f - s)));
    for_b[k] = g * (x * s);
  }
  grad_a = pack_from_floats<T>(for_a);
  grad_b = pack_from_floats<T>(for_b);
}

}  // namespace cpp_ext
