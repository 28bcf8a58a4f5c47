// out[i] = f(in[i]...) over contiguous tensors.
#pragma once

#include <algorithm>

#include "common/parallel.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {

// n elements. Each thread ends with stream_fence() if kStream.
template <bool kStream, class T, class F, class... In>
inline void apply(T* out, int64_t n, const F& f, const In*... in) {
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    Floats y[4];  // all loads come before the first store, past which the compiler may not move them
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) y[k] = f(load(in + i + k * kLanes)...);
#pragma GCC unroll 2
    for (int k = 0; k < 4; k += 2) put_two<kStream>(out + i + k * kLanes, y[k], y[k + 1]);
  }
  for (; i + kLanes <= n; i += kLanes) store(out + i, f(load(in + i)...));
  if (i < n) store_part(out + i, n - i, f(load_part(in + i, n - i)...));
}

template <class T, class F, class... In>
void elementwise(const View& output, int64_t grain, const F& f, const In*... in) {
  T* out = output.as<T>();
  const int64_t n = output.numel;
  const bool past_cache = streams<T>(output, 1024);
  parallel_for_blocks(n, 1024, grain, [=](int64_t begin, int64_t end) {
    // Captured by copy: through references the pointers would be loaded again for every vector.
    with_stream(past_cache, [begin, end, f, out, in...]<bool kStream>(std::bool_constant<kStream>) {
      apply<kStream>(out + begin, end - begin, f, (in + begin)...);
    });
  });
}

// Calls f(row, column, n) for the pieces of rows of `d` elements that make up the range [begin, end) over all
// rows. So a few long rows are split over threads as well as many short ones.
template <class F>
inline void for_row_pieces(int64_t begin, int64_t end, int64_t d, const F& f) {
  int64_t row = begin / d, column = begin % d;
  for (int64_t left = end - begin; left > 0;) {
    const int64_t n = std::min(left, d - column);
    f(row, column, n);
    left -= n;
    column = 0;
    ++row;
  }
}

}  // namespace cpp_ext
