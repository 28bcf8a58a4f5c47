// Sums over the rows of a matrix, for the gradients of a norm's weight and bias, in two steps: each block
// adds up its rows in float32, then a second kernel adds up the blocks. The number of blocks depends on shape
// and dtype alone and the order is fixed, so the result is the same every time.
#pragma once

#include <type_traits>

#include "common/gpu_rows.h"
#include "common/scratch.h"

namespace cpp_ext {

constexpr int kGradientHeld =
    1;  // packs a thread keeps of each input, with their sums: two do not fit into 64 registers
constexpr int64_t kGradientThreads = 1 << 17;  // as many as fill the largest cards; more would mean more sums

// The sums of one block, [kSums][n].
template <int kSums, int kHeld, bool kFits, int N>
class BlockGradients {
 public:
  using Sums = Pack<float, N>[kSums];

  __device__ BlockGradients(float* sums, int64_t n)
      : sums_(reinterpret_cast<Pack<float, N>*>(sums)), count_(n / N) {
    if constexpr (!kFits)
      for (int64_t i = threadIdx.x + static_cast<int64_t>(kHeld) * blockDim.x; i < count_; i += blockDim.x)
        store({}, i);
  }

  // Calls f(packs, i, sums) for all packs of a row; it adds to sums[s].v[0..N).
  template <class Row, class F>
  __device__ void add(const Row& row, const F& f) {
    row.each_held([&](const auto& packs, int64_t i, int h) { f(packs, i, held_[h]); });
    row.each_other([&](const auto& packs, int64_t i) {
      Sums sums;
#pragma unroll
      for (int s = 0; s < kSums; ++s) sums[s] = sums_[s * count_ + i];
      f(packs, i, sums);
      store(sums, i);
    });
  }

  __device__ void finish() {
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = threadIdx.x + static_cast<int64_t>(h) * blockDim.x;
      if (i < count_) store(held_[h], i);
    }
  }

 private:
  __device__ void store(const Sums& sums, int64_t i) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) sums_[s * count_ + i] = sums[s];
  }

  Pack<float, N>* sums_;
  int64_t count_;
  Sums held_[kHeld] = {};
};

template <int kSums, class T>
struct Gradients {
  static_assert(kSums <= 2);
  T* out[kSums];
};

constexpr int kColumns = 32, kLines = 32;  // of threads in a block of the second kernel

// out[s][column] = the sum over all parts of sums[part][s][column].
template <int kSums, class T>
__global__ void add_parts_kernel(const float* sums, Gradients<kSums, T> gradients, int64_t parts, int64_t n) {
  __shared__ float shared[kLines][kColumns + 1];
  const int s = blockIdx.y;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  float sum = 0.0f;
  if (column < n)
    for (int64_t part = threadIdx.y; part < parts; part += kLines)
      sum += sums[(part * kSums + s) * n + column];
  shared[threadIdx.y][threadIdx.x] = sum;
  for (int half = kLines / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < half)
      shared[threadIdx.y][threadIdx.x] += shared[threadIdx.y + half][threadIdx.x];
  }
  if (threadIdx.y == 0 && column < n)
    (s == 0 ? gradients.out[0] : gradients.out[kSums - 1])[column] = from_float<T>(shared[0][threadIdx.x]);
}

// Calls launch(fits, blocks, threads, sums), which starts a kernel with, in each block, its BlockGradients
// at sums + block * kSums * n; then adds them up.
template <int kSums, int N, class T, class F>
void sum_over_rows(const Args& args, int64_t rows, int64_t n, const Gradients<kSums, T>& gradients,
                   const F& launch) {
  const int threads = threads_for_row(n, N, kGradientHeld);
  const int64_t most = kGradientThreads / threads, parts = rows < most ? (rows > 0 ? rows : 1) : most;
  const Scratch scratch(args.in[0].device, parts * kSums * n * static_cast<int64_t>(sizeof(float)));
  const auto blocks = static_cast<unsigned>(parts);
  if (n <= static_cast<int64_t>(threads) * kGradientHeld * N)
    launch(std::true_type{}, blocks, threads, scratch.as<float>());
  else
    launch(std::false_type{}, blocks, threads, scratch.as<float>());
  check_launch(args.op.name);
  const dim3 grid(static_cast<unsigned>((n + kColumns - 1) / kColumns), kSums), block(kColumns, kLines);
  add_parts_kernel<<<grid, block, 0, stream_of(args.stream)>>>(scratch.as<const float>(), gradients, parts,
                                                               n);
  check_launch(args.op.name);
}

}  // namespace cpp_ext
