// out = x / sqrt(mean(x^2) + eps) * weight, over the last dimension (Zhang and Sennrich 2019,
// arXiv:1910.07467, equation 4). A row is read twice; the second time it comes from the cache.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/rows.h"

namespace cpp_ext {
namespace {

// Elements; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = 1 << 16;

template <bool kStream, class T>
void rms_norm_row(const T* x, const T* weight, T* out, int64_t n, float eps) {
  const auto [squares] = sums_of_row<1>(n, [=](Floats* sum, auto at) {
    if constexpr (kStream) fetch_along(x, at.i);
    const Floats v = at.load(x);
    sum[0] += v * v;
  });
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  write_row<kStream>(out, n, [=](auto at) {
    if constexpr (kStream) prefetch(x + n, at.i);
    return at.load(x) * scale * at.load(weight);
  });
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
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  require_last_dimension(args, 1, 0);
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
