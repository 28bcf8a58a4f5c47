// Maps floats to integers of the same order, and the integer operations of selection.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "common/simd.h"

namespace cpp_ext {

constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();  // below the key of every float
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

using Mask = uint32_t;  // a bit a lane

inline Ints splat_int(int32_t x) {
  return x - Ints{};
}

inline Ints lane_numbers() {
  Ints lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

// Keys compare as the floats do; -0.0 has the key of 0.0, and every NaN the highest one.
inline Ints keys_of(Floats x) {
  const Floats v = x + 0.0f;
  const Ints bits = bits_as<Ints>(v);
  return v == v ? bits ^ ((bits >> 31) & kHighest) : splat_int(kHighest);
}

// larger: the maximum of each lane. above: mask of the lanes where a > b. count_above: count + 1 in these
// lanes. has_nan: whether any lane is NaN. lowest_of: the minimum over the lanes. compress: moves the lanes
// of the mask to the front; may write a whole vector.
#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr bool kCompress = true;  // in a few instructions
inline Ints larger(Ints a, Ints b) {
  return bits_as<Ints>(_mm512_maskz_max_epi32(0xffff, bits_as<__m512i>(a), bits_as<__m512i>(b)));
}
inline Mask above(Ints a, Ints b) {
  return _mm512_cmpgt_epi32_mask(bits_as<__m512i>(a), bits_as<__m512i>(b));
}
inline bool has_nan(Floats v) {
  return _mm512_cmp_ps_mask(bits_as<__m512>(v), bits_as<__m512>(v), _CMP_UNORD_Q) != 0;
}
inline Ints count_above(Ints count, Ints a, Ints b) {
  const auto c = bits_as<__m512i>(count);
  return bits_as<Ints>(
      _mm512_mask_sub_epi32(c, static_cast<__mmask16>(above(a, b)), c, _mm512_set1_epi32(-1)));
}
inline void compress(int32_t* to, Ints v, Mask mask) {
  // In a register, then stored: the form that writes to memory takes over 100 cycles on Zen 4.
  const __m512i front = _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), bits_as<__m512i>(v));
  _mm512_storeu_si512(to, front);
}
#else
constexpr bool kCompress = false;
#if defined(__AVX2__)
inline Ints larger(Ints a, Ints b) {
  return bits_as<Ints>(_mm256_max_epi32(bits_as<__m256i>(a), bits_as<__m256i>(b)));
}
inline Mask above(Ints a, Ints b) {
  return static_cast<Mask>(_mm256_movemask_ps(bits_as<__m256>(a > b)));
}
#else
inline Ints larger(Ints a, Ints b) {
  return a > b ? a : b;
}
inline Mask above(Ints a, Ints b) {
#if defined(__SSE2__)
  return static_cast<Mask>(_mm_movemask_ps(bits_as<__m128>(a > b)));
#else
  const Ints comparison = a > b;
  Mask mask = 0;
  for (int i = 0; i < kLanes; ++i) mask |= (comparison[i] & 1u) << i;
  return mask;
#endif
}
#endif
inline bool has_nan(Floats v) {
  return above(Ints{}, v != v) != 0;
}
inline Ints count_above(Ints count, Ints a, Ints b) {
  return count - (a > b);
}
inline void compress(int32_t* to, Ints v, Mask mask) {
  for (; mask; mask &= mask - 1) *to++ = v[std::countr_zero(mask)];
}
#endif

inline int32_t lowest_of(Ints v) {
  int32_t lane[kLanes];
  std::memcpy(lane, &v, sizeof lane);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] = std::min(lane[i], lane[i + width]);
  return lane[0];
}

}  // namespace cpp_ext
