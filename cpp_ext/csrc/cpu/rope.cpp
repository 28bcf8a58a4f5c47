// Rotary position embedding (Su et al. 2021, arXiv:2104.09864, equation 34). Rotate-half layout: with x split
// in halves (x1, x2), out = (x1 cos1 - x2 sin1, x2 cos2 + x1 sin2). Interleaved, as in GPT-J: the same for
// the pairs (x[2i], x[2i+1]). The two angles of a pair may differ.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {
namespace {

// Elements of query and key together; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = 1 << 16;

// One vector of both halves.
template <bool kStream, class T>
inline void rotate(const T* x, const T* cos, const T* sin, T* out, int64_t half) {
  const Floats x1 = load(x), x2 = load(x + half);
  put<kStream>(out, x1 * load(cos) - x2 * load(sin));
  put<kStream>(out + half, x2 * load(cos + half) + x1 * load(sin + half));
}

template <class T>
inline void rotate_part(const T* x, const T* cos, const T* sin, T* out, int64_t half, int64_t n) {
  const Floats x1 = load_part(x, n), x2 = load_part(x + half, n);
  store_part(out, n, x1 * load_part(cos, n) - x2 * load_part(sin, n));
  store_part(out + half, n, x2 * load_part(cos + half, n) + x1 * load_part(sin + half, n));
}

// One vector of neighbouring pairs.
inline Floats rotate_pairs(Floats x, Floats cos, Floats sin) {
  static_assert(kLanes == 4 || kLanes == 8 || kLanes == 16);
  Floats other, sign;  // constants to the compiler, and a shuffle
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    other[i] = x[i ^ 1];
    sign[i] = i % 2 ? 1.0f : -1.0f;
  }
  return x * cos + other * (sign * sin);
}

template <bool kStream, class T>
void rope_token_interleaved(const T* x, const T* cos, const T* sin, T* out, int64_t heads, int64_t dim) {
  for (int64_t head = 0; head < heads; ++head, x += dim, out += dim) {
    int64_t i = 0;
    for (; i + kLanes <= dim; i += kLanes)
      put<kStream>(out + i, rotate_pairs(load(x + i), load(cos + i), load(sin + i)));
    if (const int64_t n = dim - i; n > 0)
      store_part(out + i, n, rotate_pairs(load_part(x + i, n), load_part(cos + i, n), load_part(sin + i, n)));
  }
}

// All heads of one token; cos and sin stay in the first cache.
template <bool kStream, class T>
void rope_token(const T* x, const T* cos, const T* sin, T* out, int64_t heads, int64_t dim) {
  const int64_t half = dim / 2;
  for (int64_t head = 0; head < heads; ++head, x += dim, out += dim) {
    int64_t i = 0;
    for (; i + kLanes <= half; i += kLanes) rotate<kStream>(x + i, cos + i, sin + i, out + i, half);
    if (i < half) rotate_part(x + i, cos + i, sin + i, out + i, half, half - i);
  }
}

struct RopeShape {
  int64_t batch, sequence, query_heads, key_heads, dim;
  bool interleaved;
  const int64_t* positions;  // row of the tables for each token, or null: its place in the sequence
  bool shared_positions;     // by all sequences of the batch

  int64_t angle(int64_t token) const {
    if (!positions) return token % sequence * dim;
    return positions[shared_positions ? token % sequence : token] * dim;
  }
};

template <class T>
void rope(const T* query, const T* key, const T* cos, const T* sin, const View* out, RopeShape s) {
  T *query_out = out[0].as<T>(), *key_out = out[1].as<T>();
  const int64_t query_size = s.query_heads * s.dim, key_size = s.key_heads * s.dim;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, query_size + key_size));
  const int64_t tokens = s.batch * s.sequence;
  const bool past_cache = streams<T>(out[0], s.dim / 2) && streams<T>(out[1], s.dim / 2);
  const auto rotate_tokens = [=]<bool kStream>(std::bool_constant<kStream>, int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t angle = s.angle(token);
      const auto turn = s.interleaved ? rope_token_interleaved<kStream, T> : rope_token<kStream, T>;
      turn(query + token * query_size, cos + angle, sin + angle, query_out + token * query_size,
           s.query_heads, s.dim);
      turn(key + token * key_size, cos + angle, sin + angle, key_out + token * key_size, s.key_heads, s.dim);
    }
  };
  parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    with_stream(past_cache, [&](auto kind) { rotate_tokens(kind, begin, end); });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  for (int i = 1; i < 4; ++i) require_same_dtype(args, i, 0);
  for (int i = 0; i < 2; ++i)
    if (args.in[i].rank != 4) fail_rank(args, i, "4 (batch, sequence, heads, head dimension)");
  const int64_t *q = args.in[0].sizes, *k = args.in[1].sizes;
  if (q[3] % 2 != 0)
    fail_input(args, 0, "has head dimension " + std::to_string(q[3]) + ", expected an even number");
  if (k[0] != q[0] || k[1] != q[1] || k[3] != q[3])
    fail_shape(args, 1,
               "[" + std::to_string(q[0]) + ", " + std::to_string(q[1]) + ", N, " + std::to_string(q[3]) +
                   "], as query");
  const View& positions = args.in[4];
  if (positions.defined) {
    require_dtype(args, 4, DType::i64);
    if (!same_shape(positions, q, 2) && !same_shape(positions, q + 1, 1))
      fail_shape(args, 4, shape_text(q, 2) + " or " + shape_text(q + 1, 1) + ", batch and sequence of query");
    if (args.in[2].rank != 2) fail_rank(args, 2, "2 (positions, head dimension)");
  }
  const int64_t angles[] = {positions.defined ? args.in[2].sizes[0] : q[1], q[3]};
  for (int i = 2; i < 4; ++i)
    if (!same_shape(args.in[i], angles, 2))
      fail_shape(args, i,
                 shape_text(angles, 2) + (positions.defined ? ", rows of cos and head dimension of query"
                                                            : ", sequence and head dimension of query"));
}

// Checks the positions before any is used as an index.
void check_positions(const Args& args) {
  const View& positions = args.in[4];
  const int64_t* row = positions.as<int64_t>();
  const int64_t rows = args.in[2].sizes[0];
  for (int64_t i = 0; i < positions.numel; ++i)
    if (row[i] < 0 || row[i] >= rows)
      fail_input(args, 4,
                 "holds " + std::to_string(row[i]) + " at element " + std::to_string(i) + ", expected 0 to " +
                     std::to_string(rows - 1) + ", the rows of cos");
}

void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1], &positions = args.in[4];
  check_positions(args);
  const RopeShape shape{query.sizes[0],
                        query.sizes[1],
                        query.sizes[2],
                        key.sizes[2],
                        query.sizes[3],
                        args.scalars[0].integer != 0,
                        positions.defined ? positions.as<const int64_t>() : nullptr,
                        positions.rank == 1};
  with_float_type(query.dtype, [&]<class T>(T*) {
    rope(query.as<T>(), key.as<T>(), args.in[2].as<T>(), args.in[3].as<T>(), args.out, shape);
  });
}

}  // namespace

constinit Op rope_op{.name = "rope",
                     .schema =
                         "(Tensor query, Tensor key, Tensor cos, Tensor sin, Tensor? positions=None, "
                         "bool interleaved=False) -> (Tensor, Tensor)",
                     .check = check,
                     .outputs = {{.name = "query_out", .like = 0}, {.name = "key_out", .like = 1}}};
static const DefineWithCpu<rope_op, run> rope_cpu;

}  // namespace cpp_ext
