// The MLP of GPT-2: cuBLAS by way of PyTorch, bias and GELU in place between; see csrc/cpu/gpt2_mlp.cpp.
#include "common/checks.h"
#include "common/gpu_gelu.h"
#include "common/gpu_halves.h"
#include "common/matmul.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    bias_gelu_kernel(T* hidden, const T* bias, int64_t rows, int64_t packs) {
  using Vector = Pack<T, N>;
  Vector* values = reinterpret_cast<Vector*>(hidden);
  const Vector* biases = reinterpret_cast<const Vector*>(bias);
  for_rows(rows, packs, [&](int64_t row, int64_t i) {
    const Vector x = values[row * packs + i], b = biases[i];
    float y[N];
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = GeluTanh{}(to_float(x.v[k]) + to_float(b.v[k]));
    values[row * packs + i] = pack_from_floats<T>(y);
  });
}

template <class T>
void bias_gelu(T* hidden, const T* bias, int64_t rows, int64_t d, GpuStream stream) {
  constexpr int N = kPack<T>;
  if (d % N == 0 && aligned({hidden, bias})) {
    const RowGrid grid(rows, d / N);
    bias_gelu_kernel<N><<<grid.blocks, grid.threads, 0, stream>>>(hidden, bias, rows, d / N);
  } else {
    const RowGrid grid(rows, d);
    bias_gelu_kernel<1><<<grid.blocks, grid.threads, 0, stream>>>(hidden, bias, rows, d);
  }
  check_launch("gpt2_mlp");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View &x = args.in[0], &w1 = args.in[1], &w2 = args.in[3], &out = args.out[0];
  const int64_t inner = w1.sizes[1], columns = w2.sizes[1], rows = out.numel / columns;
  const Scratch scratch(x.device, rows * inner * size_of(x.dtype));
  const Matrix hidden{scratch.as<void>(), rows, inner, inner};
  matmul(x, {x.data, rows, w1.sizes[0], w1.sizes[0]}, {w1.data, w1.sizes[0], inner, inner}, nullptr, hidden);
  if (rows * inner > 0)
    with_float_type(x.dtype, [&]<class T>(T*) {
      bias_gelu(scratch.as<T>(), args.in[2].as<const T>(), rows, inner, stream_of(args.stream));
    });
  matmul(x, hidden, {w2.data, inner, columns, columns}, args.in[4].data, {out.data, rows, columns, columns});
}

extern Op gpt2_mlp_op;
static const Implement<gpt2_mlp_op, run> gpt2_mlp_cuda("CUDA");

}  // namespace cpp_ext
