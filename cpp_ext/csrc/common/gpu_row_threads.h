// How a row is spread over the threads of its block.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

// Packs of N elements that a thread keeps in registers between two passes over a row. Aligned rows of up to
// 16 * kMaxThreads elements are read once; more would not fit into the 64 registers of a thread.
template <int N>
constexpr int kHeldPacks = N == 1 ? 4 : 16 / N;

// A power of two and a multiple of every warp size: at most `packs` packs of N elements for each thread,
// where kMaxThreads are enough for that.
template <int N>
int threads_for_row(int64_t n, int packs) {
  int threads = 64;
  while (threads < kMaxThreads && static_cast<int64_t>(threads) * packs * N < n) threads *= 2;
  return threads;
}

}  // namespace cpp_ext
