// Vectors of float32 as wide as the target allows, and their conversion from and to the storage types.
// GCC/Clang vector extensions rather than loops left to the vectoriser: GCC 12 does not vectorise the 16-bit
// conversions on its own.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/float_types.h"

namespace cpp_ext {

#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr int kLanes = 16;
constexpr const char* kSimd = "AVX-512";
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr const char* kSimd = "AVX2";
#elif defined(__aarch64__)
constexpr int kLanes = 4;
constexpr const char* kSimd = "NEON";
#else
constexpr int kLanes = 4;
constexpr const char* kSimd = "128-bit";
#endif

template <class T, int N>
struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

using Floats = VectorOf<float, kLanes>::type;
using Ints = VectorOf<int32_t, kLanes>::type;
using Words = VectorOf<uint32_t, kLanes>::type;
using Halves = VectorOf<uint16_t, kLanes>::type;

template <class To, class From>
inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class V>
inline V read(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline Floats splat(float x) {
  return x - Floats{};
}

// A value that the compiler keeps in a register. GCC 12 would read memory again for every product.
inline Floats held(Floats x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x));
#elif defined(__x86_64__)
  asm("" : "+x"(x));
#endif
  return x;
}

// a > b ? a : b and a < b ? a : b, lane by lane; b where one is NaN. GCC 12 makes two instructions of the
// expression for vectors and never the one that does just this.
#if defined(__AVX512F__) && defined(__AVX512BW__)
inline Floats larger(Floats a, Floats b) {
  return bits_as<Floats>(_mm512_maskz_max_ps(0xffff, bits_as<__m512>(a), bits_as<__m512>(b)));
}
inline Floats smaller(Floats a, Floats b) {
  return bits_as<Floats>(_mm512_maskz_min_ps(0xffff, bits_as<__m512>(a), bits_as<__m512>(b)));
}
#elif defined(__AVX2__)
inline Floats larger(Floats a, Floats b) {
  return bits_as<Floats>(_mm256_max_ps(bits_as<__m256>(a), bits_as<__m256>(b)));
}
inline Floats smaller(Floats a, Floats b) {
  return bits_as<Floats>(_mm256_min_ps(bits_as<__m256>(a), bits_as<__m256>(b)));
}
#else
inline Floats larger(Floats a, Floats b) {
  return a > b ? a : b;
}
inline Floats smaller(Floats a, Floats b) {
  return a < b ? a : b;
}
#endif

// Widens 16 to 32 bits and narrows values below 2^16 again. GCC 12 expands __builtin_convertvector into up to
// nine instructions. The maskz forms compile to the plain instructions without GCC 12's warning.
#if defined(__AVX512F__) && defined(__AVX512BW__)
inline Words widen(Halves v) {
  return bits_as<Words>(_mm512_maskz_cvtepu16_epi32(0xffff, bits_as<__m256i>(v)));
}
inline Halves narrow(Words v) {
  return bits_as<Halves>(_mm512_maskz_cvtepi32_epi16(0xffff, bits_as<__m512i>(v)));
}
#elif defined(__AVX2__)
inline Words widen(Halves v) {
  return bits_as<Words>(_mm256_cvtepu16_epi32(bits_as<__m128i>(v)));
}
inline Halves narrow(Words v) {
  const __m256i packed = _mm256_packus_epi32(bits_as<__m256i>(v), bits_as<__m256i>(v));
  return bits_as<Halves>(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0b1000)));
}
#else
inline Words widen(Halves v) {
  return __builtin_convertvector(v, Words);
}
inline Halves narrow(Words v) {
  return __builtin_convertvector(v, Halves);
}
#endif

inline Floats bf16_to_float(Halves v) {
  return bits_as<Floats>(widen(v) << 16);
}

// Words whose upper half is v in bfloat16, rounded to nearest even by integer arithmetic. NaNs are clamped
// before rounding, which could carry into the exponent; quiet NaNs and NaNs of bfloat16 keep their bits.
inline Words bf16_above(Floats v) {
#if defined(__AVX512F__)
  const __m512i least =
      _mm512_maskz_min_epu32(0xffff, bits_as<__m512i>(v), _mm512_set1_epi32(static_cast<int>(0xffc00000)));
  const Words u = bits_as<Words>(_mm512_maskz_min_epi32(0xffff, least, _mm512_set1_epi32(0x7fc00000)));
#elif defined(__AVX2__)
  const __m256i least =
      _mm256_min_epu32(bits_as<__m256i>(v), _mm256_set1_epi32(static_cast<int>(0xffc00000)));
  const Words u = bits_as<Words>(_mm256_min_epi32(least, _mm256_set1_epi32(0x7fc00000)));
#else
  const Words u = v == v ? bits_as<Words>(v) : 0x7fc00000u - Words{};
#endif
  return u + 0x7fffu + ((u >> 16) & 1u);
}

