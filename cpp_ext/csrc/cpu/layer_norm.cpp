// out = (x - mean) / sqrt(var + eps) * weight + bias, mean and (biased) variance over the last dimension (Ba,
// Kiros and Hinton 2016, arXiv:1607.06450, equation 4). A row is read twice; the second time it comes from
// the cache.
#include "common/checks.h"
#include "common/moments.h"
#include "common/parallel.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// Elements; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = 1 << 15;

template <bool kStream, bool kBias, class T>
void layer_norm_row(const T* x, const T* weight, const T* bias, T* out, int64_t n, float eps) {
  const Moments moments = moments_of<kStream>(x, n, eps);
  write_row<kStream>(out, n, [=](auto at) {
    if constexpr (kStream) prefetch(x + n, at.i);
    Floats y = moments.normalised(at.load(x)) * at.load(weight);
    if constexpr (kBias) y += at.load(bias);
    return y;
  });
}

template <class T>
void layer_norm(const T* x, const T* weight, const T* bias, const View& output, int64_t n, float eps) {
  T* out = output.as<T>();
  const bool past_cache = streams<T>(output, n);
  parallel_for(output.numel / n, std::max<int64_t>(1, kGrain / n), [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
      for (int64_t i = begin * n; i < end * n; i += n)
        if (bias)
          layer_norm_row<kStream, true>(x + i, weight, bias, out + i, n, eps);
        else
          layer_norm_row<kStream, false>(x + i, weight, bias, out + i, n, eps);
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  require_last_dimension(args, 1, 0);
  if (!args.in[2].defined) return;
  require_same_dtype(args, 2, 0);
  require_last_dimension(args, 2, 0);
}

void run(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &bias = args.in[2];
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(x.dtype, [&]<class T>(T*) {
    layer_norm(x.as<const T>(), weight.as<const T>(), bias.defined ? bias.as<const T>() : nullptr,
               args.out[0], weight.numel, eps);
  });
}

}  // namespace

constinit Op layer_norm_op{.name = "layer_norm",
                           .schema = "(Tensor x, Tensor weight, Tensor? bias, float eps) -> Tensor",
                           .check = check,
                           .outputs = {{.name = "out", .like = 0}}};
static const DefineWithCpu<layer_norm_op, run> layer_norm_cpu;

}  // namespace cpp_ext
