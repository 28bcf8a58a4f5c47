// Stores past the cache, for outputs that leave it before anyone reads them: their lines need not be fetched
// before they are written, a third of the traffic of an elementwise op with one input.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/simd.h"

namespace cpp_ext {

constexpr int64_t kStreamBytes = 16 << 20;
// A fresh output of this size and more is mapped anew by glibc: its pages are zeroed when first touched and
// so lie in the cache already. Streaming into them made add of 64 MB 7 % slower; into ready memory it made it
// 25 % faster.
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

// A vector to p, past the cache if kStream; p is then a multiple of its size.
template <bool kStream, class T>
inline void put(T* p, Floats v) {
  if constexpr (kStream)
    stream(p, v);
  else
    store(p, v);
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
