// out[h, w] = trunc(0.21 R + 0.71 G + 0.07 B), in float32.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/simd.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

using Bytes = VectorOf<uint8_t, 16>::type;
using Shorts16 = VectorOf<int16_t, 16>::type;
using Ints16 = VectorOf<int32_t, 16>::type;
using Floats16 = VectorOf<float, 16>::type;

// Through int16: GCC 12 takes the direct steps between bytes and int32 apart into scalars on AVX2.
inline Floats16 widen(Bytes v) {
  return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(v, Shorts16), Ints16),
                                 Floats16);
}

inline Bytes narrow(Floats16 v) {
  return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(v, Ints16), Shorts16),
                                 Bytes);
}

inline uint8_t gray(float r, float g, float b) {
  return static_cast<uint8_t>(static_cast<int32_t>(0.21f * r + 0.71f * g + 0.07f * b));
}

// 16 pixels: three vectors r0 g0 b0 r1 ... are taken apart by two shuffles a channel.
inline Bytes gray16(const uint8_t* rgb) {
  const Bytes a = read<Bytes>(rgb), b = read<Bytes>(rgb + 16), c = read<Bytes>(rgb + 32);
  const Bytes r = __builtin_shufflevector(
      __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0), c,  //
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
  const Bytes g = __builtin_shufflevector(
      __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0), c,  //
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
  const Bytes l = __builtin_shufflevector(
      __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0), c,  //
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
  const Floats16 y = 0.21f * widen(r) + 0.71f * widen(g) + 0.07f * widen(l);
  return narrow(y);
}

void grayscale(const uint8_t* image, uint8_t* out, int64_t pixels) {
  parallel_for_blocks(pixels, 1024, kGrain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      const Bytes y = gray16(image + 3 * i);
      std::memcpy(out + i, &y, sizeof y);
    }
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

void shape(const View* in, Dims& dims) {
  dims.rank = 2;
  dims.size[0] = in[0].sizes[0];
  dims.size[1] = in[0].sizes[1];
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
