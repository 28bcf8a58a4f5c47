// Attention of many query rows of 16-bit floats on the tensor cores of NVIDIA GPUs (sm_80 and later), laid
// out as FlashAttention-2 (Dao 2023, arXiv:2307.08691).
//
// A block takes a tile of query rows of one key head and passes over its keys, a tile of these at a time:
//
//   scores = query key^T            products of 16 x 16 x 8 elements, accumulated in registers
//   weights = 2^(scores - maximum)  with the maximum of each row so far; corrects output and sum if it grew
//   output += weights value         with the weights rounded to 16 bits
//
// Each warp has whole rows, so that only maxima and sums cross lanes, and only among the four lanes of a row.
// The first product leaves its results where the second one takes its left operand from, so scores never go
// through memory.
//
// Keys and values have one buffer each in shared memory, which are the two stages of the pipeline: values
// arrive while the scores are computed, and the next keys while the values are multiplied.
#pragma once

#include "common/gpu_attention.h"

#if !defined(__HIP_PLATFORM_AMD__) && !defined(__HIPCC__)
#define CPP_EXT_TENSOR_CORES

#include "common/gpu_mma.h"

namespace cpp_ext {

// kDim is the head dimension, rounded up, and kFragments the groups of 16 rows of a warp. With two, keys and
// values are read from shared memory half as often. Above 128 the registers suffice for one.
template <int kDim_, int kKeys_>
struct MmaShape {
  static constexpr int kDim = kDim_, kKeys = kKeys_;
  static constexpr int kFragments = kDim <= 128 ? 2 : 1, kWarps = kDim <= 128 ? 4 : 8;
  static constexpr int kWarpRows = 16 * kFragments, kRows = kWarpRows * kWarps, kThreads = 32 * kWarps;
  static constexpr int kChunks = kDim / 8;  // of 16 bytes in a row
  // Shared memory: tiles of keys, values and queries.
  static constexpr int kValues = kKeys * kDim * 2, kQueries = 2 * kValues,
                       kBytes = kQueries + kRows * kDim * 2;
  // Including the kernel's static arrays and what the system reserves. kBlocks blocks are eight warps.
  static constexpr int kReserved = 1024, kShared = kBytes + kRows * 8 + kReserved, kBlocks = 8 / kWarps;
  // Chunk c of a row lies at c ^ x, where x takes kSpan values over eight rows. Their chunks c then lie in
  // different banks, as load_matrices needs it.
  static constexpr int kSpan = kChunks % 8 == 0 ? 8 : kChunks % 4 == 0 ? 4 : 2;
  static_assert(kChunks % 2 == 0 && kKeys % 16 == 0);

  // Byte offset of a chunk in a tile.
  static __device__ unsigned offset(unsigned row, unsigned chunk) {
    return (row * kChunks + (chunk ^ row / (8 / kSpan) % kSpan)) * 16;
  }
};

// Copies `rows` rows of `dim` elements into a tile of kRows rows. The rest of the tile becomes zeros, because
// a weight of 0 times a NaN would be NaN. `row(r, step)` is the address of row r + step, `step` a constant.
template <class Shape, int kRows, class T, class Row>
__device__ void load_tile(unsigned char* tile, int rows, int dim, bool packs, const Row& row) {
  constexpr int kSpan = Shape::kSpan, kStep = Shape::kThreads / kSpan;
  static_assert(kRows % kStep == 0 && kStep % 8 == 0);  // rows r and r + kStep are permuted alike
  if (packs) {
    const unsigned r = threadIdx.x / kSpan, chunk = threadIdx.x % kSpan;
    const uint32_t to = shared_address(tile) + Shape::offset(r, chunk);
#pragma unroll
    for (int step = 0; step < kRows; step += kStep)
#pragma unroll
      for (int column = 0; column < Shape::kChunks; column += kSpan)
        copy_async(to + (step * Shape::kChunks + column) * 16, row(r, step) + (chunk + column) * 8,
                   static_cast<int>(r) < rows - step && static_cast<int>(chunk + column) * 8 < dim);
    return;
  }
  // Rows may begin anywhere: neighbouring lanes copy neighbouring elements.
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < kRows * Shape::kDim; i += Shape::kThreads) {
    const unsigned r = i / Shape::kDim, d = i % Shape::kDim;
    T x = {};
    if (static_cast<int>(r) < rows && static_cast<int>(d) < dim) x = row(r, 0)[d];
    *reinterpret_cast<T*>(tile + Shape::offset(r, d / 8) + d % 8 * 2) = x;
  }
}

