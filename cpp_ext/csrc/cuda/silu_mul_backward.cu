// The gradients of silu_mul by gate and up; see common/gpu_silu.h.
#include "common/gpu.h"
#include "common/gpu_silu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// Elements i of tensors seen as packs of N.
template <int N, class T>
__device__ inline void gradients_at(int64_t i, const T* grad, const T* gate, const T* up, T* grad_gate,
                                    T* grad_up) {
  using Vector = Pack<T, N>;
  const auto at = [i](const T* p) { return reinterpret_cast<const Vector*>(p)[i]; };
  Vector for_gate, for_up;
  silu_times_gradients(at(grad), at(gate), at(up), for_gate, for_up);
  reinterpret_cast<Vector*>(grad_gate)[i] = for_gate;
  reinterpret_cast<Vector*>(grad_up)[i] = for_up;
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    silu_mul_backward_kernel(int64_t n, const T* grad, const T* gate, const T* up, T* grad_gate, T* grad_up) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (int64_t i = first; i < n / N; i += stride) gradients_at<N>(i, grad, gate, up, grad_gate, grad_up);
  if (N > 1 && first < n % N) gradients_at<1>(n - n % N + first, grad, gate, up, grad_gate, grad_up);
}

template <class T>
void silu_mul_backward(int64_t n, const T* grad, const T* gate, const T* up, T* grad_gate, T* grad_up,
                       GpuStream stream) {
  constexpr int N = kPack<T>;
  if (aligned({grad, gate, up, grad_gate, grad_up})) {
    silu_mul_backward_kernel<N><<<blocks_for((n + N - 1) / N, kThreads), kThreads, 0, stream>>>(
        n, grad, gate, up, grad_gate, grad_up);
  } else {
    silu_mul_backward_kernel<1>
        <<<blocks_for(n, kThreads), kThreads, 0, stream>>>(n, grad, gate, up, grad_gate, grad_up);
  }
  check_launch("silu_mul_backward");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    silu_mul_backward(args.in[0].numel, args.in[0].as<const T>(), args.in[1].as<const T>(),
                      args.in[2].as<const T>(), args.out[0].as<T>(), args.out[1].as<T>(),
                      stream_of(args.stream));
  });
}

extern Op silu_mul_backward_op;
static const Implement<silu_mul_backward_op, run> silu_mul_backward_cuda("CUDA");

}  // namespace cpp_ext
