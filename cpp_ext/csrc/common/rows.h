// Loops over one row: four vectors at a time, then single vectors, then the last part of a vector.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {

// Where a loop stands in its row: at kLanes elements from i on.
struct Whole {
  int64_t i;

  template <class T>
  Floats load(const T* row) const {
    return cpp_ext::load(row + i);
  }
  template <bool kStream = false, class T>
  void store(T* row, Floats v) const {
    put<kStream>(row + i, v);
  }
  Floats only(Floats v, float = 0.0f) const { return v; }
};

// At the last n < kLanes elements; the lanes behind them are loaded as zero and not stored.
struct Part {
  int64_t i, n;

  template <class T>
  Floats load(const T* row) const {
    return load_part(row + i, n);
  }
  template <bool kStream = false, class T>
  void store(T* row, Floats v) const {
    store_part(row + i, n, v);
  }
  // v with `rest` behind the row.
  Floats only(Floats v, float rest = 0.0f) const {
    float lanes[kLanes];
    cpp_ext::store(lanes, v);
    std::fill(lanes + n, lanes + kLanes, rest);
    return cpp_ext::load(lanes);
  }
};

// Calls f(at, k) for the elements first..last of a row; k < 4 is the index of the vector in one step. Bodies
// capture by reference: a copy of Exp would move its ten constants through memory for every row.
template <class F>
inline void along_row(int64_t first, int64_t last, const F& f) {
  int64_t i = first;
  for (; i + 4 * kLanes <= last; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) f(Whole{i + k * kLanes}, k);
  for (; i + kLanes <= last; i += kLanes) f(Whole{i}, 0);
  if (i < last) f(Part{i, last - i}, 0);
}

// Vectors that a cache line of T holds.
template <class T>
constexpr int kLineVectors =
    static_cast<int>(std::max<int64_t>(1, kCacheLine / (static_cast<int64_t>(sizeof(T)) * kLanes)));

// out[s][i] = f(at)[s] for the elements first..n of a row. Past the cache if kStream; `first` then begins a
// cache line of every output, and of several outputs whole lines are written in turn.
template <bool kStream, class T, size_t kOut, class F>
inline void write_rows(std::array<T*, kOut> out, int64_t first, int64_t n, const F& f) {
  constexpr int kStep = kStream && kOut > 1 ? std::clamp(kLineVectors<T>, 2, 4) : 2;
  int64_t i = first;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
#pragma GCC unroll 2
    for (int k = 0; k < 4; k += kStep) {
      const int64_t j = i + k * kLanes;
      std::array<Floats, kOut> y[kStep];
#pragma GCC unroll 4
      for (int v = 0; v < kStep; ++v) y[v] = f(Whole{j + v * kLanes});
#pragma GCC unroll 4
      for (size_t s = 0; s < kOut; ++s)
#pragma GCC unroll 2
        for (int v = 0; v < kStep; v += 2) put_two<kStream>(out[s] + j + v * kLanes, y[v][s], y[v + 1][s]);
    }
  const auto write_vector = [&](auto at) {
    const std::array<Floats, kOut> y = f(at);
    for (size_t s = 0; s < kOut; ++s) at.template store<kStream>(out[s], y[s]);
  };
  for (; i + kLanes <= n; i += kLanes) write_vector(Whole{i});
  if (i < n) write_vector(Part{i, n - i});
}

// out[i] = f(at) for a row of n elements, written past the cache if kStream. The row need not begin at a
// cache line: the elements before the first line boundary are stored as usual.
template <bool kStream, class T, class F>
inline void write_row(T* out, int64_t n, const F& f) {
  int64_t aligned = 0;
  if constexpr (kStream) {
    const auto past_line = static_cast<int64_t>(reinterpret_cast<uintptr_t>(out) % kCacheLine);
    aligned = std::min(n, (kCacheLine - past_line) % kCacheLine / static_cast<int64_t>(sizeof(T)));
    along_row(0, aligned, [=, &f](auto at, int) { at.store(out, f(at)); });
  }
  write_rows<kStream>(std::array{out}, aligned, n, [&f](auto at) { return std::array{f(at)}; });
}

// Prefetches the line with element i of the next row while this one is written, so that memory is busy during
// the second pass (docs/measurements.md, “Prefetching the next row”). Harmless past the end of the tensor.
template <class T>
inline void prefetch(const T* next, int64_t i) {
  if (i * static_cast<int64_t>(sizeof(T)) % kCacheLine == 0) __builtin_prefetch(next + i);
}

// The same in the first pass, some lines ahead, for rows that are written past the cache. Rows that stay in
// the caches lose up to a tenth by it.
template <class T>
inline void fetch_along(const T* row, int64_t i) {
  constexpr int64_t kAhead = 4096 / sizeof(T);
  fetch(row, i + kAhead);
}

// A single element, without a detour through memory: a load of a whole vector would wait for the element's
// narrow store (docs/measurements.md, “Few rows of a product”).
inline float element(const float* x) {
  return *x;
}
inline float element(const BF16* x) {
  return bf16_to_float(Halves{} + x->bits)[0];
}
inline float element(const F16* x) {
  return f16_to_float(Halves{} + x->bits)[0];
}
template <class T>
inline void set_element(T* x, float value) {
  store_part(x, 1, splat(value));
}

// kSums sums over a row: f(sum, at) adds the terms of the elements at `at` to sum[0], sum[1], ... Four
// accumulators of each hide the latency of the addition. They restart every kSteps terms, so that the
// rounding error does not grow with the length of the row.
constexpr int64_t kSteps = 32;

template <int kSums, class F>
inline std::array<float, kSums> sums_of_row(int64_t n, const F& f) {
  Floats total[kSums] = {};
  for (int64_t i = 0; i < n; i += kSteps * 4 * kLanes) {
    Floats sum[4][kSums] = {};
    along_row(i, std::min(n, i + kSteps * 4 * kLanes), [&sum, &f](auto at, int k) { f(sum[k], at); });
    for (int s = 0; s < kSums; ++s) total[s] += (sum[0][s] + sum[1][s]) + (sum[2][s] + sum[3][s]);
  }
  std::array<float, kSums> result;
  for (int s = 0; s < kSums; ++s) result[s] = sum_of(total[s]);
  return result;
}

}  // namespace cpp_ext
