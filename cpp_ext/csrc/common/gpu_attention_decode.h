// Attention of few query rows (decoding), which is bound by reading the cache. The cache is split over
// blocks so that they fill the device, and a second kernel joins their results (flash-decoding). Runs on
// NVIDIA and AMD GPUs.
#pragma once

#include <algorithm>

#include "common/gpu_attention.h"
#include "common/op.h"
#include "common/scratch.h"

namespace cpp_ext {

constexpr int kDecodeRows = 8;          // of a key head; more go the way of the prefill
constexpr int64_t kSplitBlocks = 1024;  // several for each multiprocessor of the largest card
constexpr int64_t kLeastSplit = 128;    // keys

constexpr int kSplitThreads = 128;
constexpr int kSplitLanes = 16;  // threads that read a key; a shuffle stays among them on every architecture
constexpr int kSplitTeams = kSplitThreads / kSplitLanes;
constexpr int kSplitKeys = 4;  // that a team reads at a time, so that their loads overlap

// Results of the splits. Tile t of rows and split i have entry t * splits + i, which holds for each row of
// the tile an output that is not divided by the sum yet, [kDim], and {maximum, sum} of its weights.
struct Partial {
  float4* outputs;
  float2* totals;
  int splits, tile_rows;
};

// Where elements 4 * quad to 4 * quad + 3 of a row lie in shared memory, in groups of four floats. Packs of
// eight store their first halves beside each other, then the second ones, rotated into the other banks.
template <int N>
__device__ int group_of(int quad) {
  if constexpr (N != 8) return quad;
  const int pack = quad / 2, half = quad % 2;
  return (pack / kSplitLanes * 2 + half) * kSplitLanes + (pack % kSplitLanes ^ half * 4);
}

// Block (split, key head and tile of kRows rows, sequence) reads its part of the cache: team t every
// kSplitTeams-th run of kSplitKeys keys, each of its lanes kDim / 16 elements of a key. Without the bound on
// threads, AMD's compiler leaves registers for 1,024 and spills hundreds.
template <int kRows, int kDim, int N, class T>
__global__ void __launch_bounds__(kSplitThreads)
    split_kernel(const T* query, const T* key, const T* value, Partial partial, AttentionSizes s,
                 int row_tiles) {
  constexpr int kPacks = kDim / kSplitLanes / N, kQuads = kDim / 4;
  using Vector = Pack<T, N>;
  const int lane = threadIdx.x % kSplitLanes, team = threadIdx.x / kSplitLanes;
  const int64_t b = blockIdx.z, key_head = blockIdx.y / row_tiles;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y % row_tiles) * kRows;
  const int64_t length = s.length(b), part = (length + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * part, end = begin + part < length ? begin + part : length;

  const auto load = [&](const T* from, float* to) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t d = static_cast<int64_t>(p * kSplitLanes + lane) * N;
      if (d < s.dim) {
        const Vector v = *reinterpret_cast<const Vector*>(from + d);
#pragma unroll
        for (int k = 0; k < N; ++k) to[p * N + k] = to_float(v.v[k]);
      } else {
#pragma unroll
        for (int k = 0; k < N; ++k) to[p * N + k] = 0.0f;
      }
    }
  };

  float q[kRows][kPacks * N], o[kRows][kPacks * N] = {}, maximum[kRows], sum[kRows] = {};
  int64_t limit[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = first_row + r < s.rows() ? first_row + r : s.rows() - 1;
    load(query + s.at(b, key_head, row), q[r]);
#pragma unroll
    for (int i = 0; i < kPacks * N; ++i) q[r][i] *= s.scale;
    maximum[r] = -INFINITY;
    limit[r] = s.limit(length, row);
  }

  // All teams take the same number of turns: a shuffle needs every lane of its warp.
  for (int64_t turn = begin; turn < end; turn += kSplitTeams * kSplitKeys) {
    const int64_t t = turn + team * kSplitKeys;
    float score[kRows][kSplitKeys];
#pragma unroll
    for (int j = 0; j < kSplitKeys; ++j) {
      float k[kPacks * N];
      load(key + s.cache_at(b, t + j < end ? t + j : end - 1, key_head), k);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float x = 0.0f;
#pragma unroll
        for (int i = 0; i < kPacks * N; ++i) x += q[r][i] * k[i];
        score[r][j] = x;
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float new_maximum = maximum[r];
#pragma unroll
      for (int j = 0; j < kSplitKeys; ++j) {
#pragma unroll
        for (int mask = kSplitLanes / 2; mask > 0; mask /= 2)
          score[r][j] += CPP_EXT_SHUFFLE_XOR(score[r][j], mask);
        if (t + j >= end || t + j >= limit[r]) score[r][j] = -INFINITY;
        new_maximum = fmaxf(new_maximum, score[r][j]);
      }
      const float base = exponent_base(new_maximum), correction = exp2f(maximum[r] - base);
      maximum[r] = new_maximum;
      sum[r] *= correction;
#pragma unroll
      for (int i = 0; i < kPacks * N; ++i) o[r][i] *= correction;
#pragma unroll
      for (int j = 0; j < kSplitKeys; ++j) {
        score[r][j] = exp2f(score[r][j] - base);
        sum[r] += score[r][j];
      }
    }
#pragma unroll
    for (int j = 0; j < kSplitKeys; ++j) {
      if (t + j >= end) break;
      float v[kPacks * N];
      load(value + s.cache_at(b, t + j, key_head), v);
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kPacks * N; ++i) o[r][i] += score[r][j] * v[i];
    }
  }

  // The teams' results are joined in shared memory. The two teams of a warp that store single floats begin
  // half the banks apart.
  constexpr int kTeamQuads = kRows * kQuads + kSplitLanes / 4;
  __shared__ float4 outputs[kSplitTeams][kTeamQuads];
  __shared__ float2 totals[kSplitTeams][kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    float4* to = outputs[team] + r * kQuads;
    if constexpr (N < 4) {
#pragma unroll
      for (int i = 0; i < kPacks; ++i) reinterpret_cast<float*>(to)[i * kSplitLanes + lane] = o[r][i];
    } else {
#pragma unroll
      for (int i = 0; i < kPacks * N; i += 4)
        to[group_of<N>((i / N * kSplitLanes + lane) * (N / 4) + i % N / 4)] =
            make_float4(o[r][i], o[r][i + 1], o[r][i + 2], o[r][i + 3]);
    }
    if (lane == 0) totals[team][r] = make_float2(maximum[r], sum[r]);
  }
  __syncthreads();
  const int64_t entry =
      ((b * s.key_heads + key_head) * row_tiles + blockIdx.y % row_tiles) * gridDim.x + blockIdx.x;
  const int rows = s.rows() - first_row < kRows ? static_cast<int>(s.rows() - first_row) : kRows;
  const auto largest = [&](int r) {
    float new_maximum = -INFINITY;
#pragma unroll
    for (int i = 0; i < kSplitTeams; ++i) new_maximum = fmaxf(new_maximum, totals[i][r].x);
    return new_maximum;
  };
  for (int i = threadIdx.x; i < rows * kQuads; i += kSplitThreads) {
    const int r = i / kQuads, quad = i % kQuads;
    const float base = exponent_base(largest(r));
    float4 y = {};
#pragma unroll
    for (int j = 0; j < kSplitTeams; ++j) {
      const float correction = exp2f(totals[j][r].x - base);
      const float4 x = outputs[j][r * kQuads + group_of<N>(quad)];
      y.x += x.x * correction, y.y += x.y * correction, y.z += x.z * correction, y.w += x.w * correction;
    }
    partial.outputs[(entry * kRows + r) * kQuads + quad] = y;
  }
  if (static_cast<int>(threadIdx.x) < rows) {
    const int r = threadIdx.x;
    const float new_maximum = largest(r), base = exponent_base(new_maximum);
    float total = 0.0f;
#pragma unroll
    for (int j = 0; j < kSplitTeams; ++j) total += totals[j][r].y * exp2f(totals[j][r].x - base);
    partial.totals[entry * kRows + r] = make_float2(new_maximum, total);
  }
}

