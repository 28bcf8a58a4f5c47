// softmax(scale * query key^T) value on the GPU; what a query sees is as in csrc/cpu/attention.cpp. The heads
// of a group are rows beside each other, so that they share what is read of the cache. Three kernels: few
// rows: the cache is split over blocks, and a second kernel joins what they found (flash-decoding); many rows
// of 16-bit floats: matrix units, where there are any (NVIDIA, sm_80 and later); all else: one thread for
// four scores and an eighth of an output row.
#include <algorithm>

#include "common/gpu.h"
#include "common/register.h"
#include "common/scratch.h"

#if !defined(__HIP_PLATFORM_AMD__) && !defined(__HIPCC__)
#define CPP_EXT_MATRIX_UNITS
#include <cuda_bf16.h>
#include <mma.h>
#endif

namespace cpp_ext {

constexpr float kLog2e = 1.44269504f;

// query [batch, queries, heads, dim], key and value [batch, keys, key_heads, dim]; see common/attention.h,
// which is for the CPU.
struct AttentionSizes {
  int64_t batch, queries, keys, heads, key_heads, dim;
  const int64_t* lengths;
  float scale;  // times log2(e)
  bool causal;

  __host__ __device__ int64_t group() const { return heads / key_heads; }
  __host__ __device__ int64_t rows() const { return queries * group(); }
  // Clamped: an exception would have to wait for the device.
  __device__ int64_t length(int64_t b) const {
    if (!lengths) return keys;
    return lengths[b] < 0 ? 0 : lengths[b] > keys ? keys : lengths[b];
  }
  __device__ int64_t limit(int64_t length, int64_t row) const {
    if (!causal) return length;
    const int64_t end = length - queries + 1 + row / group();
    return end > 0 ? end : 0;
  }
  __device__ int64_t at(int64_t b, int64_t key_head, int64_t row) const {
    return ((b * queries + row / group()) * heads + key_head * group() + row % group()) * dim;
  }
  __device__ int64_t cache_at(int64_t b, int64_t key, int64_t key_head) const {
    return ((b * keys + key) * key_heads + key_head) * dim;
  }
};

// Factor of what was summed before under the maximum `before`. Where there was nothing, 0 and not NaN.
__device__ inline float rescale(float before, float now) {
  return before == -INFINITY ? 0.0f : exp2f(before - now);
}

// ---- few rows ----

constexpr int kSplitThreads = 128;
constexpr int kSplitLanes = 16;  // threads of one key; a shuffle stays among them on every architecture
constexpr int kSplitTeams = kSplitThreads / kSplitLanes;
constexpr int kSplitKeys = 4;  // of a team at a time, so that their loads overlap

// Block (split, key head and tile of kRows rows, sequence) reads its part of the cache: team t every
// kSplitTeams-th run of kSplitKeys keys, each of its lanes kDim / 16 elements of a key. `partial` gets for
// each row output [kDim], maximum, sum.
template <int kRows, int kDim, int N, class T>
__global__ void split_kernel(const T* query, const T* key, const T* value, float* partial, AttentionSizes s,
                             int row_tiles) {
  constexpr int kPacks = kDim / kSplitLanes / N;
  using Vector = Pack<T, N>;
  const int lane = threadIdx.x % kSplitLanes, team = threadIdx.x / kSplitLanes;
  const int64_t b = blockIdx.z, key_head = blockIdx.y / row_tiles;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y % row_tiles) * kRows;
  const int64_t length = s.length(b), part = (length + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * part, end = begin + part < length ? begin + part : length;

  float q[kRows][kPacks * N], o[kRows][kPacks * N], maximum[kRows], sum[kRows];
  int64_t limit[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = first_row + r < s.rows() ? first_row + r : s.rows() - 1;
    const T* from = query + s.at(b, key_head, row);
#pragma unroll
    for (int i = 0; i < kPacks * N; ++i) {
      const int64_t d = (i / N * kSplitLanes + lane) * N + i % N;
      q[r][i] = d < s.dim ? to_float(from[d]) * s.scale : 0.0f;
      o[r][i] = 0.0f;
    }
    maximum[r] = -INFINITY;
    sum[r] = 0.0f;
    limit[r] = s.limit(length, row);
  }

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
      float now = maximum[r];
#pragma unroll
      for (int j = 0; j < kSplitKeys; ++j) {
#pragma unroll
        for (int mask = kSplitLanes / 2; mask > 0; mask /= 2)
          score[r][j] += CPP_EXT_SHUFFLE_XOR(score[r][j], mask);
        if (t + j >= end || t + j >= limit[r]) score[r][j] = -INFINITY;
        now = fmaxf(now, score[r][j]);
      }
      const float factor = rescale(maximum[r], now), base = now == -INFINITY ? 0.0f : now;
      maximum[r] = now;
      sum[r] *= factor;
#pragma unroll
      for (int i = 0; i < kPacks * N; ++i) o[r][i] *= factor;
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

  // The teams' results are joined in shared memory.
  __shared__ float outputs[kSplitTeams][kRows][kDim];
  __shared__ float maxima[kSplitTeams][kRows], sums[kSplitTeams][kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int i = 0; i < kPacks * N; ++i) outputs[team][r][(i / N * kSplitLanes + lane) * N + i % N] = o[r][i];
    if (lane == 0) {
      maxima[team][r] = maximum[r];
      sums[team][r] = sum[r];
    }
  }
  __syncthreads();
  for (int r = 0; r < kRows && first_row + r < s.rows(); ++r) {
    float now = -INFINITY, total = 0.0f, factor[kSplitTeams];
    for (int i = 0; i < kSplitTeams; ++i) now = fmaxf(now, maxima[i][r]);
#pragma unroll
    for (int i = 0; i < kSplitTeams; ++i) {
      factor[i] = rescale(maxima[i][r], now);
      // A NaN among the scores is passed over by fmaxf and lies in the sums only.
      total += maxima[i][r] == -INFINITY ? sums[i][r] : sums[i][r] * factor[i];
    }
    const int64_t row = (b * s.key_heads + key_head) * s.rows() + first_row + r;
    float* to = partial + (row * gridDim.x + blockIdx.x) * (kDim + 2);
    for (int d = threadIdx.x; d < kDim; d += kSplitThreads) {
      float y = 0.0f;
#pragma unroll
      for (int i = 0; i < kSplitTeams; ++i) y += outputs[i][r][d] * factor[i];
      to[d] = y;
    }
    if (threadIdx.x == 0) {
      to[kDim] = now;
      to[kDim + 1] = total;
    }
  }
}

