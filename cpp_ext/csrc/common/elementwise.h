// out[i] = f(in[i]...) over contiguous tensors.
#pragma once

#include "common/parallel.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {

template <class T, class F, class... In>
void elementwise(const View& output, int64_t grain, const F& f, const In*... in) {
  T* out = output.as<T>();
  const int64_t n = output.numel;
  const bool past_cache = streams<T>(output, 1024);
  parallel_for_blocks(n, 1024, grain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    // Copies: read through the captures, the pointers are loaded again for every vector.
    with_stream(past_cache, [&i, end, f, out, in...]<bool kStream>(std::bool_constant<kStream>) {
      for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
        Floats y[4];  // all before the first store, behind which the compiler may move no load
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) y[k] = f(load(in + i + k * kLanes)...);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) put<kStream>(out + i + k * kLanes, y[k]);
      }
    });
    for (; i + kLanes <= end; i += kLanes) store(out + i, f(load(in + i)...));
    if (i < end) store_part(out + i, end - i, f(load_part(in + i, end - i)...));
  });
}

}  // namespace cpp_ext