constexpr int kJoinThreads = 128;

// Block i joins the splits of row i of all key heads of all sequences. Each thread has four elements; as
// many groups of threads as fit take turns in the splits, so that each is read once.
template <int kDim, class T>
__global__ void __launch_bounds__(kJoinThreads) join_kernel(Partial partial, T* out, AttentionSizes s) {
  constexpr int kQuads = kDim / 4, kGroups = kJoinThreads / kQuads;
  __shared__ float4 outputs[kGroups][kQuads];
  __shared__ float2 totals[kGroups];
  const int quad = threadIdx.x % kQuads, group = threadIdx.x / kQuads;
  const int64_t head = blockIdx.x / s.rows(), row = blockIdx.x % s.rows();
  const int64_t b = head / s.key_heads, key_head = head % s.key_heads;
  const int64_t row_tiles = (s.rows() + partial.tile_rows - 1) / partial.tile_rows;
  const int64_t tile = head * row_tiles + row / partial.tile_rows;

  float4 y = {};
  float2 total = {-INFINITY, 0.0f};
  const auto join = [&](const float4& o, const float2& other) {
    const float new_maximum = fmaxf(total.x, other.x), base = exponent_base(new_maximum);
    const float own_factor = exp2f(total.x - base), other_factor = exp2f(other.x - base);
    y = {y.x * own_factor + o.x * other_factor, y.y * own_factor + o.y * other_factor,
         y.z * own_factor + o.z * other_factor, y.w * own_factor + o.w * other_factor};
    total = {new_maximum, total.y * own_factor + other.y * other_factor};
  };
#pragma unroll 4
  for (int i = group; i < partial.splits; i += kGroups) {
    const int64_t from = (tile * partial.splits + i) * partial.tile_rows + row % partial.tile_rows;
    join(partial.outputs[from * kQuads + quad], partial.totals[from]);
  }
  outputs[group][quad] = y;
  if (quad == 0) totals[group] = total;
  __syncthreads();
  if (group > 0) return;
  for (int i = 1; i < kGroups; ++i) join(outputs[i][quad], totals[i]);

  const bool sees_nothing = s.limit(s.length(b), row) == 0;  // zeros then
  const float value[4] = {y.x, y.y, y.z, y.w};
  Pack<T, 4> result;
#pragma unroll
  for (int k = 0; k < 4; ++k) result.v[k] = from_float<T>(sees_nothing ? 0.0f : value[k] / total.y);
  T* to = out + s.at(b, key_head, row) + 4 * quad;
  if (s.packs) {
    if (4 * quad < s.dim) *reinterpret_cast<Pack<T, 4>*>(to) = result;
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (4 * quad + k < s.dim) to[k] = result.v[k];
  }
}

