// Computed shapes of outputs, one size at a time. Each size keeps its origin, from which a fake kernel
// repeats the rule with symbolic sizes.
#pragma once

#include "common/checks.h"

namespace cpp_ext {

// Appends a number that is no size of an input.
inline void add_size(Dims& dims, int64_t size) {
  dims.size[dims.rank] = size;
  dims.origin[dims.rank++] = {.input = -1, .dimension = 0, .divisor = 1};
}

// Appends a size of input i over `divisor`; a negative dimension counts from the end. The rank is checked
// here too, because a fake kernel may come without the checks of the op.
inline void add_size(Dims& dims, const Args& args, int i, int dimension, int divisor = 1) {
  const auto rank = static_cast<int>(args.in[i].rank);
  const int d = dimension < 0 ? dimension + rank : dimension;
  if (d < 0 || d >= rank) [[unlikely]]
    fail_rank(args, i, "at least " + std::to_string(dimension < 0 ? -dimension : dimension + 1));
  dims.size[dims.rank] = args.in[i].sizes[d] / divisor;
  dims.origin[dims.rank++] = {.input = i, .dimension = d, .divisor = divisor};
}

// Appends the sizes of input i up to its last one.
inline void add_leading_sizes(Dims& dims, const Args& args, int i) {
  const int64_t rank = args.in[i].rank;
  if (rank > kMaxDims) [[unlikely]]
    fail_rank(args, i, "at most " + std::to_string(kMaxDims));
  for (int d = 0; d + 1 < rank; ++d) add_size(dims, args, i, d);
}

}  // namespace cpp_ext