// Grid: (tiles of kRows rows, key heads, sequences).
template <class Shape, class T>
__global__ void __launch_bounds__(Shape::kThreads)
    mma_kernel(const T* query, const T* key, const T* value, T* out, AttentionSizes s) {
#if __CUDA_ARCH__ >= 800
  constexpr int kDim = Shape::kDim, kKeys = Shape::kKeys, kFragments = Shape::kFragments,
                kSpan = Shape::kSpan;
  constexpr int kRows = Shape::kRows, kWarpRows = Shape::kWarpRows, kRowBytes = kDim * 2;
  extern __shared__ __align__(128) unsigned char memory[];
  // Of each row its query, counted from the first one of the tile, and how many keys it sees.
  __shared__ int query_of[kRows], limits[kRows];

  // With a causal mask late tiles see the most keys. They start first, so that short ones fill the end.
  const int64_t first_row = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * kRows;
  const int64_t b = blockIdx.z, key_head = blockIdx.y, group = s.group(), length = s.length(b);
  const int64_t first_query = first_row / group, first_head = first_row % group;
  const int rows = s.rows() - first_row < kRows ? static_cast<int>(s.rows() - first_row) : kRows;
  const int keys = static_cast<int>(s.limit(length, first_row + rows - 1));  // that any row of the tile sees
  const int dim = static_cast<int>(s.dim), lane = threadIdx.x % 32;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * kWarpRows;  // first row of this warp
  const bool has_rows = warp_row < rows;                                // other warps only copy

  for (int r = threadIdx.x; r < kRows; r += Shape::kThreads) {
    query_of[r] = static_cast<int>((first_head + r) / group);
    limits[r] = static_cast<int>(s.limit_of_query(length, first_query + query_of[r]));
  }
  __syncthreads();
  // Row r in query and output: the next row is the next head, and after a group the next query.
  const int64_t first_place =
      ((b * s.queries + first_query) * s.heads + key_head * group + first_head) * s.dim;
  const auto place = [&](int r) {
    return first_place + r * s.dim + query_of[r] * ((s.heads - group) * s.dim);
  };
  const unsigned stride = static_cast<unsigned>(s.key_heads * s.dim);  // from key to key
  const auto load_cache = [&](int tile, const T* cache, int first) {
    const T* from = cache + s.cache_at(b, first, key_head);
    load_tile<Shape, kKeys, T>(memory + tile, keys - first, dim, s.packs, [&](int r, int step) {
      return from + static_cast<size_t>(stride * r) + static_cast<size_t>(stride * step);
    });
  };

  // Lane addresses of load_matrices for the quarters of 16 x 16 elements: down the columns for queries and
  // values, along the rows for keys. These orders put the registers of an operand beside each other.
  const uint32_t base = shared_address(memory);
  const uint32_t down = base + Shape::offset(lane % 16, lane / 16);
  const uint32_t along = base + Shape::offset(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  const auto address = [&](uint32_t corner, int row, int chunk) {
    return (corner ^ chunk % kSpan * 16) + (row * kRowBytes + chunk / kSpan * kSpan * 16);
  };

  float output[kFragments][kDim / 8][4] = {}, maximum[kFragments][2], sum[kFragments][2] = {};
#pragma unroll
  for (int f = 0; f < kFragments; ++f) maximum[f][0] = maximum[f][1] = -INFINITY;
  // A positive scale is applied together with the subtraction of the maximum.
  const bool fused = s.scale > 0.0f;
  const float scale = fused ? s.scale : 1.0f;

  if (keys > 0) {
    load_tile<Shape, kRows, T>(memory + Shape::kQueries, rows, dim, s.packs,
                               [&](int r, int step) { return query + place(r + step); });
    load_cache(0, key, 0);
  }
  for (int first = 0; first < keys; first += kKeys) {
    wait_for_copies();
    __syncthreads();  // the keys are there, and all warps have read the values before
    load_cache(Shape::kValues, value, first);

    float score[kFragments][kKeys / 8][4] = {};
    if (has_rows) {
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        uint32_t q[kFragments][4];
#pragma unroll
        for (int f = 0; f < kFragments; ++f)
          load_matrices(q[f], address(down, warp_row + 16 * f, 2 * d) + Shape::kQueries);
#pragma unroll
        for (int j = 0; j < kKeys / 16; ++j) {
          uint32_t k[4];
          load_matrices(k, address(along, 16 * j, 2 * d));
#pragma unroll
          for (int f = 0; f < kFragments; ++f) {
            multiply_add<T>(score[f][2 * j], q[f], k[0], k[1]);
            multiply_add<T>(score[f][2 * j + 1], q[f], k[2], k[3]);
          }
        }
      }
    }
    wait_for_copies();
    __syncthreads();  // the values are there, and all warps have read the keys
    if (first + kKeys < keys) load_cache(0, key, first + kKeys);
    if (!has_rows) continue;

    if (!fused) {
#pragma unroll
      for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
          for (int i = 0; i < 4; ++i) score[f][j][i] *= s.scale;
    }
    // Later rows see more keys, so the first row of the warp tells whether any key is hidden.
    if (first + kKeys > limits[warp_row]) {
#pragma unroll
      for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int end = limits[warp_row + 16 * f + i / 2 * 8 + lane / 4] - first;
#pragma unroll
          for (int j = 0; j < kKeys / 8; ++j)
            if (8 * j + lane % 4 * 2 + i % 2 >= end) score[f][j][i] = -INFINITY;
        }
    }
    // Rows lane / 4 and lane / 4 + 8. While no maximum of the warp grows, the output needs no correction.
    float largest[kFragments][2];
    bool grew = false;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float x = -INFINITY;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) x = fmaxf(x, fmaxf(score[f][j][2 * h], score[f][j][2 * h + 1]));
        x = fmaxf(x, CPP_EXT_SHUFFLE_XOR(x, 1));
        largest[f][h] = fmaxf(x, CPP_EXT_SHUFFLE_XOR(x, 2)) * scale;
        grew |= largest[f][h] > maximum[f][h];
      }
    if (__any_sync(0xffffffffu, grew)) {
#pragma unroll
      for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const float new_maximum = fmaxf(maximum[f][h], largest[f][h]);
          const float correction = fast_exp2(maximum[f][h] - exponent_base(new_maximum));
          maximum[f][h] = new_maximum;
          sum[f][h] *= correction;
#pragma unroll
          for (int d = 0; d < kDim / 8; ++d)
#pragma unroll
            for (int i = 2 * h; i < 2 * h + 2; ++i) output[f][d][i] *= correction;
        }
    }
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      uint32_t p[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int i = 0; i < 4; ++i) {  // both rows, then both of the next eight keys
          const float* x = &score[f][2 * j + i / 2][i % 2 * 2];
          const float shift = exponent_base(maximum[f][i % 2]);
          const float low = fast_exp2(fmaf(x[0], scale, -shift)), high = fast_exp2(fmaf(x[1], scale, -shift));
          sum[f][i % 2] += low + high;
          p[f][i] = pack_pair<T>(low, high);
        }
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        uint32_t v[4];
        load_transposed(v, address(down, 16 * j, 2 * d) + Shape::kValues);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          multiply_add<T>(output[f][2 * d], p[f], v[0], v[1]);
          multiply_add<T>(output[f][2 * d + 1], p[f], v[2], v[3]);
        }
      }
    }
  }

  // Staged in the warp's own rows of the query tile, so that 16 bytes are stored at once.
  __syncwarp();
  unsigned char* staged = memory + Shape::kQueries;