// Block i joins the splits of row i of all key heads of all sequences.
template <class T>
__global__ void join_kernel(const float* partial, T* out, AttentionSizes s, int splits, int padded) {
  const int64_t rows = s.rows(), b = blockIdx.x / (s.key_heads * rows);
  const int64_t key_head = blockIdx.x / rows % s.key_heads, row = blockIdx.x % rows;
  const float* from = partial + static_cast<int64_t>(blockIdx.x) * splits * (padded + 2);
  float now = -INFINITY, total = 0.0f;
  for (int i = 0; i < splits; ++i) now = fmaxf(now, from[i * (padded + 2) + padded]);
  for (int i = 0; i < splits; ++i) {
    const float maximum = from[i * (padded + 2) + padded], sum = from[i * (padded + 2) + padded + 1];
    total += maximum == -INFINITY ? sum : sum * rescale(maximum, now);
  }
  const bool none = s.limit(s.length(b), row) == 0;  // sees no key: zeros
  for (int d = threadIdx.x; d < s.dim; d += blockDim.x) {
    float y = 0.0f;
    for (int i = 0; i < splits; ++i) {
      const float* piece = from + static_cast<int64_t>(i) * (padded + 2);
      y += piece[d] * rescale(piece[padded], now);
    }
    out[s.at(b, key_head, row) + d] = from_float<T>(none ? 0.0f : y / total);
  }
}

// ---- many rows, any dtype ----

constexpr int kRowThreads = 8;  // of one query row

