// Sums over the rows of a matrix, for the gradients of a norm's weight and bias, in two steps: each block
// adds up its rows in float32, then a second kernel adds up the blocks' sums. The number of blocks depends on
// shape, dtype and device, and the order is fixed, so that the result is the same in every run.
#pragma once

#include <type_traits>

#include "common/gpu_rows.h"
#include "common/scratch.h"

namespace cpp_ext {

// The largest block, which takes all registers of a multiprocessor, and the packs of each input that its
// threads keep with their sums. kFits: the block keeps the whole row. Two sums of 8 columns that are loaded
// for each pack would not fit into 64 registers beside those kept.
template <int kSums, int N, bool kFits>
struct GradientBlock {
  static constexpr int kHeld = !kFits && kSums * N > 8 ? 2 : 1;
  static constexpr int kSize = kMaxThreads / kHeld;
};

// A block's sums are stored in planes of four columns of each pack, so that neighbouring threads store
// neighbouring 16 bytes: plane k / 4 holds column k of each pack of N columns. There is one plane if N <= 4.
template <int N>
constexpr int kPlanes = N > 4 ? N / 4 : 1;

template <int N>
__device__ inline int64_t place_of_column(int64_t column, int64_t n) {
  if constexpr (kPlanes<N> == 1) return column;
  return column % N / 4 * (n / kPlanes<N>)+column / N * 4 + column % 4;
}

// The sums of one block, [kSums][n].
template <int kSums, bool kFits, int N>
class BlockGradients {
 public:
  static constexpr int kHeld = GradientBlock<kSums, N, kFits>::kHeld;

  __device__ BlockGradients(float* sums, int64_t n) : planes_(reinterpret_cast<Part*>(sums)), count_(n / N) {
    if constexpr (!kFits) {
      const float zeros[kSums][kWidth] = {};
      for (int64_t i = threadIdx.x + kHeld * blockDim.x; i < count_; i += blockDim.x)
#pragma unroll
        for (int p = 0; p < kPlanes<N>; ++p) store(zeros, p, i);
    }
  }

  // For all packs of a row, calls write(packs, i), i being their place in the row, and term(packs, k, s),
  // which returns what column k of the packs contributes to sum s.
  template <class Row, class Write, class Term>
  __device__ void add(const Row& row, const Write& write, const Term& term) {
    row.each_held([&](const auto& packs, int64_t i, int h) {
      write(packs, i);
#pragma unroll
      for (int p = 0; p < kPlanes<N>; ++p) add_terms(held_[h][p], packs, p, term);
    });
    row.each_other([&](const auto& packs, int64_t i) {
      write(packs, i);
#pragma unroll
      for (int p = 0; p < kPlanes<N>; ++p) {
        PlaneSums sums;
        load(sums, p, i);
        add_terms(sums, packs, p, term);
        store(sums, p, i);
      }
    });
  }

  __device__ void finish() {
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = threadIdx.x + h * blockDim.x;
      if (i < count_)
#pragma unroll
        for (int p = 0; p < kPlanes<N>; ++p) store(held_[h][p], p, i);
    }
  }

 private:
  static constexpr int kWidth = N / kPlanes<N>;
  using Part = Pack<float, kWidth>;
  using PlaneSums = float[kSums][kWidth];

  template <class Packs, class Term>
  __device__ static void add_terms(PlaneSums& sums, const Packs& packs, int p, const Term& term) {
#pragma unroll
    for (int s = 0; s < kSums; ++s)
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[s][k] += term(packs, p * kWidth + k, s);
  }

  __device__ void load(PlaneSums& sums, int p, int64_t i) const {
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
      const Part part = planes_[(s * kPlanes<N> + p) * count_ + i];
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sums[s][k] = part.v[k];
    }
  }

  __device__ void store(const PlaneSums& sums, int p, int64_t i) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
      planes_[(s * kPlanes<N> + p) * count_ + i] = pack_from_floats<float>(sums[s]);
    }
  }

  Part* planes_;
  int64_t count_;
  PlaneSums held_[kHeld][kPlanes<N>] = {};
};

template <int kSums, class T>
struct Gradients {
  static_assert(kSums <= 2);
  T* out[kSums];
};

constexpr int kColumns = 32, kLines = 32;  // of threads in a block of the second kernel

// out[s][column] = the sum over all parts of sums[part][s][place of the column].
template <int kSums, int N, class T>
__global__ void __launch_bounds__(kColumns* kLines)
    add_parts_kernel(const float* sums, Gradients<kSums, T> gradients, int64_t parts, int64_t n) {
  __shared__ float shared[kLines][kColumns + 1];
  const int s = blockIdx.y;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  float sum = 0.0f;
  if (column < n) {
    const float* addends = sums + s * n + place_of_column<N>(column, n);
    for (int64_t part = threadIdx.y; part < parts; part += kLines) sum += addends[part * kSums * n];
  }
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
  const auto start = [&]<bool kFits>(std::bool_constant<kFits> fits) {
    using Block = GradientBlock<kSums, N, kFits>;
    const int threads = kFits ? threads_for_row<N>(n, Block::kHeld) : Block::kSize;
    // As many blocks as run at the same time: more of them would mean more sums to add up.
    const int64_t most = static_cast<int64_t>(multiprocessors(args.op.name)) * (Block::kSize / threads);
    const int64_t parts = rows < most ? (rows > 0 ? rows : 1) : most;
    const Scratch scratch(args.in[0].device, parts * kSums * n * static_cast<int64_t>(sizeof(float)));
    launch(fits, static_cast<unsigned>(parts), threads, scratch.as<float>());
    check_launch(args.op.name);
    const dim3 grid(static_cast<unsigned>((n + kColumns - 1) / kColumns), kSums), block(kColumns, kLines);
    add_parts_kernel<kSums, N>
        <<<grid, block, 0, stream_of(args.stream)>>>(scratch.as<const float>(), gradients, parts, n);
    check_launch(args.op.name);
  };
  if (n <= static_cast<int64_t>(kMaxThreads) * N)
    start(std::true_type{});
  else
    start(std::false_type{});
}

}  // namespace cpp_ext
