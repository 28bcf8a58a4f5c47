// Attention of many query rows without tensor cores: float32 everywhere, 16-bit floats where
// common/gpu_attention_mma.h cannot run (AMD GPUs, and NVIDIA's before sm_80).
//
// A block takes a tile of query rows of one key head and passes over its keys, a tile of these at a time,
// with the online softmax. Each thread has four rows of the tile and computes scores, and later elements of
// the output, as small products in registers: eight loads of 16 bytes from shared memory feed 64
// multiplications.
#pragma once

#include "common/gpu_attention.h"

namespace cpp_ext {

constexpr int kTileThreads = 128;
constexpr int kTileLanes = 16;  // threads that share rows; a shuffle stays among them on every architecture
constexpr int kTileTeams = kTileThreads / kTileLanes;
constexpr int kTileRows = 32, kLaneRows = kTileRows / kTileTeams;  // row r belongs to team r % kTileTeams
constexpr int kTileQuads = kTileLanes;                             // groups of four elements in a slice
constexpr int kSlice = 4 * kTileQuads;  // elements of a head that are staged at once

// Copies elements `first` to `first + kSlice` of `rows` rows to shared memory, in float32 and times `scale`.
// What lies behind the rows or behind `dim` becomes zeros. `row(r)` is the address of row r.
template <int kRows, class T, class Row>
__device__ void load_slice(float4* to, int stride, const Row& row, int64_t rows, int first,
                           const AttentionSizes& s, float scale) {
  if (s.packs) {
    for (int i = threadIdx.x; i < kRows * kTileQuads; i += kTileThreads) {
      const int r = i / kTileQuads, quad = i % kTileQuads, d = first + 4 * quad;
      float4 x = {};
      if (r < rows && d < s.dim) {
        const Pack<T, 4> v = *reinterpret_cast<const Pack<T, 4>*>(row(r) + d);
        x = make_float4(to_float(v.v[0]) * scale, to_float(v.v[1]) * scale, to_float(v.v[2]) * scale,
                        to_float(v.v[3]) * scale);
      }
      to[r * stride + quad] = x;
    }
  } else {
    for (int i = threadIdx.x; i < kRows * kSlice; i += kTileThreads) {
      const int r = i / kSlice, d = first + i % kSlice;
      const float x = r < rows && d < s.dim ? to_float(row(r)[d]) * scale : 0.0f;
      reinterpret_cast<float*>(to + r * stride)[i % kSlice] = x;
    }
  }
}

__device__ inline float component(const float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Grid: (tiles of kTileRows rows, key heads, sequences). Rows of shared memory are padded where lanes that
// read or write at once would meet in a bank. The bound of one block keeps ptxas from spilling for a third.
template <int kDim, class T>
__global__ void __launch_bounds__(kTileThreads, 1)
    tile_kernel(const T* query, const T* key, const T* value, T* out, AttentionSizes s) {
  // Fewer keys with large heads: static shared memory is at most 48 KiB.
  constexpr int kLaneKeys = kDim <= 128 ? 4 : 2, kKeys = kLaneKeys * kTileLanes;
  constexpr int kSlices = kDim / kSlice, kCacheStride = kTileQuads + 1, kWeightStride = kKeys / 4 + 4;
  __shared__ float4 queries[kTileRows][kDim / 4], cache[kKeys][kCacheStride];
  __shared__ float4 weights[kTileRows][kWeightStride];
  const int lane = threadIdx.x % kTileLanes, team = threadIdx.x / kTileLanes;
  const int64_t b = blockIdx.z, key_head = blockIdx.y;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t rows = s.rows() - first_row < kTileRows ? s.rows() - first_row : kTileRows;
  const int64_t length = s.length(b), keys = s.limit(length, first_row + rows - 1);
  const auto place = [&](int r) { return s.at(b, key_head, first_row + r); };

#pragma unroll
  for (int c = 0; c < kSlices; ++c)
    load_slice<kTileRows, T>(
        &queries[0][c * kTileQuads], kDim / 4, [&](int r) { return query + place(r); }, rows, c * kSlice, s,
        s.scale);

  float4 output[kLaneRows][kSlices] = {};
  float maximum[kLaneRows], sum[kLaneRows] = {};
  int64_t limit[kLaneRows];
#pragma unroll
  for (int i = 0; i < kLaneRows; ++i) {
    maximum[i] = -INFINITY;
    limit[i] = s.limit(length, first_row + team + i * kTileTeams);
  }

  for (int64_t first = 0; first < keys; first += kKeys) {
    const auto load_cache = [&](const T* from, int slice) {
      __syncthreads();  // the slice before has been read
      const T* tile = from + s.cache_at(b, first, key_head);
      load_slice<kKeys, T>(
          &cache[0][0], kCacheStride, [&](int r) { return tile + r * s.key_heads * s.dim; }, keys - first,
          slice * kSlice, s, 1.0f);
      __syncthreads();
    };
    float score[kLaneRows][kLaneKeys] = {};  // of keys lane, lane + kTileLanes, ...
#pragma unroll
    for (int c = 0; c < kSlices; ++c) {
      if (c * kSlice >= s.dim) break;
      load_cache(key, c);
#pragma unroll 4
      for (int d = 0; d < kTileQuads; ++d) {
        float4 q[kLaneRows], k[kLaneKeys];
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i) q[i] = queries[team + i * kTileTeams][c * kTileQuads + d];
#pragma unroll
        for (int j = 0; j < kLaneKeys; ++j) k[j] = cache[lane + j * kTileLanes][d];
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i)
#pragma unroll
          for (int j = 0; j < kLaneKeys; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) score[i][j] += component(q[i], e) * component(k[j], e);
      }
    }
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
      float new_maximum = maximum[i];
#pragma unroll
      for (int j = 0; j < kLaneKeys; ++j) {
        if (first + lane + j * kTileLanes >= limit[i]) score[i][j] = -INFINITY;
        new_maximum = fmaxf(new_maximum, score[i][j]);
      }
#pragma unroll
      for (int mask = kTileLanes / 2; mask > 0; mask /= 2)
        new_maximum = fmaxf(new_maximum, CPP_EXT_SHUFFLE_XOR(new_maximum, mask));
      const float base = exponent_base(new_maximum), correction = exp2f(maximum[i] - base);
      maximum[i] = new_maximum;
      sum[i] *= correction;
      float* row = reinterpret_cast<float*>(weights[team + i * kTileTeams]);
#pragma unroll
      for (int j = 0; j < kLaneKeys; ++j) {
        const float p = exp2f(score[i][j] - base);
        sum[i] += p;
        row[lane + j * kTileLanes] = p;
      }
#pragma unroll
      for (int c = 0; c < kSlices; ++c) {
        float4& o = output[i][c];
        o.x *= correction, o.y *= correction, o.z *= correction, o.w *= correction;
      }
    }
#pragma unroll
    for (int c = 0; c < kSlices; ++c) {
      if (c * kSlice >= s.dim) break;
      load_cache(value, c);  // its barriers also show the weights
#pragma unroll 2
      for (int k = 0; k < kKeys / 4; ++k) {
        float4 p[kLaneRows];
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i) p[i] = weights[team + i * kTileTeams][k];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float4 v = cache[4 * k + e][lane];
#pragma unroll
          for (int i = 0; i < kLaneRows; ++i) {
            const float w = component(p[i], e);
            float4& o = output[i][c];
            o.x += w * v.x, o.y += w * v.y, o.z += w * v.z, o.w += w * v.w;
          }
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kLaneRows; ++i) {
    float total = sum[i];
#pragma unroll
    for (int mask = kTileLanes / 2; mask > 0; mask /= 2) total += CPP_EXT_SHUFFLE_XOR(total, mask);
    const int r = team + i * kTileTeams;
    if (r >= rows) continue;
    T* to = out + place(r);
#pragma unroll
    for (int c = 0; c < kSlices; ++c) {
      const int d = c * kSlice + 4 * lane;
      Pack<T, 4> y;
#pragma unroll
      for (int e = 0; e < 4; ++e)
        y.v[e] = from_float<T>(limit[i] == 0 ? 0.0f : component(output[i][c], e) / total);
      if (s.packs) {
        if (d < s.dim) *reinterpret_cast<Pack<T, 4>*>(to + d) = y;
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (d + e < s.dim) to[d + e] = y.v[e];
      }
    }
  }
}

template <int kDim, class T>
void launch_tile(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                 GpuStream stream) {
  const dim3 grid(static_cast<unsigned>((s.rows() + kTileRows - 1) / kTileRows),
                  static_cast<unsigned>(s.key_heads), static_cast<unsigned>(s.batch));
  tile_kernel<kDim><<<grid, kTileThreads, 0, stream>>>(query, key, value, out, s);
  check_launch("attention");
}

}  // namespace cpp_ext
