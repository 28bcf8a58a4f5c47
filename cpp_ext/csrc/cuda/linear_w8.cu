// out[m, n] = scales[n] sum_k x[m, k] weight[n, k] + bias[n], weight int8; see csrc/cpu/linear_w8.cpp.
//
// Up to 15 rows of x, as in decoding, are one pass over the weight: a block computes a few columns of the
// output for all rows of x, and its threads divide the sum over k between them. So the block reads each
// element of its weight rows and of x once, with coalesced loads and without staging. From 16 rows on the
// weight is widened into scratch, a chunk at a time, and multiplied by cuBLAS or hipBLAS.
#include "common/gpu.h"
#include "common/gpu_halves.h"
#include "common/matmul.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {
namespace {

// Break-even with the library's product, estimated and not measured on a GPU: widening to 16 bits writes and
// reads four more bytes for each byte of the weight, and the pass below does one FMA on it for each row.
constexpr int64_t kProductRows = 16;
constexpr int kMaxRows = 16;  // rows of x that one pass over the weight takes at most
// Widened weights at a time: less than the 40 MB of an A100's L2, where the product finds them. At once an LM
// head of 128,256 x 4,096 would need 1 GB. Whole tiles of the product keep the columns of a chunk aligned.
constexpr int64_t kChunkBytes = 32 << 20;
constexpr int64_t kChunkTile = 128;
// Blocks that a multiprocessor has at once, which leaves a thread of one row 64 registers and of others 128.
template <int kRows>
constexpr int kResidentBlocks = kRows == 1 ? 4 : 2;
constexpr int kLanes = 32;  // lanes that add up together: a warp, or half of one of AMD's

// Rows of the weight in a block with kRows rows of x: as many as there are registers for.
template <int kRows>
constexpr int kColumnsFor = kRows <= 2 ? 8 : 4;

struct LinearShape {
  int64_t batch, inputs, outputs;
};

// N int8 weights from one load, as many as elements of x in 16 bytes. Loads of 16 weights would make the
// loads of x skip every second vector, which doubles their sectors.
template <int N>
struct alignas(N) Codes {
  static_assert(N % 4 == 0);
  unsigned word[N / 4];

  __device__ static Codes load(const int8_t* p) {
    if constexpr (N == 8) {
      const uint2 v = *reinterpret_cast<const uint2*>(p);
      return {v.x, v.y};
    } else {
      static_assert(N == 4);
      return {*reinterpret_cast<const unsigned*>(p)};
    }
  }
  // A byte permutation puts the weight + 128 into the mantissa of 2^23: conversions of integers have a
  // fraction of the throughput of the two instructions that this takes.
  __device__ float operator[](int i) const {
    const unsigned offset = word[i / 4] ^ 0x80808080u;
    return __uint_as_float(__byte_perm(offset, 0x4b000000u, 0x7440u + i % 4)) - 8388736.0f;
  }
};

template <>
struct Codes<1> {
  int8_t code;

