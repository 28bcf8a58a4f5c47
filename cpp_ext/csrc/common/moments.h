// Mean and variance of a row in one pass, for layer_norm and its gradient.
#pragma once

#include "common/rows.h"

namespace cpp_ext {

// The normalised x is (x - shift) * scale + offset. With the mean folded into one float32, as in x * scale +
// offset, a row whose mean is much larger than its deviation would lose digits.
struct Moments {
  float shift, scale, offset;

  template <class V>
  V normalised(V x) const {
    return (x - shift) * scale + offset;
  }
};

// Moments of x, and kMore sums over the row beside them: more(sum, at, d) adds their terms to sum[0].., where
// d is x - shift. The squares are taken of x - shift (Chan, Golub and LeVeque 1983, "Algorithms for computing
// the sample variance", equation 1.5a), shift being the mean of the row's first vector. Where that turns out
// to be further from the mean than the deviation, a second pass with a better one keeps the sums from
// cancelling.
template <int kMore, class T, class F>
inline Moments moments_of(const T* x, int64_t n, float eps, std::array<float, kMore>& sums, const F& more) {
  const float count = static_cast<float>(n);
  float shift = n < kLanes ? sum_of(load_part(x, n)) / count : sum_of(load(x)) / kLanes;
  for (int pass = 0;; ++pass) {
    const Floats subtract = splat(shift);
    const auto total = sums_of_row<2 + kMore>(n, [=](Floats* sum, auto at) {
      const Floats d = at.only(at.load(x) - subtract);
      sum[0] += d;
      sum[1] += d * d;
      more(sum + 2, at, d);
    });
    const float distance = total[0] / count;
    const double variance = std::max(
        static_cast<double>(total[1]) / n - static_cast<double>(distance) * distance, 0.0);  // NaN stays
    if (pass == 0 && static_cast<double>(distance) * distance > variance) {
      shift += distance;
      continue;
    }
    for (int s = 0; s < kMore; ++s) sums[s] = total[2 + s];
    const float scale = static_cast<float>(1.0 / std::sqrt(variance + eps));
    return {shift, scale, -distance * scale};
  }
}

// `kStream`: what is made of the row is written past the cache.
template <bool kStream, class T>
inline Moments moments_of(const T* x, int64_t n, float eps) {
  std::array<float, 0> none;
  return moments_of<0>(x, n, eps, none, [=](Floats*, auto at, Floats) {
    if constexpr (kStream) fetch_along(x, at.i);
  });
}

}  // namespace cpp_ext
