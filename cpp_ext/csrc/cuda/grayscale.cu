// out[h, w] = trunc(0.21 R + 0.71 G + 0.07 B), in float32. A thread turns 16 pixels, three 16-byte loads,
// into one 16-byte store.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {

constexpr int kPixels = 16;
using Bytes = Pack<uint8_t, kPixels>;

__device__ inline uint8_t gray(const uint8_t* rgb) {
  return static_cast<uint8_t>(static_cast<int>(0.21f * rgb[0] + 0.71f * rgb[1] + 0.07f * rgb[2]));
}

__global__ void grayscale_vector_kernel(const uint8_t* image, uint8_t* out, int64_t pixels) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const Bytes* packs = reinterpret_cast<const Bytes*>(image);
  for (int64_t i = first; i < pixels / kPixels; i += stride) {
    const Bytes rgb[3] = {packs[3 * i], packs[3 * i + 1], packs[3 * i + 2]};
    Bytes result;
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const uint8_t pixel[3] = {rgb[3 * k / 16].v[3 * k % 16], rgb[(3 * k + 1) / 16].v[(3 * k + 1) % 16],
                                rgb[(3 * k + 2) / 16].v[(3 * k + 2) % 16]};
      result.v[k] = gray(pixel);
    }
    reinterpret_cast<Bytes*>(out)[i] = result;
  }
  if (first < pixels % kPixels) {
    const int64_t i = pixels - pixels % kPixels + first;
    out[i] = gray(image + 3 * i);
  }
}

__global__ void grayscale_kernel(const uint8_t* image, uint8_t* out, int64_t pixels) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pixels; i += stride)
    out[i] = gray(image + 3 * i);
}

static void grayscale(const uint8_t* image, uint8_t* out, int64_t pixels, GpuStream stream) {
  if (aligned({image, out})) {
    const auto blocks = blocks_for((pixels + kPixels - 1) / kPixels, kThreads);
    grayscale_vector_kernel<<<blocks, kThreads, 0, stream>>>(image, out, pixels);
  } else {
    grayscale_kernel<<<blocks_for(pixels, kThreads), kThreads, 0, stream>>>(image, out, pixels);
  }
  check_launch("grayscale");
}

// ---- binding ----

static void run(const Args& args) {
  grayscale(args.in[0].as<const uint8_t>(), args.out[0].as<uint8_t>(), args.out[0].numel,
            stream_of(args.stream));
}

extern Op grayscale_op;
static const Implement<grayscale_op, run> grayscale_cuda("CUDA");

}  // namespace cpp_ext
