// Non-temporal stores, for outputs that leave the cache before anyone reads them. Their lines are not fetched
// before they are written, which saves a third of the traffic of an elementwise op with one input.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/simd.h"

namespace cpp_ext {

constexpr int64_t kStreamBytes = 16 << 20;
// glibc maps fresh memory for an output of this size or more. Its pages are zeroed when first touched and
// then lie in the cache, so streaming would be slower (docs/measurements.md, “Stores past the cache”).
constexpr int64_t kMappedBytes = 32 << 20;
constexpr int64_t kCacheLine = 64;

// Whether an output is to be streamed: large enough, and each `row` elements of it begin a cache line.
template <class T>
inline bool streams(const View& out, int64_t row) {
  const auto size = static_cast<int64_t>(sizeof(T));
  const int64_t bytes = out.numel * size;
  return bytes >= kStreamBytes && !(out.fresh && bytes >= kMappedBytes) &&
         reinterpret_cast<uintptr_t>(out.data) % kCacheLine == 0 && row * size % kCacheLine == 0;
}

#if defined(__AVX512F__) && defined(__AVX512BW__)
inline void stream_words(void* p, Floats v) {
  _mm512_stream_ps(static_cast<float*>(p), bits_as<__m512>(v));
}
inline void stream_words(void* p, Halves v) {
  _mm256_stream_si256(static_cast<__m256i*>(p), bits_as<__m256i>(v));
}
#elif defined(__AVX2__)
inline void stream_words(void* p, Floats v) {
  _mm256_stream_ps(static_cast<float*>(p), bits_as<__m256>(v));
}
inline void stream_words(void* p, Halves v) {
  _mm_stream_si128(static_cast<__m128i*>(p), bits_as<__m128i>(v));
}
#else
template <class V>
inline void stream_words(void* p, V v) {
  std::memcpy(p, &v, sizeof v);
}
#endif

inline void stream(float* p, Floats v) {
  stream_words(p, v);
}
inline void stream(BF16* p, Floats v) {
  stream_words(p, float_to_bf16(v));
}
inline void stream(F16* p, Floats v) {
  stream_words(p, float_to_f16(v));
}

// Stores a vector at p, past the cache if kStream; p must then be aligned to the size of the vector.
template <bool kStream, class T>
inline void put(T* p, Floats v) {
  if constexpr (kStream)
    stream(p, v);
  else
    store(p, v);
}

// Stores two vectors of 16-bit elements at once: half as many stores, with AVX-512 of whole cache lines.
#if defined(__AVX512F__) && defined(__AVX512BW__)
using TwoHalves = __m512i;
inline TwoHalves joined(Halves a, Halves b) {
  const auto low = _mm512_castsi256_si512(bits_as<__m256i>(a));
  return _mm512_maskz_inserti64x4(0xff, low, bits_as<__m256i>(b), 1);
}
inline void stream_words(void* p, TwoHalves v) {
  _mm512_stream_si512(static_cast<__m512i*>(p), v);
}
#elif defined(__AVX2__)
using TwoHalves = __m256i;
inline TwoHalves joined(Halves a, Halves b) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(bits_as<__m128i>(a)), bits_as<__m128i>(b), 1);
}
inline void stream_words(void* p, TwoHalves v) {
  _mm256_stream_si256(static_cast<__m256i*>(p), v);
}
#else
struct TwoHalves {
  Halves a, b;
};
inline TwoHalves joined(Halves a, Halves b) {
  return {a, b};
}
#endif

inline TwoHalves two_halves(const BF16*, Floats a, Floats b) {
#if defined(CPP_EXT_BF16_IN_HARDWARE)
  if (denormals(a) | denormals(b)) [[unlikely]]
    return joined(denormals_to_bf16(a), denormals_to_bf16(b));
  return bits_as<__m512i>(_mm512_cvtne2ps_pbh(bits_as<__m512>(b), bits_as<__m512>(a)));
#elif defined(__AVX512F__) && defined(__AVX512BW__)
  // The upper halves of both in one instruction, in place of two that shift, two that narrow and one that
  // joins.
  alignas(64) static constexpr uint16_t kUpper[] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                    23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                    45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return _mm512_permutex2var_epi16(bits_as<__m512i>(bf16_above(a)), _mm512_load_si512(kUpper),
                                   bits_as<__m512i>(bf16_above(b)));
#elif defined(__AVX2__)
  // Narrowed together: two instructions in place of five.
  const __m256i mixed = _mm256_packus_epi32(bits_as<__m256i>(bf16_bits(a)), bits_as<__m256i>(bf16_bits(b)));
  return _mm256_permute4x64_epi64(mixed, 0b11011000);
#else
  return joined(float_to_bf16(a), float_to_bf16(b));
#endif
}
inline TwoHalves two_halves(const F16*, Floats a, Floats b) {
  return joined(float_to_f16(a), float_to_f16(b));
}

// Two vectors to p, as `put`.
template <bool kStream, class T>
inline void put_two(T* p, Floats a, Floats b) {
  if constexpr (sizeof(T) == 2) {
    const TwoHalves v = two_halves(p, a, b);
    if constexpr (kStream)
      stream_words(p, v);
    else
      std::memcpy(p, &v, sizeof v);
  } else {
    put<kStream>(p, a);
    put<kStream>(p + kLanes, b);
  }
}

// Makes streamed stores visible before anything that follows; each thread calls it after its last one.
inline void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Calls f with std::true_type or std::false_type, so that the loop is compiled for both kinds of store.
template <class F>
inline void with_stream(bool stream, const F& f) {
  if (stream) {
    f(std::true_type{});
    stream_fence();
  } else {
    f(std::false_type{});
  }
}

}  // namespace cpp_ext
