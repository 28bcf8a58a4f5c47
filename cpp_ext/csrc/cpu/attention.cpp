// softmax(scale * query key^T) value for every head, on the keys that a query may see. Few query rows are
// bound by memory (common/attention_decode.h), many by arithmetic (common/attention_prefill.h).
#include "common/attention.h"

#include "common/attention_decode.h"
#include "common/attention_prefill.h"
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int64_t kMaxDim = 256;
// Elements of the cache that one thread reads, and products of one thread.
constexpr int64_t kDecodeGrain = 1 << 16, kPrefillGrain = 1 << 21;

template <class T>
void decode(const AttentionShape& s, const T* query, const T* key, const T* value, T* out) {
  Decode<T> work(s, query, key, value, out);
  const int64_t elements = kPiece * s.key_heads * s.dim * 2;
  parallel_for(work.pieces(), std::max<int64_t>(1, kDecodeGrain / elements),
               [&](int64_t begin, int64_t end) { work.run(begin, end); });
  const int64_t parts = work.pieces() * s.queries * s.heads * s.dim / s.batch;
  parallel_for(s.batch, std::max<int64_t>(1, kDecodeGrain / std::max<int64_t>(1, parts)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t b = begin; b < end; ++b) work.join(b);
               });
}

template <class Products, class T>
void prefill(const AttentionShape& s, const T* query, const T* key, const T* value, T* out) {
  const int64_t panels = (s.rows() + kPanel - 1) / kPanel;
  const int64_t panels_per_block = std::clamp<int64_t>(s.batch * s.key_heads * panels / 64, 1, kPanels);
  const int64_t blocks = (panels + panels_per_block - 1) / panels_per_block;
  const int64_t products = panels_per_block * kPanel * s.keys * s.dim;
  parallel_for(
      s.batch * s.key_heads * blocks, std::max<int64_t>(1, kPrefillGrain / std::max<int64_t>(1, products)),
      [&](int64_t begin, int64_t end) {
        Prefill<Products, T> work(s, query, key, value, out);
        for (int64_t i = begin; i < end; ++i) {
          // A causal block costs the more the later it is: early and late ones take turns.
          const int64_t head = i / blocks, turn = i % blocks;
          const int64_t block = turn % 2 ? blocks - 1 - turn / 2 : turn / 2;
          work.run(head / s.key_heads, head % s.key_heads, block * panels_per_block, panels_per_block);
        }
      });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  for (int i = 0; i < 3; ++i)
    if (args.in[i].rank != 4) fail_rank(args, i, "4 (batch, sequence, heads, head dimension)");
  const int64_t *q = args.in[0].sizes, *k = args.in[1].sizes;
  if (q[3] > kMaxDim)
    fail_input(
        args, 0,
        "has head dimension " + std::to_string(q[3]) + ", expected at most " + std::to_string(kMaxDim));
  for (int i = 1; i < 3; ++i) require_same_dtype(args, i, 0);
  if (k[0] != q[0] || k[3] != q[3])
    fail_shape(args, 1,
               "[" + std::to_string(q[0]) + ", T, N, " + std::to_string(q[3]) +
                   "], batch and head dimension of query");
  if (k[2] == 0 ? q[2] != 0 : q[2] % k[2] != 0)
    fail_input(args, 1,
               "has " + std::to_string(k[2]) + " heads, expected a divisor of " + std::to_string(q[2]) +
                   ", the heads of query");
  require_same_shape(args, 2, 1);
  if (args.in[3].defined) {
    require_dtype(args, 3, DType::i64);
    if (!same_shape(args.in[3], q, 1)) fail_shape(args, 3, shape_text(q, 1) + ", the batch of query");
  }
}

// The values, which only a CPU tensor shows before the kernel reads by them.
void check_lengths(const Args& args, const AttentionShape& s) {
  for (int64_t b = 0; s.lengths && b < s.batch; ++b)
    if (s.lengths[b] < 0 || s.lengths[b] > s.keys)
      fail_input(args, 3,
                 "has value " + std::to_string(s.lengths[b]) + " at index " + std::to_string(b) +
                     ", expected 0 to " + std::to_string(s.keys) + ", the keys of the cache");
}

void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1], &value = args.in[2], &lengths = args.in[3];
  const AttentionShape s{.batch = query.sizes[0],
                         .queries = query.sizes[1],
                         .keys = key.sizes[1],
                         .heads = query.sizes[2],
                         .key_heads = key.sizes[2],
                         .dim = query.sizes[3],
                         .lengths = lengths.defined ? lengths.as<int64_t>() : nullptr,
                         .scale = static_cast<float>(args.scalars[0].real) * kLog2e,
                         .causal = args.scalars[1].integer != 0};
  check_lengths(args, s);
  with_float_type(query.dtype, [&]<class T>(T*) {
    const T *q = query.as<T>(), *k = key.as<T>(), *v = value.as<T>();
    T* out = args.out[0].as<T>();
    if (s.rows() <= kDecodeRows) return decode(s, q, k, v, out);
#if defined(CPP_EXT_BF16_PRODUCTS)
    if constexpr (std::is_same_v<T, BF16>) return prefill<PairProducts>(s, q, k, v, out);
#endif
    prefill<FloatProducts>(s, q, k, v, out);
  });
}

}  // namespace

constinit Op attention_op{.name = "attention",
                          .schema =
                              "(Tensor query, Tensor key, Tensor value, Tensor? lengths, float scale, "
                              "bool causal) -> Tensor",
                          .check = check,
                          .outputs = {{.name = "out", .like = 0}}};
static const DefineWithCpu<attention_op, run> attention_cpu;

}  // namespace cpp_ext
