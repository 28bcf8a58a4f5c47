// Offsets of the rows of a broadcast tensor, by the rows of the tensor that it is broadcast to. GPU kernels
// use this header too, so it needs no C++ library.
#pragma once

#include "common/op.h"

#if defined(__CUDACC__) || defined(__HIPCC__)
#define CPP_EXT_EITHER_DEVICE __host__ __device__
#else
#define CPP_EXT_EITHER_DEVICE
#endif

namespace cpp_ext {

// By PyTorch's rules: dimensions count from the last, each is 1, missing, or that of `to`.
inline bool broadcasts(const View& view, const View& to) {
  if (view.rank > to.rank) return false;
  for (int64_t i = 1; i <= view.rank; ++i) {
    const int64_t size = view.sizes[view.rank - i];
    if (size != 1 && size != to.sizes[to.rank - i]) return false;
  }
  return true;
}

// Both are contiguous. Neighbouring dimensions with a common step are merged.
struct BroadcastRows {
  int32_t rank = 0;
  int64_t size[kMaxDims], stride[kMaxDims];

  BroadcastRows(const View& view, const View& to) {
    int64_t step = view.rank > 0 ? view.sizes[view.rank - 1] : 1;
    for (int64_t i = 2; i <= to.rank; ++i) {
      const int64_t view_size = i <= view.rank ? view.sizes[view.rank - i] : 1,
                    to_size = to.sizes[to.rank - i];
      if (to_size == 1) continue;
      const int64_t row_stride = view_size == 1 ? 0 : step;
      step *= view_size;
      if (rank > 0 && row_stride == size[rank - 1] * stride[rank - 1]) {
        size[rank - 1] *= to_size;
      } else {
        size[rank] = to_size;
        stride[rank++] = row_stride;
      }
    }
  }

  // Offset, in elements, of the row that corresponds to `row` of the other tensor.
  CPP_EXT_EITHER_DEVICE int64_t offset(int64_t row) const {
    int64_t at = 0;
    for (int32_t i = 0; i + 1 < rank; ++i) {
      at += row % size[i] * stride[i];
      row /= size[i];
    }
    return rank > 0 ? at + row * stride[rank - 1] : 0;
  }
};

}  // namespace cpp_ext
