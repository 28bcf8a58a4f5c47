// out = a / (1 + exp(-a)) * b, of the halves a and b of a row; see csrc/cpu/silu_and_mul.cpp.
#include "common/gpu_halves.h"
#include "common/gpu_silu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    silu_and_mul_kernel(const T* x, T* out, int64_t rows, int64_t packs) {
  using Vector = Pack<T, N>;
  const Vector* in = reinterpret_cast<const Vector*>(x);
  Vector* result = reinterpret_cast<Vector*>(out);
  for_rows(rows, packs, [&](int64_t row, int64_t i) {
    const int64_t at = 2 * row * packs + i;
    const Vector a = in[at], b = in[at + packs];
    float y[N];
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = SiluTimes{}(to_float(a.v[k]), to_float(b.v[k]));
    result[row * packs + i] = pack_from_floats<T>(y);
  });
}

template <class T>
void silu_and_mul(const T* x, T* out, int64_t rows, int64_t d, GpuStream stream) {
  constexpr int N = kPack<T>;
  if (d % N == 0 && aligned({x, out})) {
    const RowGrid grid(rows, d / N);
    silu_and_mul_kernel<N><<<grid.blocks, grid.threads, 0, stream>>>(x, out, rows, d / N);
  } else {
    const RowGrid grid(rows, d);
    silu_and_mul_kernel<1><<<grid.blocks, grid.threads, 0, stream>>>(x, out, rows, d);
  }
  check_launch("silu_and_mul");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View& out = args.out[0];
  const int64_t d = out.sizes[out.rank - 1];
  with_float_type(out.dtype, [&]<class T>(T*) {
    silu_and_mul(args.in[0].as<const T>(), out.as<T>(), out.numel / d, d, stream_of(args.stream));
  });
}

extern Op silu_and_mul_op;
static const Implement<silu_and_mul_op, run> silu_and_mul_cuda("CUDA");

}  // namespace cpp_ext