// Block (tile of rows, key head, sequence): tiles of kKeys keys, then of their values, pass through shared
// memory.
template <int kDim, int kRows, int kKeys, class T>
__global__ void tile_kernel(const T* query, const T* key, const T* value, T* out, AttentionSizes s) {
  constexpr int kStride = kDim + 1;  // rows begin in different banks
  __shared__ float queries[kRows][kStride], cache[kKeys][kStride], weights[kRows][kKeys];
  const int64_t b = blockIdx.z, key_head = blockIdx.y, first_row = static_cast<int64_t>(blockIdx.x) * kRows;
  const int r = threadIdx.x / kRowThreads, lane = threadIdx.x % kRowThreads;
  const int64_t row = first_row + r < s.rows() ? first_row + r : s.rows() - 1;
  const int64_t last = first_row + kRows < s.rows() ? first_row + kRows - 1 : s.rows() - 1;
  const int64_t length = s.length(b), limit = s.limit(length, row), most = s.limit(length, last);

  for (int d = lane; d < kDim; d += kRowThreads)
    queries[r][d] = d < s.dim ? to_float(query[s.at(b, key_head, row) + d]) * s.scale : 0.0f;
  float o[kDim / kRowThreads] = {}, maximum = -INFINITY, sum = 0.0f;
  const auto fill = [&](const T* from, int64_t first) {
    __syncthreads();  // of what was read before
    for (int i = threadIdx.x; i < kKeys * kDim; i += kRows * kRowThreads) {
      const int j = i / kDim, d = i % kDim;
      const bool there = first + j < most && d < s.dim;
      cache[j][d] = there ? to_float(from[s.cache_at(b, first + j, key_head) + d]) : 0.0f;
    }
    __syncthreads();
  };
  for (int64_t first = 0; first < most; first += kKeys) {
    fill(key, first);
    float score[kKeys / kRowThreads], now = maximum;
#pragma unroll
    for (int j = 0; j < kKeys / kRowThreads; ++j) {
      const int k = j * kRowThreads + lane;
      float x = 0.0f;
      for (int d = 0; d < kDim; ++d) x += queries[r][d] * cache[k][d];
      score[j] = first + k < limit ? x : -INFINITY;
      now = fmaxf(now, score[j]);
    }
#pragma unroll
    for (int mask = kRowThreads / 2; mask > 0; mask /= 2) now = fmaxf(now, CPP_EXT_SHUFFLE_XOR(now, mask));
    const float factor = rescale(maximum, now), base = now == -INFINITY ? 0.0f : now;
    maximum = now;
    sum *= factor;
#pragma unroll
    for (int j = 0; j < kKeys / kRowThreads; ++j) {
      const float p = exp2f(score[j] - base);
      sum += p;
      weights[r][j * kRowThreads + lane] = p;
    }
    fill(value, first);  // its barriers also show the weights
#pragma unroll
    for (int i = 0; i < kDim / kRowThreads; ++i) {
      float y = o[i] * factor;
      for (int j = 0; j < kKeys; ++j) y += weights[r][j] * cache[j][i * kRowThreads + lane];
      o[i] = y;
    }
  }
#pragma unroll
  for (int mask = kRowThreads / 2; mask > 0; mask /= 2) sum += CPP_EXT_SHUFFLE_XOR(sum, mask);
  if (first_row + r >= s.rows()) return;
  T* to = out + s.at(b, key_head, row);
#pragma unroll
  for (int i = 0; i < kDim / kRowThreads; ++i) {
    const int d = i * kRowThreads + lane;
    if (d < s.dim) to[d] = from_float<T>(limit == 0 ? 0.0f : o[i] / sum);
  }
}

// ---- many rows of 16-bit floats: matrix units ----

#if defined(CPP_EXT_MATRIX_UNITS)

template <class T>
struct MatrixElement;
template <>
struct MatrixElement<BF16> {
  using type = __nv_bfloat16;
};
template <>
struct MatrixElement<F16> {
  using type = __half;
};

constexpr int kMatrix = 16;  // rows, columns and depth of one product
constexpr int kMatrixWarps = 4;
constexpr int kMatrixRows = kMatrixWarps * kMatrix, kMatrixKeys = 64;

// Shared memory of a block. Rows are padded so that they begin in different banks and each matrix at 32
// bytes.
template <int kDim>
struct MatrixMemory {
  static constexpr int kHalf = kDim + 8, kScore = kMatrixKeys + 4, kWeight = kMatrixKeys + 8, kOut = kDim + 4;
  uint16_t key[kMatrixKeys][kHalf], value[kMatrixKeys][kHalf];
  union {
    uint16_t query[kMatrixRows][kHalf];  // read into registers before the first scores are written
    float score[kMatrixRows][kScore];
  };
  uint16_t weight[kMatrixRows][kWeight];
  float output[kMatrixRows][kOut];
};

