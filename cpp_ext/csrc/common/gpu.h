// What CUDA and HIP spell differently, and the pieces that all GPU kernels share.
#pragma once

#include "common/gpu_pack.h"

#ifdef CPP_EXT_HIP
#define CPP_EXT_SHUFFLE_XOR(value, mask) __shfl_xor(value, mask)
#define CPP_EXT_WARP warpSize  // 64 or 32 lanes, known on the device only
#define CPP_EXT_LAST_ERROR() hipGetLastError()
#define CPP_EXT_GET_DEVICE(device) hipGetDevice(device)
#define CPP_EXT_MULTIPROCESSORS(count, device) \
  hipDeviceGetAttribute(count, hipDeviceAttributeMultiprocessorCount, device)
#define CPP_EXT_ERROR_TEXT(error) hipGetErrorString(error)
#define CPP_EXT_SUCCESS hipSuccess
using GpuStream = hipStream_t;
#else
#define CPP_EXT_SHUFFLE_XOR(value, mask) __shfl_xor_sync(0xffffffffu, value, mask)
#define CPP_EXT_WARP 32
#define CPP_EXT_LAST_ERROR() cudaGetLastError()
#define CPP_EXT_GET_DEVICE(device) cudaGetDevice(device)
#define CPP_EXT_MULTIPROCESSORS(count, device) \
  cudaDeviceGetAttribute(count, cudaDevAttrMultiProcessorCount, device)
#define CPP_EXT_ERROR_TEXT(error) cudaGetErrorString(error)
#define CPP_EXT_SUCCESS cudaSuccess
using GpuStream = cudaStream_t;
#endif

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace cpp_ext {

constexpr int kThreads = 256;      // of a block, unless its rows ask for another number
constexpr int kMaxThreads = 1024;  // of the largest block
constexpr int kMaxWarps = kMaxThreads / 32;
constexpr int64_t kMaxBlocks = 65535 * 16;  // kernels stride over the rest

inline GpuStream stream_of(void* stream) {
  return static_cast<GpuStream>(stream);
}

template <class Error>
inline void check_call(const char* op, const char* operation, Error error) {
  if (error != CPP_EXT_SUCCESS)
    throw std::runtime_error(std::string(op) + ": " + operation + " failed: " + CPP_EXT_ERROR_TEXT(error));
}

inline void check_launch(const char* op) {
  check_call(op, "kernel launch", CPP_EXT_LAST_ERROR());
}

// Of the current device.
inline int multiprocessors(const char* op) {
  int device = 0, count = 0;
  check_call(op, "query of the current device", CPP_EXT_GET_DEVICE(&device));
  check_call(op, "query of the number of multiprocessors", CPP_EXT_MULTIPROCESSORS(&count, device));
  return count;
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

}  // namespace cpp_ext
