// Gradients of layer_norm; the formulas are in csrc/cpu/layer_norm_backward.cpp. A block does every
// gridDim.x-th row and keeps its sums for weight and bias in registers. The next row is loaded before the
// barriers of the current one.
#include "common/gpu_row_gradients.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <bool kFits, int N, class T>
__global__ void __launch_bounds__(GradientBlock<2, N, kFits>::kSize)
    layer_norm_backward_kernel(const T* grad, const T* x, const T* weight, T* grad_x, float* sums,
                               int64_t rows, int64_t n, float eps) {
  using Vector = Pack<T, N>;
  using Gradient = BlockGradients<2, kFits, N>;
  using Rows = BlockRows<2, Gradient::kHeld, kFits, N, T>;
  const Vector* weights = reinterpret_cast<const Vector*>(weight);
  Gradient gradients(sums + blockIdx.x * 2 * n, n);
  const auto load = [=](int64_t row) {
    const int64_t i = (row < rows ? row : rows - 1) * n;
    return Rows({x + i, grad + i}, n);
  };
  if (rows > 0) {
    Rows next = load(blockIdx.x);
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
      const Rows in = next;
      next = load(row + gridDim.x);
      const float shift = mean_of_first(in, n);
      float total[4] = {};
      in.each([&](const Vector(&pack)[2], int64_t i) {
        const Vector w = weights[i];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float d = to_float(pack[0].v[k]) - shift, q = to_float(pack[1].v[k]) * to_float(w.v[k]);
          total[0] += d;
          total[1] += d * d;
          total[2] += q;
          total[3] += q * d;
        }
      });
      block_sums(total);
      Moments m = moments_from(shift, total[0], total[1], n, eps);
      if (n == 1) m.scale = 0.0f;  // nothing depends on a single value, and no rounding shall
      const float count = static_cast<float>(n), mean = total[2] / count;
      const float along = (total[3] * m.scale + total[2] * m.offset) / count;
      Vector* result = reinterpret_cast<Vector*>(grad_x + row * n);
      const auto write = [&](const Vector(&pack)[2], int64_t i) {
        const Vector w = weights[i];
        float y[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float q = to_float(pack[1].v[k]) * to_float(w.v[k]);
          y[k] = (q - mean - m.normalised(to_float(pack[0].v[k])) * along) * m.scale;
        }
        result[i] = pack_from_floats<T>(y);
      };
      gradients.add(in, write, [&](const Vector(&pack)[2], int k, int s) {
        const float g = to_float(pack[1].v[k]);
        return s == 0 ? g * m.normalised(to_float(pack[0].v[k])) : g;
      });
    }
  }
  gradients.finish();
}

template <int N, class T>
void launch(const Args& args, int64_t rows, int64_t n, float eps) {
  const Gradients<2, T> gradients{{args.out[1].as<T>(), args.out[2].as<T>()}};
  sum_over_rows<2, N>(args, rows, n, gradients,
                      [&]<bool kFits>(std::bool_constant<kFits>, unsigned blocks, int threads, float* sums) {
                        layer_norm_backward_kernel<kFits, N><<<blocks, threads, 0, stream_of(args.stream)>>>(
                            args.in[0].as<const T>(), args.in[1].as<const T>(), args.in[2].as<const T>(),
                            args.out[0].as<T>(), sums, rows, n, eps);
                      });
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const int64_t n = args.in[2].numel, rows = n ? args.in[1].numel / n : 0;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(args.in[1].dtype, [&]<class T>(T*) {
    if (n % kPack<T> == 0 && aligned({args.in[0].data, args.in[1].data, args.in[2].data, args.out[0].data})) {
      launch<kPack<T>, T>(args, rows, n, eps);
    } else {
      launch<1, T>(args, rows, n, eps);
    }
  });
}

extern Op layer_norm_backward_op;
static const Implement<layer_norm_backward_op, run> layer_norm_backward_cuda("CUDA");

}  // namespace cpp_ext
