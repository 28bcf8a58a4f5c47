// The gradient of silu_and_mul by both halves of x; see common/gpu_silu.h.
#include "common/gpu_halves.h"
#include "common/gpu_silu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    silu_and_mul_backward_kernel(const T* grad, const T* x, T* out, int64_t rows, int64_t packs) {
  using Vector = Pack<T, N>;
  const Vector *grads = reinterpret_cast<const Vector*>(grad), *in = reinterpret_cast<const Vector*>(x);
  Vector* result = reinterpret_cast<Vector*>(out);
  for_rows(rows, packs, [&](int64_t row, int64_t i) {
    const int64_t at = 2 * row * packs + i;
    Vector grad_a, grad_b;
    silu_times_gradients(grads[row * packs + i], in[at], in[at + packs], grad_a, grad_b);
    result[at] = grad_a;
    result[at + packs] = grad_b;
  });
}

template <class T>
void silu_and_mul_backward(const T* grad, const T* x, T* out, int64_t rows, int64_t d, GpuStream stream) {
  constexpr int N = kPack<T>;
  if (d % N == 0 && aligned({grad, x, out})) {
    const RowGrid grid(rows, d / N);
    silu_and_mul_backward_kernel<N><<<grid.blocks, grid.threads, 0, stream>>>(grad, x, out, rows, d / N);
  } else {
    const RowGrid grid(rows, d);
    silu_and_mul_backward_kernel<1><<<grid.blocks, grid.threads, 0, stream>>>(grad, x, out, rows, d);
  }
  check_launch("silu_and_mul_backward");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View& grad = args.in[0];
  const int64_t d = grad.sizes[grad.rank - 1];
  with_float_type(grad.dtype, [&]<class T>(T*) {
    silu_and_mul_backward(grad.as<const T>(), args.in[1].as<const T>(), args.out[0].as<T>(), grad.numel / d,
                          d, stream_of(args.stream));
  });
}

extern Op silu_and_mul_backward_op;
static const Implement<silu_and_mul_backward_op, run> silu_and_mul_backward_cuda("CUDA");

}  // namespace cpp_ext
