// What the norms share on the GPU: a block does a row.
#pragma once

#include "common/gpu_reduce.h"
#include "common/gpu_row_threads.h"

namespace cpp_ext {

// The same row of kInputs matrices, in packs of N elements: the first kHeld packs of each thread stay in its
// registers, what does not fit is read again, from the second-level cache. kFits: everything fits.
template <int kInputs, int kHeld, bool kFits, int N, class T>
class BlockRows {
 public:
  using Packs = Pack<T, N>[kInputs];

  __device__ BlockRows(const T* const (&rows)[kInputs], int64_t n) : count_(n / N) {
#pragma unroll
    for (int r = 0; r < kInputs; ++r) rows_[r] = reinterpret_cast<const Pack<T, N>*>(rows[r]);
#pragma unroll
    for (int h = 0; h < kHeld; ++h)
      if (place(h) < count_) load(held_[h], place(h));
  }

  // Calls f(packs, i, h) for the packs of this thread in its registers: i is their place in the row.
  template <class F>
  __device__ void each_held(const F& f) const {
#pragma unroll
    for (int h = 0; h < kHeld; ++h)
      if (place(h) < count_) f(held_[h], place(h), h);
  }

  // Calls f(packs, i) for those that did not fit.
  template <class F>
  __device__ void each_other(const F& f) const {
    if constexpr (!kFits)
#pragma unroll 1  // more would take too many registers
      for (int64_t i = place(kHeld); i < count_; i += blockDim.x) {
        Packs packs;
        load(packs, i);
        f(packs, i);
      }
  }

  template <class F>
  __device__ void each(const F& f) const {
    each_held([&](const Packs& packs, int64_t i, int) { f(packs, i); });
    each_other(f);
  }

 private:
  static __device__ int64_t place(int h) { return threadIdx.x + h * blockDim.x; }

  __device__ void load(Packs& packs, int64_t i) const {
#pragma unroll
    for (int r = 0; r < kInputs; ++r) packs[r] = rows_[r][i];
  }

  const Pack<T, N>* rows_[kInputs];
  int64_t count_;
  Packs held_[kHeld];
};

// As in common/moments.h: (x - shift) * scale + offset.
struct Moments {
  float shift, scale, offset;

  __device__ float normalised(float x) const { return (x - shift) * scale + offset; }
};

// Mean of the first input's row.
template <int kInputs, int kHeld, bool kFits, int N, class T>
__device__ float mean_of_first(const BlockRows<kInputs, kHeld, kFits, N, T>& in, int64_t n) {
  float sum = 0.0f;
  in.each([&](const Pack<T, N>(&pack)[kInputs], int64_t) {
#pragma unroll
    for (int k = 0; k < N; ++k) sum += to_float(pack[0].v[k]);
  });
  return block_sum(sum) / static_cast<float>(n);
}

// From the sums of d = x - shift, shift being the mean as far as float32 goes, and of d^2.
__device__ inline Moments moments_from(float shift, float sum, float squares, int64_t n, float eps) {
  const float count = static_cast<float>(n), distance = sum / count;
  const float scale = rsqrtf(fmaxf(squares / count - distance * distance, 0.0f) + eps);
  return {shift, scale, -distance * scale};
}

}  // namespace cpp_ext
