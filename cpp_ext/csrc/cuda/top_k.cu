// The k largest of each row, sorted, the lower index first among equals; see csrc/cpu/top_k.cpp. A block does
// a row. Its threads find the largest of their elements, whose k-th largest is a bound that at least k
// elements reach; those that do, hardly more than k, are collected in shared memory, where each counts how
// many come before it. An element stands for itself as 64 bits, its key above its inverted index: all are
// different and in the order of the result, so the order of arrival plays no part.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int kRoom = 2048;  // candidates in shared memory
constexpr int kMaxK = 256;

// In the order of the floats: -0.0 as 0.0, every NaN highest.
__device__ inline uint32_t key_of(float x) {
  if (x != x) return 0xffffffffu;
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline uint64_t with_index(uint32_t key, int64_t i) {
  return static_cast<uint64_t>(key) << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(i));
}

// Calls f(key, index) for the elements of this thread.
template <int N, class T, class F>
__device__ void each_element(const T* row, int64_t n, const F& f) {
  const auto* packs = reinterpret_cast<const Pack<T, N>*>(row);
  for (int64_t i = threadIdx.x; i < n / N; i += blockDim.x) {
    const Pack<T, N> pack = packs[i];
#pragma unroll
    for (int j = 0; j < N; ++j) f(key_of(to_float(pack.v[j])), i * N + j);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kMaxThreads)
    top_k_kernel(const T* x, T* values, int64_t* indices, int64_t rows, int64_t n, int k) {
  __shared__ uint64_t collected[kRoom], sorted[kMaxK];
  __shared__ int count;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* in = x + row * n;
    uint32_t top = 0;  // below every key
    each_element<N>(in, n, [&](uint32_t key, int64_t) { top = key > top ? key : top; });
    uint32_t bound = 0;  // the k-th largest of the threads' maxima, bit by bit
    for (uint32_t bit = 1u << 31; bit > 0; bit >>= 1)
      if (__syncthreads_count(top >= (bound | bit)) >= k) bound |= bit;

    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    each_element<N>(in, n, [&](uint32_t key, int64_t i) {
      if (key < bound) return;
      const int at = atomicAdd(&count, 1);
      if (at < kRoom) collected[at] = with_index(key, i);
    });
    __syncthreads();
    int candidates = count;
    __syncthreads();

    if (candidates > kRoom) {
      // Thousands of equal elements: the k-th itself is looked for, a pass over the row for each bit.
      uint64_t least = 0;
      for (uint64_t bit = uint64_t{1} << 63; bit > 0; bit >>= 1) {
        if (threadIdx.x == 0) count = 0;
        __syncthreads();
        int matches = 0;
        each_element<N>(in, n, [&](uint32_t key, int64_t i) {
          if (matches <= k && with_index(key, i) >= (least | bit)) ++matches;  // so many are enough to know
        });
        if (matches > 0) atomicAdd(&count, matches);
        __syncthreads();
        if (count >= k) least |= bit;
        __syncthreads();
      }
      if (threadIdx.x == 0) count = 0;
      __syncthreads();
      each_element<N>(in, n, [&](uint32_t key, int64_t i) {
        const uint64_t element = with_index(key, i);
        if (element >= least) collected[atomicAdd(&count, 1)] = element;
      });
      __syncthreads();
      candidates = k;
    }
    for (int c = threadIdx.x; c < candidates; c += blockDim.x) {
      const uint64_t element = collected[c];
      int rank = 0;
      for (int j = 0; j < candidates; ++j) rank += collected[j] > element;
      if (rank < k) sorted[rank] = element;
    }
    __syncthreads();
    for (int rank = threadIdx.x; rank < k; rank += blockDim.x) {
      const int64_t i = static_cast<uint32_t>(~static_cast<uint32_t>(sorted[rank]));
      values[row * k + rank] = in[i];
      indices[row * k + rank] = i;
    }
    __syncthreads();  // The next row overwrites `collected` and `sorted`.
  }
}

template <class T>
void top_k(const T* x, T* values, int64_t* indices, int64_t rows, int64_t n, int k, GpuStream stream) {
  const int threads = n < kMaxThreads ? (n <= 256 ? 256 : 512) : kMaxThreads;  // at least kMaxK
  if (n % kPack<T> == 0 && n >= int64_t{kMaxThreads} * kPack<T> && aligned({x}))
    top_k_kernel<kPack<T>><<<blocks_for(rows, 1), threads, 0, stream>>>(x, values, indices, rows, n, k);
  else
    top_k_kernel<1><<<blocks_for(rows, 1), threads, 0, stream>>>(x, values, indices, rows, n, k);
  check_launch("top_k");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View& x = args.in[0];
  const int64_t n = x.sizes[x.rank - 1];
  with_float_type(x.dtype, [&]<class T>(T*) {
    top_k(x.as<const T>(), args.out[0].as<T>(), args.out[1].as<int64_t>(), x.numel / n, n,
          static_cast<int>(args.scalars[0].integer), stream_of(args.stream));
  });
}

extern Op top_k_op;
static const Implement<top_k_op, run> top_k_cuda("CUDA");

}  // namespace cpp_ext