  __device__ static Codes load(const int8_t* p) { return {*p}; }
  __device__ float operator[](int) const { return static_cast<float>(code); }
};

// Sums each of kCount values, a power of two, over kLanes lanes; lane i gets those from i * kCount / kLanes
// on. Halving the values with the lanes takes kCount shuffles instead of 5 kCount.
template <int kCount, int kMask = kLanes / 2>
__device__ inline void sum_over_lanes(float* v, int lane) {
  if constexpr (kMask > 0) {
    if constexpr (kCount > 1) {
      const bool upper = lane & kMask;
#pragma unroll
      for (int i = 0; i < kCount / 2; ++i) {
        const float kept = upper ? v[i + kCount / 2] : v[i], sent = upper ? v[i] : v[i + kCount / 2];
        v[i] = kept + CPP_EXT_SHUFFLE_XOR(sent, kMask);
      }
      sum_over_lanes<kCount / 2, kMask / 2>(v, lane);
    } else {
      v[0] += CPP_EXT_SHUFFLE_XOR(v[0], kMask);
      sum_over_lanes<1, kMask / 2>(v, lane);
    }
  }
}

// kRows rows of x by kColumns rows of the weight in a block; N elements of a row in one load.
template <int N, int kRows, class T>
__global__ void __launch_bounds__(kThreads, kResidentBlocks<kRows>)
    linear_w8_kernel(const T* x, const int8_t* weight, const T* scales, const T* bias, T* out,
                     LinearShape s) {
  constexpr int kColumns = kColumnsFor<kRows>;
  constexpr int kSums = kRows * kColumns;
  __shared__ float partial[kThreads / kLanes][kSums];
  const int64_t column_tiles = (s.outputs + kColumns - 1) / kColumns;
  const int64_t tiles = (s.batch + kRows - 1) / kRows * column_tiles;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t m = tile / column_tiles * kRows, n = tile % column_tiles * kColumns;
    const int rows = static_cast<int>(s.batch - m < kRows ? s.batch - m : kRows);
    const int columns = static_cast<int>(s.outputs - n < kColumns ? s.outputs - n : kColumns);
    float sum[kSums] = {};
    for (int64_t k = static_cast<int64_t>(threadIdx.x) * N; k < s.inputs;
         k += static_cast<int64_t>(blockDim.x) * N) {
      Codes<N> codes[kColumns];
#pragma unroll
      for (int j = 0; j < kColumns; ++j)  // the last tile may read one row several times, for nothing
        codes[j] = Codes<N>::load(weight + (n + (j < columns ? j : 0)) * s.inputs + k);
      float wide[kColumns][N];
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int i = 0; i < N; ++i) wide[j][i] = codes[j][i];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= rows) break;
        const auto v = *reinterpret_cast<const Pack<T, N>*>(x + (m + r) * s.inputs + k);
#pragma unroll
        for (int i = 0; i < N; ++i)
#pragma unroll
          for (int j = 0; j < kColumns; ++j) sum[r * kColumns + j] += to_float(v.v[i]) * wide[j][i];
      }
    }
    const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
    sum_over_lanes<kSums>(sum, lane);
    constexpr int kHeld = kSums > kLanes ? kSums / kLanes : 1;     // sums in a lane
    constexpr int kSharing = kSums > kLanes ? 1 : kLanes / kSums;  // lanes with the same one
    if (lane % kSharing == 0)
#pragma unroll
      for (int i = 0; i < kHeld; ++i) partial[warp][lane / kSharing * kHeld + i] = sum[i];
    __syncthreads();
    for (int i = threadIdx.x; i < kSums; i += blockDim.x) {
      const int r = i / kColumns, j = i % kColumns;
      float total = 0.0f;
      for (int w = 0; w < static_cast<int>(blockDim.x) / kLanes; ++w) total += partial[w][i];
      if (r < rows && j < columns) {
        const float y = total * to_float(scales[n + j]) + (bias ? to_float(bias[n + j]) : 0.0f);
        out[(m + r) * s.outputs + n + j] = from_float<T>(y);
      }
    }
    __syncthreads();  // before the next tile writes its sums
  }
}

template <int N, int kRows, class T>
void launch_rows(const T* x, const int8_t* weight, const T* scales, const T* bias, T* out, LinearShape s,
                 GpuStream stream) {
  constexpr int kColumns = kColumnsFor<kRows>;
  const int64_t tiles = (s.batch + kRows - 1) / kRows * ((s.outputs + kColumns - 1) / kColumns);
  unsigned threads = 64;  // a warp on every GPU
  while (threads < kThreads && threads * N < s.inputs) threads *= 2;
  linear_w8_kernel<N, kRows><<<blocks_for(tiles, 1), threads, 0, stream>>>(x, weight, scales, bias, out, s);
  check_launch("linear_w8");
}

template <int N, class T>
void linear_w8(const T* x, const int8_t* weight, const T* scales, const T* bias, T* out, LinearShape s,
               GpuStream stream) {
  const auto launch = s.batch == 1   ? launch_rows<N, 1, T>
                      : s.batch == 2 ? launch_rows<N, 2, T>
                      : s.batch <= 4 ? launch_rows<N, 4, T>
                      : s.batch <= 8 ? launch_rows<N, 8, T>
                                     : launch_rows<N, kMaxRows, T>;
  launch(x, weight, scales, bias, out, s, stream);
}

// wide[i] = weight[i], exactly in every dtype.
template <int N, class T>
__global__ void widen_kernel(int64_t packs, const int8_t* weight, T* wide) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs; i += stride) {
    const auto codes = Codes<N>::load(weight + i * N);
    Pack<T, N> v;
#pragma unroll
    for (int k = 0; k < N; ++k) v.v[k] = from_float<T>(codes[k]);
    reinterpret_cast<Pack<T, N>*>(wide)[i] = v;
  }
}

