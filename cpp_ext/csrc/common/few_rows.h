// y = f(x @ w, bias) for a few rows of x and a weight [inputs, outputs], as one pass over the weight at the
// speed of memory. PyTorch's products (MKL, oneDNN) stay below half of it for one row.
#pragma once

#include <utility>

#include "common/elementwise.h"
#include "common/parallel.h"
#include "common/rows.h"

namespace cpp_ext {

// GPT-2 medium's MLP on a Zen 5, ms, here and by PyTorch's products: float32 1 row 0.71 and 1.53, 4 rows 0.97
// and 2.97, 8 rows 1.33 and 3.12; bfloat16 1 row 0.46 and 1.01, 4 rows 0.54 and 1.02, 8 rows 1.10 and 1.11,
// by instructions that multiply pairs of it.
constexpr int64_t kFewRows = 8, kFewRowsOfBF16 = 4;

inline bool is_few(int64_t rows, DType dtype) {
  return rows <= (dtype == DType::bf16 ? kFewRowsOfBF16 : kFewRows);
}

constexpr int kDeep = 8;         // rows of the weight side by side: as many streams as prefetchers follow
constexpr int64_t kTerms = 512;  // of a sum, before it begins anew: long ones lose digits
constexpr int64_t kUnit = 64;    // columns: a cache line and more of every dtype
constexpr int64_t kFewGrain = 1 << 16;  // products

// Columns of kM rows whose sums stay in the first-level cache.
template <int kM>
constexpr int64_t kColumns = kM > 4 ? 1024 : 2048;

// Adds the terms of kD rows of the weight from k on to the sums of n columns.
template <int kM, int kD, class T>
inline void add_terms(const T* x, int64_t inputs, const T* w, int64_t outputs, int64_t n,
                      float (*sums)[kColumns<kM>]) {
  Floats factor[kM][kD];
  for (int m = 0; m < kM; ++m)
    for (int d = 0; d < kD; ++d) factor[m][d] = splat(element(x + m * inputs + d));
  along_row(0, n, [&](auto at, int) {
    Floats weight[kD];
#pragma GCC unroll 8
    for (int d = 0; d < kD; ++d) weight[d] = at.load(w + d * outputs);
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
      Floats sum = weight[0] * factor[m][0];
#pragma GCC unroll 8
      for (int d = 1; d < kD; ++d) sum += weight[d] * factor[m][d];
      at.store(sums[m], at.load(sums[m]) + sum);
    }
  });
}

template <int kM, class T, class F>
void few_rows(const T* x, int64_t inputs, const T* w, int64_t outputs, const T* bias, T* y, const F& f) {
  const int64_t units = (outputs + kUnit - 1) / kUnit;
  const int64_t grain = std::max<int64_t>(1, kFewGrain / std::max<int64_t>(1, inputs * kUnit));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    alignas(64) float totals[kM][kColumns<kM>];
    alignas(64) float sums[kM][kColumns<kM>];
    const int64_t last = std::min(end * kUnit, outputs);
    for (int64_t first = begin * kUnit; first < last; first += kColumns<kM>) {
      const int64_t n = std::min(kColumns<kM>, last - first);
      for (auto& row : sums) std::fill_n(row, n, 0.0f);
      for (auto& row : totals) std::fill_n(row, n, 0.0f);
      int64_t k = 0;
      while (k < inputs) {
        const int64_t end = std::min(inputs, k + kTerms);
        for (; k + kDeep <= end; k += kDeep)
          add_terms<kM, kDeep>(x + k, inputs, w + k * outputs + first, outputs, n, sums);
        for (; k < end; ++k) add_terms<kM, 1>(x + k, inputs, w + k * outputs + first, outputs, n, sums);
        for (int m = 0; m < kM; ++m)
          for (int64_t j = 0; j < n; ++j) totals[m][j] += sums[m][j], sums[m][j] = 0.0f;
      }
      for (int m = 0; m < kM; ++m)
        apply<false>(y + m * outputs + first, n, f, static_cast<const float*>(totals[m]), bias + first);
    }
  });
}

// The same for 1 to kFewRows rows.
template <class T, class F>
void few_rows(int64_t rows, const T* x, int64_t inputs, const T* w, int64_t outputs, const T* bias, T* y,
              const F& f) {
  [&]<int... kM>(std::integer_sequence<int, kM...>) {
    ((rows == kM + 1 ? few_rows<kM + 1>(x, inputs, w, outputs, bias, y, f) : void()), ...);
  }(std::make_integer_sequence<int, kFewRows>{});
}

}  // namespace cpp_ext
