// out[m, n] = scales[n] sum_k x[m, k] weight[n, k] + bias[n], weight int8: a linear layer whose weights are
// stored in a quarter of float32's memory. The weights are widened in registers and read once for each block
// of x that stays in the second-level cache; at batch 1 the op takes as long as they take to arrive. Many
// rows of bfloat16 are multiplied by PyTorch's own product, where the CPU has instructions for that dtype.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/matmul.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/scratch.h"
#include "common/shape.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {
namespace {

// Rows of the weight, whose results are neighbours in the output: the group that a thread computes at once,
// and how many of them a tile takes for one row of x and for several (docs/measurements.md, “int8 weights”).
constexpr int kGroup = 8;
constexpr int kOneRow = kLanes >= 8 ? 8 : 4;
constexpr int kRows = 4;
constexpr int kTile = kLanes == 16 ? 6 : 3;  // rows of x: as many sums as there are registers for
constexpr int64_t kGrain = 1 << 17;          // products
constexpr int64_t kSumLength = 4096;         // of x, after which sums begin anew: long ones lose digits
constexpr int64_t kBlockBytes = 512 << 10;   // of x, half of a second-level cache

// oneDNN multiplies pairs of bfloat16 in one instruction, which these kernels do not: from 16 rows on its
// product is faster (docs/measurements.md, “int8 weights”).
#if defined(__AVX512BF16__)
constexpr int64_t kProductRows = 24;
#else
constexpr int64_t kProductRows = INT64_MAX;
#endif
constexpr int64_t kProductBytes = 8 << 20;  // of weights widened at a time

using Weights = VectorOf<int8_t, kLanes>::type;

// GCC 12 scalarises __builtin_convertvector between bytes and wider lanes.
#if defined(__AVX512F__) && defined(__AVX512BW__)
inline Floats widen(Weights w) {
  return bits_as<Floats>(
      _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bits_as<__m128i>(w))));
}
#elif defined(__AVX2__)
inline Floats widen(Weights w) {
  return bits_as<Floats>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bits_as<long long>(w)))));
}
#else
inline Floats widen(Weights w) {
  return __builtin_convertvector(w, Floats);
}
#endif

struct Layer {
  const int8_t* weight;
  int64_t inputs, outputs;
};

// Prefetches a line of each of the next kN rows of the weight into L2: the hardware prefetcher stops at a
// page boundary (docs/measurements.md, “Prefetching weights”).
template <int kN>
inline void fetch_below(const int8_t* weight, int64_t inputs) {
#pragma GCC unroll 8
  for (int j = 0; j < kN; ++j) fetch(weight, (kN + j) * inputs);
}

// Adds the products of whole vectors of kM rows of x with kN rows of the weight. Not inlined: GCC 12 would
// give the registers to the totals and load the weights again for every row of x.
template <int kM, int kN, class T>
[[gnu::noinline]] void products(const T* x, const int8_t* weight, int64_t inputs, int64_t count,
                                Floats (&total)[kM][kN]) {
  Floats sum[kM][kN] = {};
  const auto step = [&](int64_t k) __attribute__((always_inline)) {
    Floats v[kM];
#pragma GCC unroll 6
    for (int i = 0; i < kM; ++i) v[i] = held(load(x + i * inputs + k));
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const Floats w = widen(read<Weights>(weight + j * inputs + k));
#pragma GCC unroll 6
      for (int i = 0; i < kM; ++i) sum[i][j] += v[i] * w;
    }
  };
  int64_t k = 0;
  for (; k + kCacheLine <= count; k += kCacheLine) {
    fetch_below<kN>(weight + k, inputs);
#pragma GCC unroll 16
    for (int64_t i = 0; i < kCacheLine; i += kLanes) step(k + i);
  }
  for (; k < count; k += kLanes) step(k);
#pragma GCC unroll 6
  for (int i = 0; i < kM; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) total[i][j] += sum[i][j];
}

// kM rows of x by kN rows of the weight.
template <int kM, int kN, class T, class Finish>
inline void tile(const T* x, const Layer& layer, int64_t n, const Finish& finish) {
  const int64_t inputs = layer.inputs, vector_end = inputs / kLanes * kLanes;
  const int8_t* weight = layer.weight + n * inputs;
  Floats total[kM][kN] = {};
  int64_t k = 0;
  for (; k < vector_end; k += kSumLength)
    products<kM, kN>(x + k, weight + k, inputs, std::min(kSumLength, vector_end - k), total);
  if (k = vector_end; k < inputs) {
    const int64_t left = std::min<int64_t>(kLanes, inputs - k);
    Floats w[kN];
    for (int j = 0; j < kN; ++j) {
      Weights part = {};
      std::memcpy(&part, weight + j * inputs + k, static_cast<size_t>(left));
      w[j] = widen(part);
    }
    for (int i = 0; i < kM; ++i) {
      const Floats v = load_part(x + i * inputs + k, left);
      for (int j = 0; j < kN; ++j) total[i][j] += v * w[j];
    }
  }
  for (int i = 0; i < kM; ++i) {
    Floats y = {};
    for (int j = 0; j < kN; ++j) y[j] = sum_of(total[i][j]);
    finish(i, n, kN, y);
  }
}

