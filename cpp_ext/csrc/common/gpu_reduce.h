// Reductions over the lanes of a warp and the threads of a block.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

// Combines x over the lanes of a warp with the commutative merge(a, b); every lane gets the result. T
// consists of floats.
template <class T, class Merge>
__device__ inline T warp_reduce(T x, const Merge& merge) {
  constexpr int kFloats = sizeof(T) / sizeof(float);
#pragma unroll
  for (int mask = CPP_EXT_WARP / 2; mask > 0; mask /= 2) {
    float part[kFloats];
    memcpy(part, &x, sizeof x);
#pragma unroll
    for (int i = 0; i < kFloats; ++i) part[i] = CPP_EXT_SHUFFLE_XOR(part[i], mask);
    T other;
    memcpy(&other, part, sizeof x);
    x = merge(x, other);
  }
  return x;
}

// The same over a block of whole warps. merge(x, neutral) is x.
template <class T, class Merge>
__device__ inline T block_reduce(T x, const T& neutral, const Merge& merge) {
  constexpr int kFloats = sizeof(T) / sizeof(float);
  __shared__ float partial[kFloats][kMaxWarps];
  const int lane = threadIdx.x % CPP_EXT_WARP, warp = threadIdx.x / CPP_EXT_WARP;
  float part[kFloats];
  x = warp_reduce(x, merge);
  memcpy(part, &x, sizeof x);
  __syncthreads();  // A previous reduction may still be reading `partial`.
  if (lane == 0)
#pragma unroll
    for (int i = 0; i < kFloats; ++i) partial[i][warp] = part[i];
  __syncthreads();
  // Every warp combines the partial results, which saves a barrier; each lane loads a different one.
  memcpy(part, &neutral, sizeof x);
  if (lane < static_cast<int>(blockDim.x) / CPP_EXT_WARP)
#pragma unroll
    for (int i = 0; i < kFloats; ++i) part[i] = partial[i][lane];
  memcpy(&x, part, sizeof x);
  return warp_reduce(x, merge);
}

template <int kSums>
struct Sums {
  float v[kSums];

  __device__ static Sums merge(Sums a, const Sums& b) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) a.v[s] += b.v[s];
    return a;
  }
};

// Replaces each x[s] by its sum over the block, all with one pair of barriers.
template <int kSums>
__device__ inline void block_sums(float (&x)[kSums]) {
  Sums<kSums> sums;
  memcpy(&sums, x, sizeof x);
  sums = block_reduce(sums, Sums<kSums>{}, Sums<kSums>::merge);
  memcpy(x, &sums, sizeof x);
}

__device__ inline float block_sum(float x) {
  float sum[1] = {x};
  block_sums(sum);
  return sum[0];
}

}  // namespace cpp_ext
