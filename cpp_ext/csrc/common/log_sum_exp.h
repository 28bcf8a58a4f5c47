// Maximum and sum of exponentials of a row in one pass (Milakov and Gimelshein 2018, arXiv:1805.02867). Every
// lane keeps a running maximum and rescales its sum when the maximum grows, at most once a block of vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/exp.h"
#include "common/rows.h"

namespace cpp_ext {

constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// max: the largest value, at least the lowest finite number; sum: of e^(v - max), 0 where all are -inf and
// NaN where a value is NaN or +inf; total: of the values themselves, where asked for.
struct RowSums {
  float max = kLowest, sum = 0.0f, total = 0.0f;

  void merge(const RowSums& other) {
    const float top = std::max(max, other.max);
    sum = sum * std::exp(max - top) + other.sum * std::exp(other.max - top);
    total += other.total;
    max = top;
  }
};

// A few long rows are cut into parts, so that all threads have work. The number of parts depends on the sizes
// only, so the result does not depend on the number of threads.
constexpr int64_t kRowParts = 16;      // of all rows together
constexpr int64_t kRowPart = 1 << 14;  // elements, at least

inline int64_t parts_of_row(int64_t rows, int64_t n) {
  if (rows < 1 || 2 * rows > kRowParts || n < 2 * kRowPart) return 1;
  return std::min(kRowParts / rows, n / kRowPart);
}

// Where part i of a row of n elements begins, and where the one before it ends.
inline int64_t part_of_row(int64_t i, int64_t parts, int64_t n) {
  return i == parts ? n : i * n / parts / (4 * kLanes) * (4 * kLanes);
}

// Pairwise sum: fewest roundings, and no long chain of dependent additions.
template <int kBlock>
inline Floats tree_sum(const Floats (&v)[kBlock]) {
  Floats t[kBlock];
  std::copy(v, v + kBlock, t);
#pragma GCC unroll 4
  for (int width = kBlock / 2; width > 0; width /= 2)
#pragma GCC unroll 4
    for (int k = 0; k < width; ++k) t[k] += t[k + width];
  return t[0];
}

constexpr int64_t kSumLength = 256;  // blocks, after which sums begin anew: 4008 of them lost 1.3e-6

// Of value(at), a vector of the row, for its elements begin..end.
template <bool kTotal, class Value>
RowSums max_and_sum(int64_t begin, int64_t end, const Value& value) {
  const Exp exp;
  Floats max = splat(kLowest), sum = {}, total = {};
  Floats max_before = max, sum_before = {};  // of the sums that have ended
  // `addends` are the values with 0 behind the row instead of -inf.
  const auto add = [&]<int kBlock>(const Floats(&v)[kBlock], const Floats(&addends)[kBlock]) {
    Floats top = v[0];
#pragma GCC unroll 8
    for (int k = 1; k < kBlock; ++k) top = larger(v[k], top);
    top = larger(top, max);  // a NaN is passed over here and enters the sum
    Floats e[kBlock];
#pragma GCC unroll 8
    for (int k = 0; k < kBlock; ++k) e[k] = exp(v[k] - top);
    sum = sum * exp(max - top) + tree_sum(e);
    max = top;
    if constexpr (kTotal) total += tree_sum(addends);
  };
  // What a block has no registers for goes through memory: 16 of them with AVX2, 32 with AVX-512.
  constexpr int kBlock = kLanes == 16 ? 8 : 4;
  int64_t i = begin;
  for (int64_t last; (last = std::min(end, i + kSumLength * kBlock * kLanes)) - i >= kBlock * kLanes;) {
    for (; i + kBlock * kLanes <= last; i += kBlock * kLanes) {
      Floats v[kBlock];
#pragma GCC unroll 8
      for (int k = 0; k < kBlock; ++k) v[k] = value(Whole{i + k * kLanes});
      add(v, v);
    }
    sum_before = sum_before * exp(max_before - max) + sum;
    max_before = max;
    sum = Floats{};
  }
  along_row(i, end, [&](auto at, int) {
    const Floats v = value(at), with_inf[1] = {at.only(v, -kInfinity)}, with_zero[1] = {at.only(v)};
    add(with_inf, with_zero);
  });
  const float top = max_of(max);
  sum += sum_before * exp(max_before - max);
  return {top, sum_of(sum * exp(max - top)), kTotal ? sum_of(total) : 0.0f};
}

}  // namespace cpp_ext