#pragma unroll
  for (int f = 0; f < kFragments; ++f)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int r = warp_row + 16 * f + 8 * h + lane / 4;
      float total = sum[f][h];
      total += CPP_EXT_SHUFFLE_XOR(total, 1);
      total += CPP_EXT_SHUFFLE_XOR(total, 2);
      const bool sees_nothing = limits[r] == 0;  // zeros then
      const float inverse = 1.0f / total;
#pragma unroll
      for (int d = 0; d < kDim / 8; ++d) {
        const float *o = &output[f][d][2 * h], low = o[0] * inverse, high = o[1] * inverse;
        *reinterpret_cast<uint32_t*>(staged + Shape::offset(r, d) + lane % 4 * 4) =
            sees_nothing ? 0u : pack_pair<T>(low, high);
      }
    }
  __syncwarp();
  if (s.packs) {
    for (int i = lane; i < kWarpRows * Shape::kChunks; i += 32) {
      const int r = warp_row + i / Shape::kChunks, chunk = i % Shape::kChunks;
      if (r < rows && chunk * 8 < dim)
        *reinterpret_cast<uint4*>(out + place(r) + chunk * 8) =
            *reinterpret_cast<const uint4*>(staged + Shape::offset(r, chunk));
    }
  } else {
    for (int i = lane; i < kWarpRows * kDim; i += 32) {
      const int r = warp_row + i / kDim, d = i % kDim;
      if (r < rows && d < dim)
        out[place(r) + d] = *reinterpret_cast<const T*>(staged + Shape::offset(r, d / 8) + d % 8 * 2);
    }
  }
