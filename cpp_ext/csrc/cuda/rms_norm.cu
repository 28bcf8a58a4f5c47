// out = x / sqrt(mean(x^2) + eps) * weight; see csrc/cpu/rms_norm.cpp. A block does a row, which its threads
// keep in registers between the two passes.
#include "common/gpu_rows.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kMaxThreads)
    rms_norm_kernel(const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps) {
  using Vector = Pack<T, N>;
  const Vector* weights = reinterpret_cast<const Vector*>(weight);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const BlockRows<1, kHeldPacks<N>, false, N, T> in({x + row * n}, n);
    float squares = 0.0f;
    in.each([&](const Vector(&pack)[1], int64_t) {
#pragma unroll
      for (int k = 0; k < N; ++k) squares += to_float(pack[0].v[k]) * to_float(pack[0].v[k]);
    });
    const float scale = rsqrtf(block_sum(squares) / static_cast<float>(n) + eps);
    Vector* result = reinterpret_cast<Vector*>(out + row * n);
    in.each([&](const Vector(&pack)[1], int64_t i) {
      const Vector w = weights[i];
      float y[N];
#pragma unroll
      for (int k = 0; k < N; ++k) y[k] = to_float(pack[0].v[k]) * scale * to_float(w.v[k]);
      result[i] = pack_from_floats<T>(y);
    });
  }
}

template <int N, class T>
void launch(const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps, GpuStream stream) {
  rms_norm_kernel<N>
      <<<blocks_for(rows, 1), threads_for_row<N>(n, 2), 0, stream>>>(x, weight, out, rows, n, eps);
}

template <class T>
void rms_norm(const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps, GpuStream stream) {
  if (n % kPack<T> == 0 && aligned({x, weight, out})) {
    launch<kPack<T>>(x, weight, out, rows, n, eps, stream);
  } else {
    launch<1>(x, weight, out, rows, n, eps, stream);
  }
  check_launch("rms_norm");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const int64_t n = args.in[1].numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    rms_norm(args.in[0].as<const T>(), args.in[1].as<const T>(), args.out[0].as<T>(), args.out[0].numel / n,
             n, eps, stream_of(args.stream));
  });
}

extern Op rms_norm_op;
static const Implement<rms_norm_op, run> rms_norm_cuda("CUDA");

}  // namespace cpp_ext
