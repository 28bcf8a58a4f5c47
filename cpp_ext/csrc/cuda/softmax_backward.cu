// The gradient of softmax(scale x + mask) by x; see csrc/cpu/softmax_backward.cpp. Threads keep what they
// read for the sum in registers; what does not fit is read again, from the second-level cache.
#include "common/gpu_row_groups.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <int N, bool kWarp, class T>
__global__ void __launch_bounds__(RowGroup<kWarp>::kBlock)
    softmax_backward_kernel(const T* grad, const T* output, T* out, int64_t rows, int64_t n, float scale) {
  using Vector = Pack<T, N>;
  using Group = RowGroup<kWarp>;
  constexpr int kHeld = kWarp ? kWarpRow / N / 32 : kHeldPacks<N>;
  const int64_t packs = n / N;
  for (int64_t row = Group::first_row(); row < rows; row += Group::row_step()) {
    const Vector* grads = reinterpret_cast<const Vector*>(grad + row * n);
    const Vector* outputs = reinterpret_cast<const Vector*>(output + row * n);
    Vector g[kHeld], y[kHeld];
    float products = 0.0f;
    const auto add = [&](Vector a, Vector b) {
#pragma unroll
      for (int k = 0; k < N; ++k) products += to_float(a.v[k]) * to_float(b.v[k]);
    };
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = Group::lane() + h * Group::width();
      if (i < packs) add(g[h] = grads[i], y[h] = outputs[i]);
    }
    const int64_t rest = Group::lane() + kHeld * Group::width();
#pragma unroll 1  // more would take too many registers
    for (int64_t i = rest; i < packs; i += Group::width()) add(grads[i], outputs[i]);

    const float sum = Group::sum(products);
    const auto write = [&](int64_t i, Vector a, Vector b) {
      float result[N];
#pragma unroll
      for (int k = 0; k < N; ++k) result[k] = (to_float(a.v[k]) - sum) * (to_float(b.v[k]) * scale);
      reinterpret_cast<Vector*>(out + row * n)[i] = pack_from_floats<T>(result);
    };
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = Group::lane() + h * Group::width();
      if (i < packs) write(i, g[h], y[h]);
    }
#pragma unroll 1  // more would take too many registers
    for (int64_t i = rest; i < packs; i += Group::width()) write(i, grads[i], outputs[i]);
  }
}

template <int N, class T>
void launch(const T* grad, const T* output, T* out, int64_t rows, int64_t n, float scale, GpuStream stream) {
  for_row_groups<N>(rows, n, [&]<bool kWarp>(std::bool_constant<kWarp>, unsigned blocks, int threads) {
    softmax_backward_kernel<N, kWarp><<<blocks, threads, 0, stream>>>(grad, output, out, rows, n, scale);
  });
  check_launch("softmax_backward");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View &grad = args.in[0], &output = args.in[1], &out = args.out[0];
  const int64_t n = grad.sizes[grad.rank - 1], rows = out.numel / n;
  const float scale = static_cast<float>(args.scalars[0].real);
  with_float_type(grad.dtype, [&]<class T>(T*) {
    const GpuStream stream = stream_of(args.stream);
    if (n % kPack<T> == 0 && aligned({grad.data, output.data, out.data})) {
      launch<kPack<T>>(grad.as<const T>(), output.as<const T>(), out.as<T>(), rows, n, scale, stream);
    } else {
      launch<1>(grad.as<const T>(), output.as<const T>(), out.as<T>(), rows, n, scale, stream);
    }
  });
}

extern Op softmax_backward_op;
static const Implement<softmax_backward_op, run> softmax_backward_cuda("CUDA");

}  // namespace cpp_ext