inline Words bf16_bits(Floats v) {
  return bf16_above(v) >> 16;
}

#if defined(__AVX512BF16__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
// AVX512-BF16 rounds in one instruction in place of eight, but makes zeros of denormals.
#define CPP_EXT_BF16_IN_HARDWARE
inline __mmask16 denormals(Floats v) {
  constexpr int kDenormal = 0x20;
  return _mm512_fpclass_ps_mask(bits_as<__m512>(v), kDenormal);
}
// Not inlined: its constants would take registers from every loop that rounds, which made layer_norm_backward
// 1.25 times as slow.
[[gnu::noinline, gnu::cold]] inline Halves denormals_to_bf16(Floats v) {
  return narrow(bf16_bits(v));
}
inline Halves float_to_bf16(Floats v) {
  if (denormals(v)) [[unlikely]]
    return denormals_to_bf16(v);
  return bits_as<Halves>(_mm512_cvtneps_pbh(bits_as<__m512>(v)));
}
#else
inline Halves float_to_bf16(Floats v) {
  return narrow(bf16_bits(v));
}
#endif

#if defined(__F16C__) && defined(__AVX512F__)
inline Floats f16_to_float(Halves v) {
  return bits_as<Floats>(_mm512_maskz_cvtph_ps(0xffff, bits_as<__m256i>(v)));
}
inline Halves float_to_f16(Floats v) {
  return bits_as<Halves>(
      _mm512_maskz_cvtps_ph(0xffff, bits_as<__m512>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif defined(__F16C__) && defined(__AVX2__)
inline Floats f16_to_float(Halves v) {
  return bits_as<Floats>(_mm256_cvtph_ps(bits_as<__m128i>(v)));
}
inline Halves float_to_f16(Floats v) {
  return bits_as<Halves>(_mm256_cvtps_ph(bits_as<__m256>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
#if defined(__aarch64__)
using NativeHalf = __fp16;  // GCC 12 has no _Float16 in C++ for Arm
#else
using NativeHalf = _Float16;
#endif
using NativeHalves = VectorOf<NativeHalf, kLanes>::type;
inline Floats f16_to_float(Halves v) {
  return __builtin_convertvector(bits_as<NativeHalves>(v), Floats);
}
inline Halves float_to_f16(Floats v) {
  return bits_as<Halves>(__builtin_convertvector(v, NativeHalves));
}
#endif

inline Floats load(const float* p) {
  return read<Floats>(p);
}
inline Floats load(const BF16* p) {
  return bf16_to_float(read<Halves>(p));
}
inline Floats load(const F16* p) {
  return f16_to_float(read<Halves>(p));
}

// Prefetches the line of p[on] into L2, which tracks more outstanding misses than L1 and does not alias rows
// that lie a page apart. Harmless past the end of the tensor.
template <class T>
inline void fetch(const T* p, int64_t on) {
  const auto address = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(on) * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
}

inline void store(float* p, Floats v) {
  std::memcpy(p, &v, sizeof v);
}
inline void store(BF16* p, Floats v) {
  const Halves h = float_to_bf16(v);
  std::memcpy(p, &h, sizeof h);
}
inline void store(F16* p, Floats v) {
  const Halves h = float_to_f16(v);
  std::memcpy(p, &h, sizeof h);
}

// The last n < kLanes elements; the lanes behind them are zero.
template <class T>
inline Floats load_part(const T* p, int64_t n) {
  T lanes[kLanes] = {};
  std::memcpy(lanes, p, static_cast<size_t>(n) * sizeof(T));
  return load(lanes);
}

template <class T>
inline void store_part(T* p, int64_t n, Floats v) {
  T lanes[kLanes];
  store(lanes, v);
  std::memcpy(p, lanes, static_cast<size_t>(n) * sizeof(T));
}

// Reduces all lanes with f, halving the vector each time; f takes vectors of any length. GCC 12 compiles a
// plain sum into a loop over memory, and std::max_element into 15 dependent scalar instructions.
template <int N = kLanes, class F>
inline float by_halves(typename VectorOf<float, N>::type v, const F& f) {
  if constexpr (N == 1) {
    return v[0];
  } else {
    typename VectorOf<float, N / 2>::type half[2];
    std::memcpy(half, &v, sizeof v);
    return by_halves<N / 2>(f(half[0], half[1]), f);
  }
}
inline float sum_of(Floats v) {
  return by_halves(v, [](auto a, auto b) { return a + b; });
}
inline float max_of(Floats v) {
  return by_halves(v, [](auto a, auto b) { return a > b ? a : b; });
}

}  // namespace cpp_ext
