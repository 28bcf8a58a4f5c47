// out = x / sqrt(mean(x^2) + eps) * weight, over the last dimension (Zhang and Sennrich 2019,
// arXiv:1910.07467, equation 4). A row is read twice; the second time it comes from the cache.
#include <cmath>

#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {
namespace {

// Elements. One thread against two on idle cores, float32 (bfloat16): 2^15 7.3 and 6.7 us (12.1 and 9.1),
// 2^16 11.8 and 8.7 (20.6 and 14.2).
constexpr int64_t kGrain = 1 << 15;

// Four sums hide the latency of the addition and keep the rounding error of long rows low.
template <class T>
float sum_of_squares(const T* x, int64_t n) {
  Floats sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const Floats v = load(x + i + k * kLanes);
      sum[k] += v * v;
    }
  for (; i < n; i += kLanes) {
    const Floats v = n - i >= kLanes ? load(x + i) : load_part(x + i, n - i);
    sum[0] += v * v;
  }
  return sum_of((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <bool kStream, class T>
void rms_norm_row(const T* x, const T* weight, T* out, int64_t n, float eps) {
  const float scale = 1.0f / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps);
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const int64_t j = i + k * kLanes;
      put<kStream>(out + j, load(x + j) * scale * load(weight + j));
    }
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) * scale * load(weight + i));
  if (i < n) store_part(out + i, n - i, load_part(x + i, n - i) * scale * load_part(weight + i, n - i));
}

template <class T>
void rms_norm(const T* x, const T* weight, const View& output, int64_t n, float eps) {
  T* out = output.as<T>();
  const bool past_cache = streams<T>(output, n);
  parallel_for(output.numel / n, std::max<int64_t>(1, kGrain / n), [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
      for (int64_t row = begin; row < end; ++row)
        rms_norm_row<kStream>(x + row * n, weight, out + row * n, n, eps);
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1];
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  if (x.rank < 1) fail_rank(args, 0, "at least 1");
  const int64_t* last = x.sizes + x.rank - 1;
  if (!same_shape(weight, last, 1)) fail_shape(args, 1, shape_text(last, 1) + ", the last dimension of x");
}

void run(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &out = args.out[0];
  const int64_t n = weight.numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(x.dtype, [&]<class T>(T*) { rms_norm(x.as<T>(), weight.as<T>(), out, n, eps); });
}

}  // namespace

constinit Op rms_norm_op{.name = "rms_norm",
                         .schema = "(Tensor x, Tensor weight, float eps) -> Tensor",
                         .check = check,
                         .outputs = {{.name = "out", .like = 0}}};
static const DefineWithCpu<rms_norm_op, run> rms_norm_cpu;

}  // namespace cpp_ext
