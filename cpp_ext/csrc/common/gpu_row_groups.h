// One row of a tensor for one group of threads: a warp where rows are short, so that a block does several of
// them, else the block.
#pragma once

#include <cfloat>

#include "common/gpu_reduce.h"
#include "common/gpu_row_threads.h"

namespace cpp_ext {

constexpr int64_t kWarpRow = 1024;  // elements of the longest row that one warp does

template <bool kWarp>
struct RowGroup {
  static constexpr int kBlock = kWarp ? kThreads : kMaxThreads;  // threads of the largest block

  __device__ static int lane() { return kWarp ? threadIdx.x % CPP_EXT_WARP : threadIdx.x; }
  __device__ static int width() { return kWarp ? CPP_EXT_WARP : blockDim.x; }
  __device__ static int64_t first_row() {
    return kWarp ? (blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x) / CPP_EXT_WARP : blockIdx.x;
  }
  __device__ static int64_t row_step() {
    return kWarp ? static_cast<int64_t>(gridDim.x) * blockDim.x / CPP_EXT_WARP : gridDim.x;
  }

  // Combines x over the threads of the group; see warp_reduce and block_reduce.
  template <class T, class Merge>
  __device__ static T reduce(T x, const T& neutral, const Merge& merge) {
    if constexpr (kWarp) {
      return warp_reduce(x, merge);
    } else {
      return block_reduce(x, neutral, merge);
    }
  }

  __device__ static float sum(float x) {
    return reduce(x, 0.0f, [](float a, float b) { return a + b; });
  }
};

// Calls launch(std::bool_constant<warp>, blocks, threads) with the group that suits rows of n elements, read
// in packs of N.
template <int N, class F>
void for_row_groups(int64_t rows, int64_t n, const F& launch) {
  if (n <= kWarpRow) {
    // Counted for 32 lanes; where a warp has 64, half of the groups find no row.
    launch(std::true_type{}, blocks_for(rows, kThreads / 32), kThreads);
  } else {
    launch(std::false_type{}, blocks_for(rows, 1), threads_for_row<N>(n, 2));
  }
}

__device__ inline float exp_of(float x) {
  return exp2f(x * 1.44269504088896341f);
}

// The running maximum of some values, at least the lowest finite number, and the sum of e^(v - max), which is
// 0 where all are -inf and NaN where one is NaN or +inf (Milakov and Gimelshein 2018, arXiv:1805.02867).
struct MaxSum {
  float max, sum;

  __device__ static MaxSum none() { return {-FLT_MAX, 0.0f}; }

  __device__ static MaxSum merge(MaxSum a, MaxSum b) {
    const float top = fmaxf(a.max, b.max);
    return {top, a.sum * exp_of(a.max - top) + b.sum * exp_of(b.max - top)};
  }

  template <int N>
  __device__ void add(const float (&v)[N]) {
    float top = max;
#pragma unroll
    for (int k = 0; k < N; ++k) top = fmaxf(top, v[k]);  // passes over a NaN
    sum *= exp_of(max - top);
#pragma unroll
    for (int k = 0; k < N; ++k) sum += exp_of(v[k] - top);
    max = top;
  }
};

}  // namespace cpp_ext
