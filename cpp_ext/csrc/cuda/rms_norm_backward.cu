// Gradients of rms_norm; the formulas are in csrc/cpu/rms_norm_backward.cpp. A block does every gridDim.x-th
// row and keeps its sums for the weight in registers. The next row is loaded before the barriers of the
// current one.
#include "common/gpu_row_gradients.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <bool kFits, int N, class T>
__global__ void __launch_bounds__(GradientBlock<1, N, kFits>::kSize)
    rms_norm_backward_kernel(const T* grad, const T* x, const T* weight, T* grad_x, float* sums, int64_t rows,
                             int64_t n, float eps) {
  using Vector = Pack<T, N>;
  using Gradient = BlockGradients<1, kFits, N>;
  using Rows = BlockRows<2, Gradient::kHeld, kFits, N, T>;
  const Vector* weights = reinterpret_cast<const Vector*>(weight);
  Gradient gradients(sums + blockIdx.x * n, n);
  const auto load = [=](int64_t row) {
    const int64_t i = (row < rows ? row : rows - 1) * n;
    return Rows({x + i, grad + i}, n);
  };
  if (rows > 0) {
    Rows next = load(blockIdx.x);
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
      const Rows in = next;
      next = load(row + gridDim.x);
      float total[2] = {};
      in.each([&](const Vector(&pack)[2], int64_t i) {
        const Vector w = weights[i];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const float v = to_float(pack[0].v[k]);
          total[0] += v * v;
          total[1] += to_float(pack[1].v[k]) * to_float(w.v[k]) * v;
        }
      });
      block_sums(total);
      const float count = static_cast<float>(n), scale = rsqrtf(total[0] / count + eps);
      const float along = scale * scale * (scale * total[1] / count);
      Vector* result = reinterpret_cast<Vector*>(grad_x + row * n);
      const auto write = [&](const Vector(&pack)[2], int64_t i) {
        const Vector w = weights[i];
        float y[N];
#pragma unroll
        for (int k = 0; k < N; ++k)
          y[k] = to_float(pack[1].v[k]) * scale * to_float(w.v[k]) - to_float(pack[0].v[k]) * along;
        result[i] = pack_from_floats<T>(y);
      };
      gradients.add(in, write, [&](const Vector(&pack)[2], int k, int) {
        return to_float(pack[1].v[k]) * scale * to_float(pack[0].v[k]);
      });
    }
  }
  gradients.finish();
}

template <int N, class T>
void launch(const Args& args, int64_t rows, int64_t n, float eps) {
  const Gradients<1, T> gradients{{args.out[1].as<T>()}};
  sum_over_rows<1, N>(args, rows, n, gradients,
                      [&]<bool kFits>(std::bool_constant<kFits>, unsigned blocks, int threads, float* sums) {
                        rms_norm_backward_kernel<kFits, N><<<blocks, threads, 0, stream_of(args.stream)>>>(
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

extern Op rms_norm_backward_op;
static const Implement<rms_norm_backward_op, run> rms_norm_backward_cuda("CUDA");

}  // namespace cpp_ext
