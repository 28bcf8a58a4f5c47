// Attention of many query rows (prefill), which is bound by arithmetic: 16-bit floats take the tensor cores
// (common/gpu_attention_mma.h) where there are any, all else common/gpu_attention_tile.h.
#pragma once

#include "common/gpu_attention_mma.h"
#include "common/gpu_attention_tile.h"

namespace cpp_ext {

template <int kDim, class T>
void prefill(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
             GpuStream stream) {
#if defined(CPP_EXT_TENSOR_CORES)
  if constexpr (sizeof(T) == 2)
    if (mma_prefill(query, key, value, out, s, stream)) return;
#endif
  launch_tile<kDim>(query, key, value, out, s, stream);
}

}  // namespace cpp_ext
