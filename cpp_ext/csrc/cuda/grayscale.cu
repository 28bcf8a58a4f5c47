// out[h, w] = trunc(0.21 R + 0.71 G + 0.07 B), in float32. A thread computes 16 pixels. Its 48 bytes come by
// way of shared memory, because loads of neighbouring threads should be of neighbouring 16 bytes.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int kPixels = 16;
using Bytes = Pack<uint8_t, kPixels>;

__device__ inline uint8_t gray(const uint8_t* rgb) {
  return static_cast<uint8_t>(static_cast<int>(0.21f * rgb[0] + 0.71f * rgb[1] + 0.07f * rgb[2]));
}

__global__ void __launch_bounds__(kThreads)
    grayscale_vector_kernel(const uint8_t* image, uint8_t* out, int64_t pixels) {
  __shared__ Bytes tile[3 * kThreads];
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads, packs = pixels / kPixels;
  const Bytes* in = reinterpret_cast<const Bytes*>(image);
  for (int64_t start = static_cast<int64_t>(blockIdx.x) * kThreads; start < packs; start += stride) {
    const int64_t rest = packs - start;
    const int threads = rest < kThreads ? static_cast<int>(rest) : kThreads;  // that have pixels
    for (int i = threadIdx.x; i < 3 * threads; i += kThreads) tile[i] = in[3 * start + i];
    __syncthreads();
    if (threadIdx.x < threads) {
      Bytes rgb[3], result;
#pragma unroll
      for (int j = 0; j < 3; ++j) rgb[j] = tile[3 * threadIdx.x + j];
#pragma unroll
      for (int k = 0; k < kPixels; ++k) {
        const uint8_t pixel[3] = {rgb[3 * k / 16].v[3 * k % 16], rgb[(3 * k + 1) / 16].v[(3 * k + 1) % 16],
                                  rgb[(3 * k + 2) / 16].v[(3 * k + 2) % 16]};
        result.v[k] = gray(pixel);
      }
      reinterpret_cast<Bytes*>(out)[start + threadIdx.x] = result;
    }
    __syncthreads();
  }
  const int64_t tail = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (tail < pixels % kPixels) {
    const int64_t i = pixels - pixels % kPixels + tail;
    out[i] = gray(image + 3 * i);
  }
}

__global__ void __launch_bounds__(kThreads)
    grayscale_kernel(const uint8_t* image, uint8_t* out, int64_t pixels) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pixels; i += stride)
    out[i] = gray(image + 3 * i);
}

void grayscale(const uint8_t* image, uint8_t* out, int64_t pixels, GpuStream stream) {
  if (aligned({image, out})) {
    const auto blocks = blocks_for((pixels + kPixels - 1) / kPixels, kThreads);
    grayscale_vector_kernel<<<blocks, kThreads, 0, stream>>>(image, out, pixels);
  } else {
    grayscale_kernel<<<blocks_for(pixels, kThreads), kThreads, 0, stream>>>(image, out, pixels);
  }
  check_launch("grayscale");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  grayscale(args.in[0].as<const uint8_t>(), args.out[0].as<uint8_t>(), args.out[0].numel,
            stream_of(args.stream));
}

extern Op grayscale_op;
static const Implement<grayscale_op, run> grayscale_cuda("CUDA");

}  // namespace cpp_ext
