// out[h, w] = trunc(0.21 R + 0.71 G + 0.07 B), in float32.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/shape.h"
#include "common/simd.h"

namespace cpp_ext {
namespace {

// Pixels; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = kLanes == 16 ? 1 << 16 : 1 << 15;

inline uint8_t gray(float r, float g, float b) {
  return static_cast<uint8_t>(static_cast<int32_t>(0.21f * r + 0.71f * g + 0.07f * b));
}

#if defined(__AVX2__) && !defined(__AVX512BW__)
// Pixels that are read for 16 results. Four of them lie in each half of a register, from where one
// instruction moves the bytes of a colour to their lanes, which is faster than separating the colours first.
constexpr int64_t kReach = 18;

inline Words gray8(const uint8_t* rgb) {
  using Indices = VectorOf<uint8_t, 32>::type;
  constexpr uint8_t kNone = 0x80;
  constexpr Indices kRed = {0,     kNone, kNone, kNone, 3,     kNone, kNone, kNone, 6,     kNone, kNone,
                            kNone, 9,     kNone, kNone, kNone, 0,     kNone, kNone, kNone, 3,     kNone,
                            kNone, kNone, 6,     kNone, kNone, kNone, 9,     kNone, kNone, kNone};
  const __m256i pixels =
      _mm256_inserti128_si256(_mm256_castsi128_si256(read<__m128i>(rgb)), read<__m128i>(rgb + 12), 1);
  const auto colour = [&](uint8_t first) {
    const __m256i lanes = _mm256_shuffle_epi8(pixels, bits_as<__m256i>(kRed + first));
    return bits_as<Floats>(_mm256_cvtepi32_ps(lanes));
  };
  const Floats gray = 0.21f * colour(0) + 0.71f * colour(1) + 0.07f * colour(2);
  return bits_as<Words>(_mm256_cvttps_epi32(bits_as<__m256>(gray)));
}

inline void gray16(const uint8_t* rgb, uint8_t* out) {
  const __m256i mixed = _mm256_packus_epi32(bits_as<__m256i>(gray8(rgb)), bits_as<__m256i>(gray8(rgb + 24)));
  const __m256i halves = _mm256_permute4x64_epi64(mixed, 0xd8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  std::memcpy(out, &bytes, sizeof bytes);
}
#else
using Bytes = VectorOf<uint8_t, 16>::type;

// Converts bytes to float32 and back with truncation. GCC 12 scalarises __builtin_convertvector between bytes
// and wider lanes.
#if defined(__AVX512F__) && defined(__AVX512BW__)
inline Floats widen(const uint8_t* p) {
  const __m512i lanes = _mm512_maskz_cvtepu8_epi32(0xffff, read<__m128i>(p));
  return bits_as<Floats>(_mm512_maskz_cvtepi32_ps(0xffff, lanes));
}
inline void narrow(Floats v, uint8_t* p) {
  const __m512i lanes = _mm512_maskz_cvttps_epi32(0xffff, bits_as<__m512>(v));
  const __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xffff, lanes);
  std::memcpy(p, &bytes, kLanes);
}
#else
using FewBytes = VectorOf<uint8_t, kLanes>::type;
inline Floats widen(const uint8_t* p) {
  return __builtin_convertvector(read<FewBytes>(p), Floats);
}
inline void narrow(Floats v, uint8_t* p) {
  const FewBytes bytes = __builtin_convertvector(__builtin_convertvector(v, Ints), FewBytes);
  std::memcpy(p, &bytes, kLanes);
}
#endif

struct Planes {
  Bytes red, green, blue;
};

// Separates the colours of 16 pixels r0 g0 b0 r1 ...; reads kReach pixels. (A masked load of only 48 bytes is
// four times as slow.)
#if defined(__AVX512VBMI__)
constexpr int64_t kReach = 22;
inline Planes planes(const uint8_t* rgb) {
  using Indices = VectorOf<uint8_t, 64>::type;
  constexpr Indices kRed = {0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45};
  const auto pixels = read<__m512i>(rgb);
  const auto every_third = [&](uint8_t first) {
    const __m512i picked =
        _mm512_maskz_permutexvar_epi8(~uint64_t{0}, bits_as<__m512i>(kRed + first), pixels);
    return bits_as<Bytes>(_mm512_maskz_extracti32x4_epi32(0xf, picked, 0));
  };
  return {every_third(0), every_third(1), every_third(2)};
}
#else
constexpr int64_t kReach = 16;
inline Planes planes(const uint8_t* rgb) {
  const Bytes a = read<Bytes>(rgb), b = read<Bytes>(rgb + 16), c = read<Bytes>(rgb + 32);
  return {__builtin_shufflevector(
              __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0), c,  //
              0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29),
          __builtin_shufflevector(
              __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0), c,  //
              0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30),
          __builtin_shufflevector(
              __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0), c,  //
              0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31)};
}
#endif

inline void gray16(const uint8_t* rgb, uint8_t* out) {
  const Planes pixels = planes(rgb);
  const auto at = [](const Bytes& plane, int i) {
    return widen(reinterpret_cast<const uint8_t*>(&plane) + i);
  };
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += kLanes)
    narrow(0.21f * at(pixels.red, i) + 0.71f * at(pixels.green, i) + 0.07f * at(pixels.blue, i), out + i);
}
#endif

void grayscale(const uint8_t* image, uint8_t* out, int64_t pixels) {
  parallel_for_blocks(pixels, 1024, kGrain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    const int64_t last = std::min(end - 16, pixels - kReach);
    for (; i <= last; i += 16) gray16(image + 3 * i, out + i);
    for (; i < end; ++i) out[i] = gray(image[3 * i], image[3 * i + 1], image[3 * i + 2]);
  });
}

// ---- binding ----

void check(const Args& args) {
  const View& image = args.in[0];
  require_dtype(args, 0, DType::u8);
  if (image.rank != 3) fail_rank(args, 0, "3 (H, W, 3)");
  if (image.sizes[2] != 3) fail_shape(args, 0, "[H, W, 3]");
}

void shape(const Args& args, Dims& dims) {
  for (int d : {0, 1}) add_size(dims, args, 0, d);
}

void run(const Args& args) {
  grayscale(args.in[0].as<uint8_t>(), args.out[0].as<uint8_t>(), args.out[0].numel);
}

}  // namespace

constinit Op grayscale_op{
    .name = "grayscale",
    .schema = "(Tensor image) -> Tensor",
    .check = check,
    .outputs = {{.name = "out", .like = 0, .shape = shape, .shape_words = "height and width of image"}}};
static const DefineWithCpu<grayscale_op, run> grayscale_cpu;

}  // namespace cpp_ext