template <class T>
void linear(const T* x, const Layer& layer, const T* scales, const T* bias, T* out, int64_t batch) {
  const int64_t groups = (layer.outputs + kGroup - 1) / kGroup;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, kGroup * layer.inputs * batch));
  const int64_t row_bytes = std::max<int64_t>(1, layer.inputs * static_cast<int64_t>(sizeof(T)));
  const int64_t block = std::max<int64_t>(1, kBlockBytes / row_bytes / kTile) * kTile;
  parallel_for(groups, grain, [=](int64_t begin, int64_t end) {
    for (int64_t first = 0; first < batch; first += block)
      for (int64_t group = begin; group < end; ++group) {
        const int64_t last = std::min(first + block, batch);
        const int64_t stop = std::min((group + 1) * kGroup, layer.outputs);
        for (int64_t m = first; m < last;) {
          const auto finish = [&](int i, int64_t column, int count, Floats y) {
            y *= load_part(scales + column, count);
            if (bias) y += load_part(bias + column, count);
            store_part(out + (m + i) * layer.outputs + column, count, y);
          };
          const auto rows = [&]<int kM>(std::integral_constant<int, kM>) {
            constexpr int kMost = kM == 1 ? kOneRow : kRows;
            int64_t n = group * kGroup;
            for (; n + kMost <= stop; n += kMost) tile<kM, kMost>(x + m * layer.inputs, layer, n, finish);
            if constexpr (kMost > kRows)
              if (n + kRows <= stop) {
                tile<kM, kRows>(x + m * layer.inputs, layer, n, finish);
                n += kRows;
              }
            for (; n < stop; ++n) tile<kM, 1>(x + m * layer.inputs, layer, n, finish);
            m += kM;
          };
          const int64_t left = last - m;
          if (left >= kTile)
            rows(std::integral_constant<int, kTile>{});
          else if (left >= 4 && kTile > 4)
            rows(std::integral_constant<int, 4>{});
          else if (left >= 2)
            rows(std::integral_constant<int, 2>{});
          else
            rows(std::integral_constant<int, 1>{});
        }
      }
  });
}

// Blocks of the weight are widened to T, exactly in bfloat16, and multiplied; scales and bias follow in
// place.
template <class T>
void linear_by_product(const Args& args, const Layer& layer, const T* scales, const T* bias, int64_t batch) {
  const View &x = args.in[0], &output = args.out[0];
  T* out = output.as<T>();
  const int64_t k = layer.inputs, n = layer.outputs;
  const int64_t block = std::max<int64_t>(1, kProductBytes / static_cast<int64_t>(sizeof(T)) / k);
  const Scratch scratch(x.device, std::min(block, n) * k * static_cast<int64_t>(sizeof(T)));
  T* wide = scratch.as<T>();
  for (int64_t first = 0; first < n; first += block) {
    const int64_t rows = std::min(block, n - first);
    const int8_t* weight = layer.weight + first * k;
    parallel_for_blocks(rows * k, 1024, kGrain, [=](int64_t begin, int64_t end) {
      int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) store(wide + i, widen(read<Weights>(weight + i)));
      for (; i < end; ++i) store_part(wide + i, 1, Floats{} + static_cast<float>(weight[i]));
    });
    matmul(x, {x.data, batch, k, k}, {wide, k, rows, 1, k}, nullptr, {out + first, batch, rows, n});
  }
  parallel_for_blocks(batch * n, 1024, kGrain, [=](int64_t begin, int64_t end) {
    for_row_pieces(begin, end, n, [=](int64_t row, int64_t column, int64_t count) {
      T* y = out + row * n + column;
      if (bias)
        apply<false>(
            y, count, [](Floats v, Floats s, Floats b) { return v * s + b; }, y, scales + column,
            bias + column);
      else
        apply<false>(y, count, [](Floats v, Floats s) { return v * s; }, y, scales + column);
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &bias = args.in[3];
  require_float(args, 0);
  require_dtype(args, 1, DType::i8);
  require_same_dtype(args, 2, 0);
  if (x.rank < 1) fail_rank(args, 0, "at least 1");
  if (weight.rank != 2) fail_rank(args, 1, "2 (out, in)");
  if (weight.sizes[1] != x.sizes[x.rank - 1])
    fail_shape(args, 1, "[out, " + std::to_string(x.sizes[x.rank - 1]) + "], the last dimension of x");
  if (!same_shape(args.in[2], weight.sizes, 1))
    fail_shape(args, 2, shape_text(weight.sizes, 1) + ", the rows of weight");
  if (!bias.defined) return;
  require_same_dtype(args, 3, 0);
  if (!same_shape(bias, weight.sizes, 1))
    fail_shape(args, 3, shape_text(weight.sizes, 1) + ", the rows of weight");
}

void shape(const Args& args, Dims& dims) {
  add_leading_sizes(dims, args, 0);
  add_size(dims, args, 1, 0);
}

void run(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &bias = args.in[3], &out = args.out[0];
  const Layer layer{weight.as<const int8_t>(), weight.sizes[1], weight.sizes[0]};
  with_float_type(x.dtype, [&]<class T>(T*) {
    const T* bias_data = bias.defined ? bias.as<const T>() : nullptr;
    const int64_t batch = out.numel / layer.outputs;
    if (std::is_same_v<T, BF16> && batch >= kProductRows && layer.inputs > 0)
      linear_by_product(args, layer, args.in[2].as<const T>(), bias_data, batch);
    else
      linear(x.as<const T>(), layer, args.in[2].as<const T>(), bias_data, out.as<T>(), batch);
  });
}

}  // namespace

constinit Op linear_w8_op{
    .name = "linear_w8",
    .schema = "(Tensor x, Tensor weight, Tensor scales, Tensor? bias) -> Tensor",
    .check = check,
    .outputs = {{.name = "out", .like = 0, .shape = shape, .shape_words = "x with the rows of weight"}}};
static const DefineWithCpu<linear_w8_op, run> linear_w8_cpu;

}  // namespace cpp_ext