template <class T>
void widen(int64_t n, const int8_t* weight, T* wide, GpuStream stream) {
  constexpr int N = kPack<T>;
  if (n % N == 0 && aligned({weight, wide}))
    widen_kernel<N><<<blocks_for(n / N, kThreads), kThreads, 0, stream>>>(n / N, weight, wide);
  else
    widen_kernel<1><<<blocks_for(n, kThreads), kThreads, 0, stream>>>(n, weight, wide);
  check_launch("linear_w8");
}

// Scales and bias, in place.
template <int N, class T>
__global__ void finish_kernel(T* out, const T* scales, const T* bias, int64_t rows, int64_t packs) {
  using Vector = Pack<T, N>;
  Vector* values = reinterpret_cast<Vector*>(out);
  for_rows(rows, packs, [&](int64_t row, int64_t i) {
    const Vector scale = reinterpret_cast<const Vector*>(scales)[i];
    Vector shift = {}, y = values[row * packs + i];
    if (bias) shift = reinterpret_cast<const Vector*>(bias)[i];
#pragma unroll
    for (int k = 0; k < N; ++k)
      y.v[k] = from_float<T>(to_float(y.v[k]) * to_float(scale.v[k]) + to_float(shift.v[k]));
    values[row * packs + i] = y;
  });
}

template <class T>
void finish(T* out, const T* scales, const T* bias, LinearShape s, GpuStream stream) {
  constexpr int N = kPack<T>;
  if (s.outputs % N == 0 && aligned({out, scales, bias})) {
    const RowGrid grid(s.batch, s.outputs / N);
    finish_kernel<N><<<grid.blocks, grid.threads, 0, stream>>>(out, scales, bias, s.batch, s.outputs / N);
  } else {
    const RowGrid grid(s.batch, s.outputs);
    finish_kernel<1><<<grid.blocks, grid.threads, 0, stream>>>(out, scales, bias, s.batch, s.outputs);
  }
  check_launch("linear_w8");
}

// The product is rounded to T before it is scaled, as in eager PyTorch (and overflows where that does):
// scaling the weight first would round every weight. PyTorch's setting for TF32 applies.
template <class T>
void linear_by_product(const View& x, const int8_t* weight, const T* scales, const T* bias, T* out,
                       LinearShape s, GpuStream stream) {
  const int64_t row_bytes = s.inputs * static_cast<int64_t>(sizeof(T));
  const int64_t whole_tiles = kChunkBytes / row_bytes / kChunkTile * kChunkTile;
  const int64_t chunk = whole_tiles < kChunkTile ? kChunkTile : whole_tiles;
  const Scratch scratch(x.device, (chunk < s.outputs ? chunk : s.outputs) * row_bytes);
  T* wide = scratch.as<T>();
  for (int64_t first = 0; first < s.outputs; first += chunk) {
    const int64_t columns = s.outputs - first < chunk ? s.outputs - first : chunk;
    widen(columns * s.inputs, weight + first * s.inputs, wide, stream);
    matmul(x, {x.data, s.batch, s.inputs, s.inputs}, {wide, s.inputs, columns, 1, s.inputs}, nullptr,
           {out + first, s.batch, columns, s.outputs});
  }
  finish(out, scales, bias, s, stream);
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &bias = args.in[3], &out = args.out[0];
  const LinearShape shape{out.numel / weight.sizes[0], weight.sizes[1], weight.sizes[0]};
  const GpuStream stream = stream_of(args.stream);
  with_float_type(x.dtype, [&]<class T>(T*) {
    const int8_t* codes = weight.as<const int8_t>();
    const T *scales = args.in[2].as<const T>(), *shift = bias.defined ? bias.as<const T>() : nullptr;
    if (shape.batch >= kProductRows && shape.inputs > 0)
      linear_by_product(x, codes, scales, shift, out.as<T>(), shape, stream);
    else if (shape.inputs % kPack<T> == 0 && aligned({x.data, codes}))
      linear_w8<kPack<T>>(x.as<const T>(), codes, scales, shift, out.as<T>(), shape, stream);
    else
      linear_w8<1>(x.as<const T>(), codes, scales, shift, out.as<T>(), shape, stream);
  });
}

extern Op linear_w8_op;
static const Implement<linear_w8_op, run> linear_w8_cuda("CUDA");

}  // namespace cpp_ext
