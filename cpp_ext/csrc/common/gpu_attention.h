// What the attention kernels on a GPU share: sizes, which keys a query sees, where rows lie.
// common/attention.h is its counterpart for the CPU.
#pragma once

#include "common/gpu.h"

namespace cpp_ext {

constexpr float kLog2e = 1.44269504f;

// query [batch, queries, heads, dim], key and value [batch, keys, key_heads, dim].
//
// The rows of a key head are the queries, each with all heads of the group: row r is query r / group(). Rows
// of one tile therefore share what is read of the cache.
struct AttentionSizes {
  int64_t batch, queries, keys, heads, key_heads, dim;
  const int64_t* lengths;  // of the cache, by sequence; null: all keys are valid
  float scale;             // of the scores, times log2(e): exponentials are powers of two
  bool causal;
  bool packs;  // rows and heads begin at multiples of kVectorBytes

  __host__ __device__ int64_t group() const { return heads / key_heads; }
  __host__ __device__ int64_t rows() const { return queries * group(); }
  // Clamped, because an exception would have to wait for the device.
  __device__ int64_t length(int64_t b) const {
    if (!lengths) return keys;
    return lengths[b] < 0 ? 0 : lengths[b] > keys ? keys : lengths[b];
  }
  // A query sees the keys before this one. Causal: the last query sees all of `length`.
  __device__ int64_t limit_of_query(int64_t length, int64_t query) const {
    if (!causal) return length;
    const int64_t end = length - queries + 1 + query;
    return end > 0 ? end : 0;
  }
  __device__ int64_t limit(int64_t length, int64_t row) const {
    return limit_of_query(length, row / group());
  }
  // Offset of a row in query and output.
  __device__ int64_t at(int64_t b, int64_t key_head, int64_t row) const {
    return ((b * queries + row / group()) * heads + key_head * group() + row % group()) * dim;
  }
  // Offset of a key or value.
  __device__ int64_t cache_at(int64_t b, int64_t key, int64_t key_head) const {
    return ((b * keys + key) * key_heads + key_head) * dim;
  }
};

// What scores are reduced by before the exponential: the maximum so far, or 0 where no key was seen, because
// the difference of two infinities is NaN.
__device__ inline float exponent_base(float maximum) {
  return maximum == -INFINITY ? 0.0f : maximum;
}

}  // namespace cpp_ext