#endif
}

// What the launch asks of a device.
struct MmaDevice {
  int major = 0;                         // of the compute capability
  int block_shared = 0, all_shared = 0;  // bytes that a block may take, and of a multiprocessor

  MmaDevice() {
    int device = 0;
    check_call("attention", "cudaGetDevice", cudaGetDevice(&device));
    const auto get = [&](int& value, cudaDeviceAttr attribute) {
      check_call("attention", "cudaDeviceGetAttribute", cudaDeviceGetAttribute(&value, attribute, device));
    };
    get(major, cudaDevAttrComputeCapabilityMajor);
    get(block_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    get(all_shared, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  }
  // Whether eight warps of the kernel find room in a multiprocessor.
  template <class Shape>
  bool holds() const {
    return Shape::kShared - Shape::kReserved <= block_shared && Shape::kBlocks * Shape::kShared <= all_shared;
  }
};

constexpr int kLeastShared = 100 * 1024;  // of a multiprocessor, on sm_86, sm_89 and sm_120; others have more

template <class Shape, class T>
void launch_mma(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                GpuStream stream) {
  const auto kernel = mma_kernel<Shape, T>;
  check_call("attention", "cudaFuncSetAttribute",
             cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kBytes));
  const dim3 grid(static_cast<unsigned>((s.rows() + Shape::kRows - 1) / Shape::kRows),
                  static_cast<unsigned>(s.key_heads), static_cast<unsigned>(s.batch));
  kernel<<<grid, Shape::kThreads, Shape::kBytes, stream>>>(query, key, value, out, s);
  check_launch("attention");
}

// Launches with tiles of 64 keys where eight warps then find room in a multiprocessor, else with tiles of 32.
// False where the device has no such tensor cores.
template <class T>
bool mma_prefill(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                 GpuStream stream) {
  const MmaDevice device;
  const auto launch = [&]<int kDim>(std::integral_constant<int, kDim>) {
    using Large = MmaShape<kDim, 64>;
    // A kernel of its own only where some device needs it.
    using Small = MmaShape<kDim, Large::kBlocks * Large::kShared <= kLeastShared ? 64 : 32>;
    if (device.holds<Large>())
      launch_mma<Large>(query, key, value, out, s, stream);
    else if (device.holds<Small>())
      launch_mma<Small>(query, key, value, out, s, stream);
    else
      return false;
    return true;
  };
  if (device.major < 8) return false;
  if (s.dim <= 64) return launch(std::integral_constant<int, 64>{});
  if (s.dim <= 96) return launch(std::integral_constant<int, 96>{});
  if (s.dim <= 128) return launch(std::integral_constant<int, 128>{});
  if (s.dim <= 192) return launch(std::integral_constant<int, 192>{});
  return launch(std::integral_constant<int, 256>{});
}

}  // namespace cpp_ext

#endif
