// The gradients of a norm's weight and bias are sums over all rows. The rows are divided into parts, whose
// number depends on the number of rows only. Each part has its own float32 sums, which are added up in a
// fixed order, so the result does not depend on the number of threads.
#pragma once

#include "common/checks.h"
#include "common/parallel.h"
#include "common/rows.h"
#include "common/scratch.h"

namespace cpp_ext {

constexpr int64_t kPartRows = 16;    // least rows of a part, which writes and reads its sums once
constexpr int64_t kManyParts = 128;  // enough for all threads: with more rows, parts get longer,
constexpr int64_t kMostRows = 512;   // but no longer than this, which bounds the rounding error
constexpr int kBlockRows = 2;  // rows for which a sum is loaded and stored once; four rows 4096 bytes apart
                               // would evict each other from the L1 cache

// Adds in pairs: adding row by row would round twice as often.
template <size_t kRows>
inline Floats sum_of_rows(const std::array<Floats, kRows>& v) {
  static_assert(kRows == 1 || kRows == 2);
  if constexpr (kRows == 1)
    return v[0];
  else
    return v[0] + v[1];
}

// Calls f(at) along a row of n elements, where `at` is the std::array of the places of one cache line of T,
// or of one vector at the end. Several rows streamed side by side must each be written a whole line at a time
// (docs/measurements.md, “Stores past the cache”).
template <class T, class F>
inline void along_lines(int64_t n, const F& f) {
  constexpr int kVectors = kLineVectors<T>;
  int64_t i = 0;
  for (; i + kVectors * kLanes <= n; i += kVectors * kLanes) {
    std::array<Whole, kVectors> at;
    for (int k = 0; k < kVectors; ++k) at[k].i = i + k * kLanes;
    f(at);
  }
  along_row(i, n, [&](auto at, int) { f(std::array{at}); });
}

// One line of T, or at the end of a row the only vector of it.
template <bool kStream, class T, class At, size_t kVectors>
inline void write_line(T* row, const std::array<At, kVectors>& at, const Floats (&y)[kVectors]) {
  if constexpr (kVectors % 2 == 0)
#pragma GCC unroll 4
    for (size_t k = 0; k < kVectors; k += 2) put_two<kStream>(row + at[k].i, y[k], y[k + 1]);
  else
    for (size_t k = 0; k < kVectors; ++k) at[k].template store<kStream>(row, y[k]);
}

// Calls do_rows.template operator()<kRows, kStream>(row, sums) for blocks of kRows rows (kBlockRows or 1). It
// adds its terms to sums[s][0..n), s < kSums; kStream says whether it writes its own output past the cache.
// At the end out[s] holds the sums over all rows.
template <int kSums, class T, class F>
void sum_over_rows(int64_t rows, int64_t n, int64_t grain, bool past_cache, const std::array<T*, kSums>& out,
                   const F& do_rows) {
  if (n == 0) return;
  const int64_t parts =
      std::max({int64_t{1}, std::min(rows / kPartRows, kManyParts), (rows + kMostRows - 1) / kMostRows});
  const int64_t line = kCacheLine / static_cast<int64_t>(sizeof(float)),
                stride = (n + line - 1) / line * line;
  const Scratch memory({DeviceType::cpu, 0}, parts * kSums * stride * static_cast<int64_t>(sizeof(float)));
  float* const all = memory.as<float>();
  const int64_t part_size = std::max<int64_t>(1, rows / parts * n);
  parallel_for(parts, std::max<int64_t>(1, grain / part_size), [=, &do_rows](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      std::array<float*, kSums> sums;
      for (int s = 0; s < kSums; ++s) sums[s] = all + (part * kSums + s) * stride;
      std::fill_n(sums[0], kSums * stride, 0.0f);
      int64_t row = part * rows / parts;
      const int64_t last = (part + 1) * rows / parts;
      with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
        for (; row + kBlockRows <= last; row += kBlockRows)
          do_rows.template operator()<kBlockRows, kStream>(row, sums);
        for (; row < last; ++row) do_rows.template operator()<1, kStream>(row, sums);
      });
    }
  });
  parallel_for_blocks(n, line, std::max<int64_t>(1, grain / (parts * kSums)),
                      [=](int64_t begin, int64_t end) {
                        for (int s = 0; s < kSums; ++s)
                          along_row(begin, end, [=](auto at, int) {
                            Floats total = {};
                            for (int64_t part = 0; part < parts; part += kManyParts) {
                              const int64_t last = std::min(part + kManyParts, parts);
                              Floats sum[4] = {};
                              for (int64_t p = part; p < last; ++p)
                                sum[p % 4] += at.load(all + (p * kSums + s) * stride);
                              total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
                            }
                            at.store(out[s], total);
                          });
                      });
}

// Checks an op (grad, x, weight, ...) that has a weight for each element of the last dimension.
inline void check_norm_gradient(const Args& args) {
  require_float(args, 0);
  for (int i = 1; i < 3; ++i) require_same_dtype(args, i, 0);
  require_last_dimension(args, 2, 1);
  require_same_shape(args, 0, 1);
}

}  // namespace cpp_ext