// Block (tile of 64 rows, key head, sequence). Each warp has 16 rows to itself: scores = query key^T by
// matrix units into shared memory, there the softmax, two threads a row, and output = output * factor +
// weights value.
template <int kDim, class T>
__global__ void __launch_bounds__(kMatrixWarps * 32)
    matrix_kernel(const T* query, const T* key, const T* value, T* out, AttentionSizes s) {
#if __CUDA_ARCH__ >= 800
  using namespace nvcuda;
  using Element = typename MatrixElement<T>::type;
  using Memory = MatrixMemory<kDim>;
  constexpr int N = kPack<T>;
  using Vector = Pack<T, N>;
  extern __shared__ __align__(128) unsigned char memory[];
  Memory& m = *reinterpret_cast<Memory*>(memory);
  const int64_t b = blockIdx.z, key_head = blockIdx.y,
                first_row = static_cast<int64_t>(blockIdx.x) * kMatrixRows;
  const int64_t length = s.length(b);
  const int64_t last = first_row + kMatrixRows < s.rows() ? first_row + kMatrixRows - 1 : s.rows() - 1;
  const int64_t most = s.limit(length, last);
  const auto element = [](const uint16_t* p) { return reinterpret_cast<const Element*>(p); };
  const auto put = [&](uint16_t* to, const T* from, int d, bool there) {
    Vector v = {};
    if (there && d < s.dim) v = *reinterpret_cast<const Vector*>(from + d);
    *reinterpret_cast<Vector*>(to + d) = v;
  };

  for (int i = threadIdx.x; i < kMatrixRows * kDim / N; i += blockDim.x) {
    const int r = i / (kDim / N), d = i % (kDim / N) * N;
    const bool there = first_row + r < s.rows();
    put(m.query[r], query + (there ? s.at(b, key_head, first_row + r) : 0), d, there);
  }
  __syncthreads();
  const int top = threadIdx.x / 32 * kMatrix;  // first row of this warp
  wmma::fragment<wmma::matrix_a, kMatrix, kMatrix, kMatrix, Element, wmma::row_major> q[kDim / kMatrix];
#pragma unroll
  for (int d = 0; d < kDim / kMatrix; ++d)
    wmma::load_matrix_sync(q[d], element(&m.query[top][d * kMatrix]), Memory::kHalf);

  const int r = top + threadIdx.x % 32 / 2, half = threadIdx.x % 2;  // two threads a row
  const int64_t row = first_row + r;
  const int64_t limit = row < s.rows() ? s.limit(length, row) : 0;
  float maximum = -INFINITY, sum = 0.0f;
  for (int d = half * (kDim / 2); d < (half + 1) * (kDim / 2); ++d) m.output[r][d] = 0.0f;

  for (int64_t first = 0; first < most; first += kMatrixKeys) {
    __syncthreads();  // all warps have read query, or the keys and values before
    for (int i = threadIdx.x; i < kMatrixKeys * kDim / N; i += blockDim.x) {
      const int j = i / (kDim / N), d = i % (kDim / N) * N;
      const bool there = first + j < most;
      const int64_t from = there ? s.cache_at(b, first + j, key_head) : 0;
      put(m.key[j], key + from, d, there);
      put(m.value[j], value + from, d, there);
    }
    __syncthreads();

#pragma unroll
    for (int j = 0; j < kMatrixKeys / kMatrix; ++j) {
      wmma::fragment<wmma::accumulator, kMatrix, kMatrix, kMatrix, float> scores;
      wmma::fill_fragment(scores, 0.0f);
#pragma unroll
      for (int d = 0; d < kDim / kMatrix; ++d) {
        // Element (d, key) of the transposed keys lies at key[key][d].
        wmma::fragment<wmma::matrix_b, kMatrix, kMatrix, kMatrix, Element, wmma::col_major> k;
        wmma::load_matrix_sync(k, element(&m.key[j * kMatrix][d * kMatrix]), Memory::kHalf);
        wmma::mma_sync(scores, q[d], k, scores);
      }
      wmma::store_matrix_sync(&m.score[top][j * kMatrix], scores, Memory::kScore, wmma::mem_row_major);
    }
    __syncwarp();

    float now = maximum;
    constexpr int kHalfKeys = kMatrixKeys / 2;
    float* score = &m.score[r][half * kHalfKeys];
    for (int j = 0; j < kHalfKeys; ++j) {
      const float x = first + half * kHalfKeys + j < limit ? score[j] * s.scale : -INFINITY;
      score[j] = x;
      now = fmaxf(now, x);
    }
    now = fmaxf(now, CPP_EXT_SHUFFLE_XOR(now, 1));
    const float factor = rescale(maximum, now), base = now == -INFINITY ? 0.0f : now;
    maximum = now;
    sum *= factor;
    for (int j = 0; j < kHalfKeys; ++j) {
      const float p = exp2f(score[j] - base);
      sum += p;
      m.weight[r][half * kHalfKeys + j] = from_float<T>(p).bits;
    }
    for (int d = half * (kDim / 2); d < (half + 1) * (kDim / 2); ++d) m.output[r][d] *= factor;
    __syncwarp();

#pragma unroll
    for (int d = 0; d < kDim / kMatrix; ++d) {
      wmma::fragment<wmma::accumulator, kMatrix, kMatrix, kMatrix, float> output;
      wmma::load_matrix_sync(output, &m.output[top][d * kMatrix], Memory::kOut, wmma::mem_row_major);
#pragma unroll
      for (int j = 0; j < kMatrixKeys / kMatrix; ++j) {
        wmma::fragment<wmma::matrix_a, kMatrix, kMatrix, kMatrix, Element, wmma::row_major> p;
        wmma::fragment<wmma::matrix_b, kMatrix, kMatrix, kMatrix, Element, wmma::row_major> v;
        wmma::load_matrix_sync(p, element(&m.weight[top][j * kMatrix]), Memory::kWeight);
        wmma::load_matrix_sync(v, element(&m.value[j * kMatrix][d * kMatrix]), Memory::kHalf);
        wmma::mma_sync(output, p, v, output);
      }
      wmma::store_matrix_sync(&m.output[top][d * kMatrix], output, Memory::kOut, wmma::mem_row_major);
    }
    __syncwarp();
  }
  sum += CPP_EXT_SHUFFLE_XOR(sum, 1);
  if (row >= s.rows()) return;
  for (int d = half * (kDim / 2); d < (half + 1) * (kDim / 2) && d < s.dim; ++d)
    out[s.at(b, key_head, row) + d] = from_float<T>(limit == 0 ? 0.0f : m.output[r][d] / sum);
#endif
}

