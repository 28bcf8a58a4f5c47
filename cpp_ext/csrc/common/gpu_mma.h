// Tensor-core instructions of NVIDIA GPUs from sm_80 on, one small function for each PTX instruction. The
// PTX manual (“Warp-level matrix instructions”) lays down which lane holds which element of a matrix, so that
// products can be used in registers; the wmma functions of CUDA leave that open and go through memory.
//
// Every function is executed by whole warps. Elements are bfloat16 or float16, two in a register, the one
// with the lower index in the lower half.
#pragma once

#include <cstdint>

#include "common/float_types.h"

namespace cpp_ext {

// The address of shared memory that the instructions below take.
__device__ inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Starts a copy of 16 bytes to shared memory, past the registers and the first-level cache. Both addresses
// are multiples of 16. Where `valid` is false, zeros are written and `from` is not read.
__device__ inline void copy_async(uint32_t to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
               "r"(bytes)
               : "memory");
}

// Waits for this thread's copies. Those of other threads have arrived after a barrier that follows.
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

// Loads four matrices of 8 x 8 elements. Lane i names row i % 8 of matrix i / 8, which is 16 bytes; lane
// 4 r + c then holds elements 2 c and 2 c + 1 of row r of each matrix.
__device__ inline void load_matrices(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}

// The same with each matrix transposed: lane 4 c + r holds elements of column c.
__device__ inline void load_transposed(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}

// sum [16, 8] += a [16, 16] b [16, 8], in float32. Lane 4 g + t holds of `sum` the elements (g, 2 t),
// (g, 2 t + 1), (g + 8, 2 t) and (g + 8, 2 t + 1); of `a` pairs that begin at (g, 2 t), (g + 8, 2 t),
// (g, 2 t + 8) and (g + 8, 2 t + 8); of `b` the pairs down column g from rows 2 t and 2 t + 8.
template <class T>
__device__ void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b_low, uint32_t b_high);

#define CPP_EXT_MULTIPLY_ADD(T, name)                                                             \
  template <>                                                                                     \
  __device__ inline void multiply_add<T>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b_low, \
                                         uint32_t b_high) {                                       \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                    \
        ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                                  \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));                   \
  }
CPP_EXT_MULTIPLY_ADD(BF16, "bf16")
CPP_EXT_MULTIPLY_ADD(F16, "f16")
#undef CPP_EXT_MULTIPLY_ADD

// Two elements in one register, rounded to nearest even.
template <class T>
__device__ uint32_t pack_pair(float low, float high);
template <>
__device__ inline uint32_t pack_pair<BF16>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
template <>
__device__ inline uint32_t pack_pair<F16>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// 2^x with a relative error of 2^-22; results below 2^-126 are 0. exp2f() scales to keep those.
__device__ inline float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace cpp_ext
