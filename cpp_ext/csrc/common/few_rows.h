// y = f(x @ w, bias) for a few rows of x and a weight [inputs, outputs], as one pass over the weight at the
// speed of memory. PyTorch's products (MKL, oneDNN) reach less than half of it for one row.
#pragma once

#include <utility>

#include "common/elementwise.h"
#include "common/matmul.h"
#include "common/parallel.h"
#include "common/rows.h"
#include "common/scratch.h"

namespace cpp_ext {

// Up to so many rows this is faster than PyTorch's product, which multiplies pairs of bfloat16 in one
// instruction (docs/measurements.md, “Few rows of a product”).
constexpr int64_t kFewRows = 8, kFewRowsOfBF16 = 4;

inline bool is_few(int64_t rows, DType dtype) {
  return rows <= (dtype == DType::bf16 && has_product(dtype) ? kFewRowsOfBF16 : kFewRows);
}

constexpr int kDeep = 8;                // rows of the weight read side by side, as many as prefetchers follow
constexpr int64_t kTerms = 128;         // terms of one partial sum: longer sums lose digits
constexpr int64_t kFewGrain = 1 << 16;  // products

// Columns of kM rows whose sums stay in the first-level cache.
template <int kM>
constexpr int64_t kColumns = kM > 4 ? 1024 : 2048;

// Adds the terms of kD rows of the weight to the sums of n columns, and prefetches the next kD rows: the
// hardware prefetcher stops at a page boundary (docs/measurements.md, “Prefetching weights”).
template <int kM, int kD, class T>
inline void add_terms(const T* x, int64_t inputs, const T* w, int64_t outputs, int64_t n, float* sums) {
  Floats factor[kM][kD];
  for (int m = 0; m < kM; ++m)
    for (int d = 0; d < kD; ++d) factor[m][d] = splat(element(x + m * inputs + d));
  const auto add = [&](auto at, int) __attribute__((always_inline)) {
    Floats weight[kD];
#pragma GCC unroll 8
    for (int d = 0; d < kD; ++d) weight[d] = at.load(w + d * outputs);
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
      Floats sum = weight[0] * factor[m][0];
#pragma GCC unroll 8
      for (int d = 1; d < kD; ++d) sum += weight[d] * factor[m][d];
      float* row_sums = sums + m * outputs;
      at.store(row_sums, at.load(row_sums) + sum);
    }
  };
  constexpr int64_t kLine = kLineVectors<T> * kLanes, kStep = std::max<int64_t>(4 * kLanes, kLine);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
#pragma GCC unroll 8
    for (int d = 0; d < kD; ++d)
#pragma GCC unroll 4
      for (int64_t line = 0; line < kStep; line += kLine) fetch(w, (kD + d) * outputs + i + line);
#pragma GCC unroll 8
    for (int64_t k = 0; k < kStep; k += kLanes) add(Whole{i + k}, 0);
  }
  along_row(i, n, add);
}

inline int64_t pieces_of(int64_t inputs) {
  return std::max<int64_t>(1, (inputs + kTerms - 1) / kTerms);
}

// Partial sums of kM rows, [pieces_of(inputs), kM, outputs]. Threads divide the weight by rows, so each reads
// one contiguous piece; strips of columns reach two thirds of the bandwidth.
template <int kM, class T>
void sums_of_pieces(const T* x, int64_t inputs, const T* w, int64_t outputs, float* sums) {
  const int64_t blocks = (outputs + kColumns<kM> - 1) / kColumns<kM>;
  const int64_t products = kTerms * std::clamp<int64_t>(outputs, 1, kColumns<kM>);  // of an item
  parallel_for(pieces_of(inputs) * blocks, std::max<int64_t>(1, kFewGrain / products),
               [=](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t piece = i / blocks, first = i % blocks * kColumns<kM>;
                   const int64_t n = std::min(kColumns<kM>, outputs - first);
                   float* piece_sums = sums + piece * kM * outputs + first;
                   for (int m = 0; m < kM; ++m) std::fill_n(piece_sums + m * outputs, n, 0.0f);
                   int64_t k = piece * kTerms;
                   const int64_t last = std::min(inputs, k + kTerms);
                   const auto add = [&]<int kD>(std::integral_constant<int, kD>) {
                     for (; k + kD <= last; k += kD)
                       add_terms<kM, kD>(x + k, inputs, w + k * outputs + first, outputs, n, piece_sums);
                   };
                   add(std::integral_constant<int, kDeep>{});
                   add(std::integral_constant<int, 1>{});
                 }
               });
}

// For 1 to kFewRows rows.
template <class T, class F>
void few_rows(Device device, int64_t rows, const T* x, int64_t inputs, const T* w, int64_t outputs,
              const T* bias, T* y, const F& f) {
  const int64_t pieces = pieces_of(inputs), size = rows * outputs;
  const Scratch scratch(device, pieces * size * sizeof(float));
  float* sums = scratch.as<float>();
  [&]<int... kM>(std::integer_sequence<int, kM...>) {
    ((rows == kM + 1 ? sums_of_pieces<kM + 1>(x, inputs, w, outputs, sums) : void()), ...);
  }(std::make_integer_sequence<int, kFewRows>{});
  parallel_for_blocks(
      size, 1024, std::max<int64_t>(1024, kFewGrain / pieces), [=](int64_t begin, int64_t end) {
        for_row_pieces(begin, end, outputs, [=](int64_t row, int64_t column, int64_t n) {
          float* total = sums + row * outputs + column;
          for (int64_t piece = 1; piece < pieces; ++piece)
            for (int64_t j = 0; j < n; ++j) total[j] += total[piece * size + j];
          apply<false>(y + row * outputs + column, n, f, static_cast<const float*>(total), bias + column);
        });
      });
}

}  // namespace cpp_ext