template <int kRows, int kDim, int N, class T>
void launch_split(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                  const Args& args) {
  const int64_t row_tiles = (s.rows() + kRows - 1) / kRows, tiles = s.batch * s.key_heads * row_tiles;
  const int64_t splits = std::clamp<int64_t>(kSplitBlocks / tiles, 1,
                                             std::max<int64_t>(1, (s.keys + kLeastSplit - 1) / kLeastSplit));
  const int64_t entries = tiles * splits * kRows;
  const Scratch scratch(args.in[0].device, entries * (kDim + 2) * static_cast<int64_t>(sizeof(float)));
  const Partial partial{scratch.as<float4>(), reinterpret_cast<float2*>(scratch.as<float>() + entries * kDim),
                        static_cast<int>(splits), kRows};
  const auto stream = stream_of(args.stream);
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(s.key_heads * row_tiles),
                  static_cast<unsigned>(s.batch));
  split_kernel<kRows, kDim, N>
      <<<grid, kSplitThreads, 0, stream>>>(query, key, value, partial, s, static_cast<int>(row_tiles));
  check_launch("attention");
  const int64_t rows = s.batch * s.key_heads * s.rows();
  join_kernel<kDim><<<static_cast<unsigned>(rows), kJoinThreads, 0, stream>>>(partial, out, s);
  check_launch("attention");
}

template <int kDim, class T>
void decode(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s, const Args& args) {
  // Not std::min: hipify makes ::min of it, which is no constant.
  constexpr int N = kPack<T> < kDim / kSplitLanes ? kPack<T> : kDim / kSplitLanes;
  if (!s.packs) return launch_split<4, kDim, 1>(query, key, value, out, s, args);
  if (s.rows() == 1) return launch_split<1, kDim, N>(query, key, value, out, s, args);
  if constexpr (kDim <= 128)  // above, eight rows do not fit in registers
    if (s.rows() > 4) return launch_split<8, kDim, N>(query, key, value, out, s, args);
  launch_split<4, kDim, N>(query, key, value, out, s, args);
}

}  // namespace cpp_ext
