// Loops split over PyTorch's own thread pool (at::parallel_for behind the stable ABI), so that
// torch.set_num_threads holds and no second pool competes for the cores.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cpp_ext {

using RangeFunction = void (*)(int64_t begin, int64_t end, void* context);

// Defined in bindings/dispatcher.cpp, the one file that knows PyTorch.
void pool_parallel_for(int64_t n, int64_t grain, RangeFunction f, void* context);

// Calls f(begin, end) over [0, n); ranges of up to `grain` items are not split. How an op's grain size is
// chosen: docs/measurements.md, “Grain sizes”.
template <class F>
inline void parallel_for(int64_t n, int64_t grain, const F& f) {
  if (n <= grain) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  const auto range = [](int64_t begin, int64_t end, void* context) {
    (*static_cast<const F*>(context))(begin, end);
  };
  pool_parallel_for(n, grain, range, const_cast<F*>(&f));
}

// The same over blocks of `block` items, so that two threads never write to the same cache line.
template <class F>
inline void parallel_for_blocks(int64_t n, int64_t block, int64_t grain, const F& f) {
  parallel_for((n + block - 1) / block, std::max<int64_t>(1, grain / block),
               [&](int64_t begin, int64_t end) { f(begin * block, std::min(end * block, n)); });
}

}  // namespace cpp_ext
