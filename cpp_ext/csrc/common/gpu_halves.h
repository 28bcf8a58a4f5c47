// The grid of silu_and_mul and its gradient: vectors of a row by rows, so that no division tells them apart.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

constexpr unsigned kMaxGridY = 65535;  // kernels stride over the rest

struct RowGrid {
  dim3 blocks, threads;

  RowGrid(int64_t rows, int64_t packs) {
    unsigned x = 1;
    while (x < kThreads && x < packs) x *= 2;
    const unsigned y = kThreads / x;
    const int64_t blocks_y = (rows + y - 1) / y;
    threads = dim3(x, y);
    blocks = dim3(blocks_for(packs, x), blocks_y < kMaxGridY ? static_cast<unsigned>(blocks_y) : kMaxGridY);
  }
};

// Calls f(row, pack) for what a thread of such a grid has to do.
template <class F>
__device__ void for_rows(int64_t rows, int64_t packs, const F& f) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t row = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < rows;
       row += static_cast<int64_t>(gridDim.y) * blockDim.y)
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride)
      f(row, i);
}

}  // namespace cpp_ext