// Whether the device has the units and the shared memory; some of sm_86 and later have 99 KB, which is
// enough.
template <int kDim, class T>
bool launch_matrix(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                   GpuStream stream) {
  constexpr int kBytes = sizeof(MatrixMemory<kDim>);
  static_assert(kBytes <= 99 * 1024);
  int device = 0, major = 0, shared = 0;
  const auto check = [](const char* what, cudaError_t error) { check_call("attention", what, error); };
  check("cudaGetDevice", cudaGetDevice(&device));
  check("cudaDeviceGetAttribute", cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  check("cudaDeviceGetAttribute",
        cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  if (major < 8 || shared < kBytes) return false;
  const auto kernel = matrix_kernel<kDim, T>;
  check("cudaFuncSetAttribute",
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const dim3 grid(static_cast<unsigned>((s.rows() + kMatrixRows - 1) / kMatrixRows),
                  static_cast<unsigned>(s.key_heads), static_cast<unsigned>(s.batch));
  kernel<<<grid, kMatrixWarps * 32, kBytes, stream>>>(query, key, value, out, s);
  check_launch("attention");
  return true;
}

#endif

// ---- launches ----

constexpr int kFewRows = 8;
constexpr int64_t kBlocks = 1024;     // enough for every multiprocessor of the largest card, several times
constexpr int64_t kLeastSplit = 128;  // keys

template <int kRows, int kDim, int N, class T>
void launch_split(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s,
                  const Args& args) {
  const int64_t row_tiles = (s.rows() + kRows - 1) / kRows, blocks = s.batch * s.key_heads * row_tiles;
  const int64_t splits = std::clamp<int64_t>(kBlocks / blocks, 1,
                                             std::max<int64_t>(1, (s.keys + kLeastSplit - 1) / kLeastSplit));
  const int64_t rows = s.batch * s.key_heads * s.rows();
  const Scratch partial(args.in[0].device, rows * splits * (kDim + 2) * static_cast<int64_t>(sizeof(float)));
  const auto stream = stream_of(args.stream);
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(s.key_heads * row_tiles),
                  static_cast<unsigned>(s.batch));
  split_kernel<kRows, kDim, N><<<grid, kSplitThreads, 0, stream>>>(query, key, value, partial.as<float>(), s,
                                                                   static_cast<int>(row_tiles));
  check_launch("attention");
  join_kernel<<<static_cast<unsigned>(rows), 128, 0, stream>>>(partial.as<float>(), out, s,
                                                               static_cast<int>(splits), kDim);
  check_launch("attention");
}

template <int kDim, class T>
void few_rows(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s, bool packs,
              const Args& args) {
  // Not std::min: hipify makes ::min of it, which is no constant.
  constexpr int N = kPack<T> < kDim / kSplitLanes ? kPack<T> : kDim / kSplitLanes;
  if (!packs) return launch_split<4, kDim, 1>(query, key, value, out, s, args);
  if (s.rows() == 1) return launch_split<1, kDim, N>(query, key, value, out, s, args);
  if constexpr (kDim <= 128)  // above, eight rows do not fit in registers
    if (s.rows() > 4) return launch_split<8, kDim, N>(query, key, value, out, s, args);
  launch_split<4, kDim, N>(query, key, value, out, s, args);
}

template <int kDim, class T>
void many_rows(const T* query, const T* key, const T* value, T* out, const AttentionSizes& s, bool packs,
               GpuStream stream) {
#if defined(CPP_EXT_MATRIX_UNITS)
  if constexpr (sizeof(T) == 2 && kDim <= 128)
    if (packs && launch_matrix<kDim>(query, key, value, out, s, stream)) return;
#endif
  constexpr int kRows = kDim == 64 ? 32 : kDim == 128 ? 32 : 16, kKeys = kDim == 64 ? 32 : 16;
  const dim3 grid(static_cast<unsigned>((s.rows() + kRows - 1) / kRows), static_cast<unsigned>(s.key_heads),
                  static_cast<unsigned>(s.batch));
  tile_kernel<kDim, kRows, kKeys><<<grid, kRows * kRowThreads, 0, stream>>>(query, key, value, out, s);
  check_launch("attention");
}

// ---- binding ----

static void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1], &value = args.in[2], &lengths = args.in[3];
  const AttentionSizes s{query.sizes[0],
                         query.sizes[1],
                         key.sizes[1],
                         query.sizes[2],
                         key.sizes[2],
                         query.sizes[3],
                         lengths.given ? lengths.as<const int64_t>() : nullptr,
                         static_cast<float>(args.scalars[0].real) * kLog2e,
                         args.scalars[1].integer != 0};
  constexpr int64_t kMaxGrid = 65535;  // of the second and third dimension
  if (s.batch > kMaxGrid || s.key_heads * kFewRows > kMaxGrid)
    throw std::runtime_error("attention: query has batch " + std::to_string(s.batch) + " and key " +
                             std::to_string(s.key_heads) +
                             " heads, expected at most 65535 and 8191 on a GPU");
  const auto stream = stream_of(args.stream);
  with_float_type(query.dtype, [&]<class T>(T*) {
    const T *q = query.as<const T>(), *k = key.as<const T>(), *v = value.as<const T>();
    T* out = args.out[0].as<T>();
    const bool packs = s.dim % kPack<T> == 0 && aligned({q, k, v});
    const auto launch = [&]<int kDim>(std::integral_constant<int, kDim>) {
      if (s.rows() <= kFewRows)
        few_rows<kDim>(q, k, v, out, s, packs, args);
      else
        many_rows<kDim>(q, k, v, out, s, packs, stream);
    };
    if (s.dim <= 64)
      launch(std::integral_constant<int, 64>{});
    else if (s.dim <= 128)
      launch(std::integral_constant<int, 128>{});
    else
      launch(std::integral_constant<int, 256>{});
  });
}

extern Op attention_op;
static const Implement<attention_op, run> attention_cuda("CUDA");

}  // namespace cpp_ext
