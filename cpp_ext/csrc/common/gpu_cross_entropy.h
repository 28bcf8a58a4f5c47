// What the two directions of cross_entropy share on the GPU.
#pragma once

#include "common/cross_entropy.h"
#include "common/gpu_row_groups.h"

namespace cpp_ext {

// A row of any length and address in packs of N elements: those before the first whole pack and behind the
// last one go singly, so that a vocabulary of 50257 is read 16 bytes at a time too.
template <int N, class T>
struct RowParts {
  int64_t head, packs, tail;

  __device__ RowParts(const T* row, int64_t n) {
    constexpr int kBytes = N * sizeof(T);
    const int64_t to_pack = (kBytes - reinterpret_cast<uintptr_t>(row) % kBytes) % kBytes / sizeof(T);
    head = to_pack < n ? to_pack : n;
    packs = (n - head) / N;
    tail = n - head - packs * N;
  }
};

// Blocks of a row that are neither ignored nor out of range; the other kind must not be used as an index.
__device__ inline bool in_range(int64_t target, int64_t classes) {
  return target >= 0 && target < classes;
}

}  // namespace cpp_ext
