// out[i] = f(in[i]...) on the GPU: 16-byte loads and stores, single elements for the tail and for misaligned
// views.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

template <int N, class T, class F, class... In>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(int64_t n, T* out, F f, const In*... in) {
  using Vector = Pack<T, N>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto apply = [&](auto... packs) {
    float y[N];
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = f(to_float(packs.v[k])...);
    return pack_from_floats<T>(y);
  };
  for (int64_t i = first; i < n / N; i += stride)
    reinterpret_cast<Vector*>(out)[i] = apply(reinterpret_cast<const Vector*>(in)[i]...);
  if (N > 1 && first < n % N) {
    const int64_t i = n - n % N + first;
    out[i] = from_float<T>(f(to_float(in[i])...));
  }
}

template <class T, class F, class... In>
void gpu_elementwise(const char* name, void* stream, int64_t n, T* out, F f, const In*... in) {
  constexpr int N = kPack<T>;
  if (aligned({out, in...})) {
    elementwise_kernel<N>
        <<<blocks_for((n + N - 1) / N, kThreads), kThreads, 0, stream_of(stream)>>>(n, out, f, in...);
  } else {
    elementwise_kernel<1><<<blocks_for(n, kThreads), kThreads, 0, stream_of(stream)>>>(n, out, f, in...);
  }
  check_launch(name);
}

}  // namespace cpp_ext
