// What CUDA and HIP spell differently, and the pieces that all GPU kernels share.
#pragma once

#if defined(__HIP_PLATFORM_AMD__) || defined(__HIPCC__)
#include <hip/hip_fp16.h>
#include <hip/hip_runtime.h>
#define CPP_EXT_SHUFFLE_XOR(value, mask) __shfl_xor(value, mask)
#define CPP_EXT_WARP warpSize  // 64 or 32 lanes, known on the device only
#define CPP_EXT_LAST_ERROR() hipGetLastError()
#define CPP_EXT_ERROR_TEXT(error) hipGetErrorString(error)
#define CPP_EXT_SUCCESS hipSuccess
using GpuStream = hipStream_t;
#else
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define CPP_EXT_SHUFFLE_XOR(value, mask) __shfl_xor_sync(0xffffffffu, value, mask)
#define CPP_EXT_WARP 32
#define CPP_EXT_LAST_ERROR() cudaGetLastError()
#define CPP_EXT_ERROR_TEXT(error) cudaGetErrorString(error)
#define CPP_EXT_SUCCESS cudaSuccess
using GpuStream = cudaStream_t;
#endif

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "common/float_types.h"

namespace cpp_ext {

constexpr int kThreads = 256;
constexpr int kMaxWarps = 1024 / 32;
constexpr int64_t kMaxBlocks = 65535 * 16;  // kernels stride over the rest
constexpr int kVectorBytes = 16;            // the widest load of one thread

inline GpuStream stream_of(void* stream) {
  return static_cast<GpuStream>(stream);
}

template <class Error>
inline void check_call(const char* op, const char* what, Error error) {
  if (error != CPP_EXT_SUCCESS)
    throw std::runtime_error(std::string(op) + ": " + what + " failed: " + CPP_EXT_ERROR_TEXT(error));
}

inline void check_launch(const char* op) {
  check_call(op, "kernel launch", CPP_EXT_LAST_ERROR());
}

inline unsigned blocks_for(int64_t items, int64_t items_per_block) {
  const int64_t blocks = (items + items_per_block - 1) / items_per_block;
  return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

inline bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (reinterpret_cast<uintptr_t>(p) % kVectorBytes) return false;
  return true;
}

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(BF16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}
__device__ inline float to_float(F16 x) {
  return __half2float(__ushort_as_half(x.bits));
}

template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
// Round to nearest even; NaN is kept, made quiet.
template <>
__device__ inline BF16 from_float<BF16>(float x) {
  const unsigned u = __float_as_uint(x);
  const unsigned rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : (u >> 16) | 0x40u)};
}
template <>
__device__ inline F16 from_float<F16>(float x) {
  return {__half_as_ushort(__float2half_rn(x))};
}

// N elements that move in one instruction.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

template <class T>
constexpr int kPack = kVectorBytes / static_cast<int>(sizeof(T));

// kSums sums over the block, in every thread, for the barriers of one. The leading barrier lets the function
// be called twice in one kernel.
template <int kSums>
__device__ inline void block_sums(float (&x)[kSums]) {
  __shared__ float partial[kMaxWarps][kSums];
  const int lane = threadIdx.x % CPP_EXT_WARP, warp = threadIdx.x / CPP_EXT_WARP;
#pragma unroll
  for (int s = 0; s < kSums; ++s)
    for (int mask = CPP_EXT_WARP / 2; mask > 0; mask /= 2) x[s] += CPP_EXT_SHUFFLE_XOR(x[s], mask);
  __syncthreads();
  if (lane == 0)
#pragma unroll
    for (int s = 0; s < kSums; ++s) partial[warp][s] = x[s];
  __syncthreads();
#pragma unroll
  for (int s = 0; s < kSums; ++s) x[s] = 0.0f;
  for (int w = 0; w < static_cast<int>(blockDim.x) / CPP_EXT_WARP; ++w)
#pragma unroll
    for (int s = 0; s < kSums; ++s) x[s] += partial[w][s];
}

__device__ inline float block_sum(float x) {
  float sum[1] = {x};
  block_sums(sum);
  return sum[0];
}

}  // namespace cpp_ext
