// Shared by the attention kernels: sizes, which keys a query sees, transposition of register tiles.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/simd.h"

namespace cpp_ext {

// query [batch, queries, heads, dim], key and value [batch, keys, key_heads, dim].
struct AttentionShape {
  int64_t batch, queries, keys, heads, key_heads, dim;
  const int64_t* lengths;  // null: all keys are valid
  float scale;             // of the scores, times log2(e): exponentials are powers of two
  bool causal;

  // Rows of one key head: the queries, each with all heads of the group. Row r is query r / group.
  int64_t group() const { return heads / key_heads; }
  int64_t rows() const { return queries * group(); }
  int64_t length(int64_t b) const { return lengths ? lengths[b] : keys; }
  // The row sees the keys before this one.
  int64_t limit(int64_t length, int64_t row) const {
    return causal ? std::max<int64_t>(0, length - queries + 1 + row / group()) : length;
  }
  // Where a row of a key head begins in query and output.
  int64_t at(int64_t b, int64_t key_head, int64_t row) const {
    return ((b * queries + row / group()) * heads + key_head * group() + row % group()) * dim;
  }
};

constexpr float kLog2e = 1.44269504f;
constexpr float kInfinity = __builtin_inff();

namespace detail {

// One step of a transposition: lanes whose index has the bit `kBit` are swapped between a and b.
template <int kBit, int... kLane>
inline void exchange(Floats& a, Floats& b, std::integer_sequence<int, kLane...>) {
  const Floats low = __builtin_shuffle(a, b, Ints{((kLane & kBit) ? kLanes + (kLane ^ kBit) : kLane)...});
  b = __builtin_shuffle(a, b, Ints{((kLane & kBit) ? kLanes + kLane : (kLane ^ kBit))...});
  a = low;
}

template <int kBit, int... kLane>
inline Floats partner(Floats v, std::integer_sequence<int, kLane...>) {
  return __builtin_shuffle(v, Ints{(kLane ^ kBit)...});
}

}  // namespace detail

// f over all lanes, such as their sum or the largest.
template <int kBit = kLanes / 2, class F>
inline float across(Floats v, const F& f) {
  if constexpr (kBit == 0)
    return v[0];
  else
    return across<kBit / 2>(f(v, detail::partner<kBit>(v, std::make_integer_sequence<int, kLanes>{})), f);
}

// v[i][j] <-> v[j][i]; for any 32-bit lanes.
template <int kBit = 1>
inline void transpose(Floats (&v)[kLanes]) {
  if constexpr (kBit < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      if (!(i & kBit)) detail::exchange<kBit>(v[i], v[i | kBit], std::make_integer_sequence<int, kLanes>{});
    transpose<kBit * 2>(v);
  }
}

template <class T>
inline Floats load_some(const T* p, int64_t n) {
  return n >= kLanes ? load(p) : load_part(p, n);
}

template <class T>
inline void store_some(T* p, int64_t n, Floats v) {
  if (n >= kLanes)
    store(p, v);
  else
    store_part(p, n, v);
}

}  // namespace cpp_ext
