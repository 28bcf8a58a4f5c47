// Packs: neighbouring elements that one thread loads or stores with a single instruction, and the conversions
// between their 16-bit formats and float32.
#pragma once

#if defined(__HIP_PLATFORM_AMD__) || defined(__HIPCC__)
#define CPP_EXT_HIP
#include <hip/hip_fp16.h>
#include <hip/hip_runtime.h>
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/float_types.h"

namespace cpp_ext {

constexpr int kVectorBytes = 16;  // the widest load of one thread

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(BF16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}
__device__ inline float to_float(F16 x) {
  return __half2float(__ushort_as_half(x.bits));
}

// Rounds to the nearest value of T, ties to even. NaN stays NaN.
template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline F16 from_float<F16>(float x) {
  return {__half_as_ushort(__float2half_rn(x))};
}
template <>
__device__ inline BF16 from_float<BF16>(float x) {
#ifdef CPP_EXT_HIP
  // HIP before ROCm 6 has no conversion, and most of its processors have no instruction for it.
  const unsigned u = __float_as_uint(x);
  const unsigned rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : (u >> 16) | 0x40u)};
#else
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#endif
}

// Two values of a 16-bit type T in one word, the first one in the lower half.
template <class T>
__device__ inline uint32_t two_from_floats(float first, float second) {
  return from_float<T>(first).bits | static_cast<uint32_t>(from_float<T>(second).bits) << 16;
}
#ifndef CPP_EXT_HIP
template <class Two>
__device__ inline uint32_t bits_of_two(Two x) {
  uint32_t bits;
  static_assert(sizeof x == sizeof bits);
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
template <>
__device__ inline uint32_t two_from_floats<BF16>(float first, float second) {
  return bits_of_two(__floats2bfloat162_rn(first, second));
}
template <>
__device__ inline uint32_t two_from_floats<F16>(float first, float second) {
  return bits_of_two(__floats2half2_rn(first, second));
}
#endif

// What moves as many bytes with one instruction; void where nothing does.
template <size_t kBytes>
struct Wide {
  using Type = void;
};
template <>
struct Wide<4> {
  using Type = unsigned;
};
template <>
struct Wide<8> {
  using Type = uint2;
};
template <>
struct Wide<16> {
  using Type = uint4;
};

// N elements. A copy goes through a wide type, because the compiler splits the copy of an array. Index
// pointers to packs: of a cast element pointer the compiler knows only the alignment of an element.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];

  Pack() = default;
  __device__ Pack(const Pack& other) { copy(other); }
  __device__ Pack& operator=(const Pack& other) {
    copy(other);
    return *this;
  }

 private:
  __device__ void copy(const Pack& other) {
    using Type = typename Wide<sizeof(T) * N>::Type;
    if constexpr (N > 1 && !std::is_void_v<Type>) {
      *reinterpret_cast<Type*>(v) = *reinterpret_cast<const Type*>(other.v);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = other.v[k];
    }
  }
};

template <class T>
constexpr int kPack = kVectorBytes / static_cast<int>(sizeof(T));

// Rounds N floats; two 16-bit results take one instruction.
template <class T, int N>
__device__ inline Pack<T, N> pack_from_floats(const float (&x)[N]) {
  Pack<T, N> pack;
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    uint32_t words[N / 2];
#pragma unroll
    for (int k = 0; k < N / 2; ++k) words[k] = two_from_floats<T>(x[2 * k], x[2 * k + 1]);
    memcpy(&pack.v, words, sizeof words);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) pack.v[k] = from_float<T>(x[k]);
  }
  return pack;
}

}  // namespace cpp_ext
