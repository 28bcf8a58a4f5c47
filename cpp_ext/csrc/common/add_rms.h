// sum = x + residual and out = rms_norm(sum) * weight, row by row. fused_add_rms_norm writes them into
// residual and x, add_rms_norm into new tensors. The sum is rounded to the storage type before it is
// normalised, so the result is that of an addition followed by rms_norm.
#pragma once

#include "common/checks.h"
#include "common/parallel.h"
#include "common/rows.h"

namespace cpp_ext {

// Elements: half the grain size of rms_norm, for twice the traffic (not measured).
constexpr int64_t kAddRmsGrain = 1 << 15;

inline Floats rounded(const float*, Floats v) {
  return v;
}
inline Floats rounded(const BF16*, Floats v) {
  return bf16_to_float(float_to_bf16(v));
}
inline Floats rounded(const F16*, Floats v) {
  return f16_to_float(float_to_f16(v));
}

// The first pass writes the sum, and the second one reads it from the L1 cache. With stores past the cache it
// would not be there: then both passes add, and the second one writes both outputs.
template <bool kStream, class T>
void add_rms_row(const T* x, const T* residual, const T* weight, T* out, T* sum, int64_t n, float eps) {
  const auto add = [=](auto at) { return at.load(x) + at.load(residual); };
  const auto [squares] = sums_of_row<1>(n, [=](Floats* squares, auto at) {
    if constexpr (kStream) {
      fetch_along(x, at.i);
      fetch_along(residual, at.i);
    }
    const Floats added = add(at), v = rounded(x, added);
    if constexpr (!kStream) at.store(sum, added);  // which shares its rounding with that of v
    squares[0] += v * v;
  });
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  if constexpr (kStream)
    write_rows<true>(std::array{sum, out}, 0, n, [=](auto at) {
      prefetch(x + n, at.i);
      prefetch(residual + n, at.i);
      const Floats added = add(at);
      return std::array{added, rounded(x, added) * scale * at.load(weight)};
    });
  else
    write_row<false>(out, n, [=](auto at) { return at.load(sum) * scale * at.load(weight); });
}

// Into `out` and `sum`, which may be x and residual themselves.
template <class T>
void add_rms_norm(const Args& args, const View& out_view, const View& sum_view, bool past_cache) {
  const T *x = args.in[0].as<T>(), *residual = args.in[1].as<T>(), *weight = args.in[2].as<T>();
  T *out = out_view.as<T>(), *sum = sum_view.as<T>();
  const int64_t n = args.in[2].numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  parallel_for(out_view.numel / n, std::max<int64_t>(1, kAddRmsGrain / n), [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [=]<bool kStream>(std::bool_constant<kStream>) {
      for (int64_t i = begin * n; i < end * n; i += n)
        add_rms_row<kStream>(x + i, residual + i, weight, out + i, sum + i, n, eps);
    });
  });
}

inline void require_add_rms(const Args& args) {
  require_float(args, 0);
  for (int i = 1; i < 3; ++i) require_same_dtype(args, i, 0);
  require_last_dimension(args, 2, 0);
  require_same_shape(args, 1, 0);
}

}  // namespace cpp_ext
