// The kernel of add_rms_norm and fused_add_rms_norm on the GPU; see common/add_rms.h. A block processes a row
// in one pass over memory: its threads keep the sums in registers until they are normalised, and read what
// does not fit a second time, from the L2 cache.
#pragma once

#include "common/gpu_reduce.h"
#include "common/gpu_row_threads.h"

namespace cpp_ext {

template <int N, class T>
__global__ void __launch_bounds__(kMaxThreads)
    add_rms_kernel(const T* x, const T* residual, const T* weight, T* out, T* sum, int64_t rows, int64_t n,
                   float eps) {
  using Vector = Pack<T, N>;
  const int64_t packs = n / N;
  const Vector* weights = reinterpret_cast<const Vector*>(weight);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const Vector* xs = reinterpret_cast<const Vector*>(x + row * n);
    const Vector* residuals = reinterpret_cast<const Vector*>(residual + row * n);
    Vector* sums = reinterpret_cast<Vector*>(sum + row * n);
    Vector* result = reinterpret_cast<Vector*>(out + row * n);
    Vector held[kHeldPacks<N>];
    float squares = 0.0f;
    const auto add = [&](int64_t i) {
      const Vector a = xs[i], b = residuals[i];
      float exact[N];
#pragma unroll
      for (int k = 0; k < N; ++k) exact[k] = to_float(a.v[k]) + to_float(b.v[k]);
      const Vector rounded = pack_from_floats<T>(exact);
#pragma unroll
      for (int k = 0; k < N; ++k) squares += to_float(rounded.v[k]) * to_float(rounded.v[k]);
      sums[i] = rounded;
      return rounded;
    };
#pragma unroll
    for (int h = 0; h < kHeldPacks<N>; ++h) {
      const int64_t i = threadIdx.x + h * blockDim.x;
      if (i < packs) held[h] = add(i);
    }
    const int64_t first_unheld = threadIdx.x + kHeldPacks<N> * blockDim.x;
#pragma unroll 1  // more would take too many registers
    for (int64_t i = first_unheld; i < packs; i += blockDim.x) add(i);

    const float scale = rsqrtf(block_sum(squares) / static_cast<float>(n) + eps);
    const auto normalise = [&](Vector pack, int64_t i) {
      const Vector w = weights[i];
      float y[N];
#pragma unroll
      for (int k = 0; k < N; ++k) y[k] = to_float(pack.v[k]) * scale * to_float(w.v[k]);
      result[i] = pack_from_floats<T>(y);
    };
#pragma unroll
    for (int h = 0; h < kHeldPacks<N>; ++h) {
      const int64_t i = threadIdx.x + h * blockDim.x;
      if (i < packs) normalise(held[h], i);
    }
#pragma unroll 1  // more would take too many registers
    for (int64_t i = first_unheld; i < packs; i += blockDim.x) normalise(sums[i], i);
  }
}

template <int N, class T>
void launch_add_rms(const T* x, const T* residual, const T* weight, T* out, T* sum, int64_t rows, int64_t n,
                    float eps, GpuStream stream) {
  const int threads = threads_for_row<N>(n, 2);
  add_rms_kernel<N><<<blocks_for(rows, 1), threads, 0, stream>>>(x, residual, weight, out, sum, rows, n, eps);
}

// Into `out` and `sum`, which may be x and residual themselves.
inline void gpu_add_rms_norm(const Args& args, const View& out_view, const View& sum_view) {
  const int64_t n = args.in[2].numel, rows = out_view.numel / n;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(out_view.dtype, [&]<class T>(T*) {
    const T *x = args.in[0].as<const T>(), *residual = args.in[1].as<const T>();
    const T* weight = args.in[2].as<const T>();
    T *out = out_view.as<T>(), *sum = sum_view.as<T>();
    const GpuStream stream = stream_of(args.stream);
    if (n % kPack<T> == 0 && aligned({x, residual, weight, out, sum})) {
      launch_add_rms<kPack<T>>(x, residual, weight, out, sum, rows, n, eps, stream);
    } else {
      launch_add_rms<1>(x, residual, weight, out, sum, rows, n, eps, stream);
    }
  });
  check_launch(args.op.name);
}

}  // namespace cpp_ext
