// out = (x - mean) / sqrt(var + eps) * weight + bias; see csrc/cpu/layer_norm.cpp. A block does a row, which
// its threads keep in registers between the three passes.
#include "common/gpu_rows.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kMaxThreads) layer_norm_kernel(const T* x, const T* weight, const T* bias,
                                                                 T* out, int64_t rows, int64_t n, float eps) {
  using Vector = Pack<T, N>;
  const Vector *weights = reinterpret_cast<const Vector*>(weight),
               *biases = reinterpret_cast<const Vector*>(bias);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const BlockRows<1, kHeldPacks<N>, false, N, T> in({x + row * n}, n);
    const float shift = mean_of_first(in, n);
    float sums[2] = {};
    in.each([&](const Vector(&pack)[1], int64_t) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float d = to_float(pack[0].v[k]) - shift;
        sums[0] += d;
        sums[1] += d * d;
      }
    });
    block_sums(sums);
    const Moments m = moments_from(shift, sums[0], sums[1], n, eps);
    Vector* result = reinterpret_cast<Vector*>(out + row * n);
    in.each([&](const Vector(&pack)[1], int64_t i) {
      const Vector w = weights[i];
      Vector b = {};
      if (bias) b = biases[i];
      float y[N];
#pragma unroll
      for (int k = 0; k < N; ++k)
        y[k] = m.normalised(to_float(pack[0].v[k])) * to_float(w.v[k]) + to_float(b.v[k]);
      result[i] = pack_from_floats<T>(y);
    });
  }
}

template <int N, class T>
void launch(const T* x, const T* weight, const T* bias, T* out, int64_t rows, int64_t n, float eps,
            GpuStream stream) {
  layer_norm_kernel<N>
      <<<blocks_for(rows, 1), threads_for_row<N>(n, 2), 0, stream>>>(x, weight, bias, out, rows, n, eps);
}

template <class T>
void layer_norm(const T* x, const T* weight, const T* bias, T* out, int64_t rows, int64_t n, float eps,
                GpuStream stream) {
  if (n % kPack<T> == 0 && aligned({x, weight, bias, out})) {
    launch<kPack<T>>(x, weight, bias, out, rows, n, eps, stream);
  } else {
    launch<1>(x, weight, bias, out, rows, n, eps, stream);
  }
  check_launch("layer_norm");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View& bias = args.in[2];
  const int64_t n = args.in[1].numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    layer_norm(args.in[0].as<const T>(), args.in[1].as<const T>(),
               bias.defined ? bias.as<const T>() : nullptr, args.out[0].as<T>(), args.out[0].numel / n, n,
               eps, stream_of(args.stream));
  });
}

extern Op layer_norm_op;
static const Implement<layer_norm_op, run> layer_norm_cuda("CUDA");

}  // namespace cpp_ext
