// Rotary position embedding (Su et al. 2021, arXiv:2104.09864, equation 34) in the rotate-half layout: with x
// split in halves (x1, x2), out = (x1 cos1 - x2 sin1, x2 cos2 + x1 sin2). cos and sin need not have equal
// halves.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/simd.h"
#include "common/stream.h"

namespace cpp_ext {
namespace {

// Elements of query and key together. One thread against two on idle cores, float32 (bfloat16):
// 2^15 7.1 and 6.6 us (10.5 and 8.5), 2^16 11.9 and 9.9 (17.8 and 12.0), 2^17 23.8 and 16.5 (32.6 and 23.3).
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
      const int64_t angle = token % s.sequence * s.dim;
      rope_token<kStream>(query + token * query_size, cos + angle, sin + angle,
                          query_out + token * query_size, s.query_heads, s.dim);
      rope_token<kStream>(key + token * key_size, cos + angle, sin + angle, key_out + token * key_size,
                          s.key_heads, s.dim);
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
  const int64_t angles[] = {q[1], q[3]};
  for (int i = 2; i < 4; ++i)
    if (!same_shape(args.in[i], angles, 2))
      fail_shape(args, i, shape_text(angles, 2) + ", sequence and head dimension of query");
}

void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1];
  const RopeShape shape{query.sizes[0], query.sizes[1], query.sizes[2], key.sizes[2], query.sizes[3]};
  with_float_type(query.dtype, [&]<class T>(T*) {
    rope(query.as<T>(), key.as<T>(), args.in[2].as<T>(), args.in[3].as<T>(), args.out, shape);
  });
}

}  // namespace

constinit Op rope_op{.name = "rope",
                     .schema = "(Tensor query, Tensor key, Tensor cos, Tensor sin) -> (Tensor, Tensor)",
                     .check = check,
                     .outputs = {{.name = "query_out", .like = 0}, {.name = "key_out", .like = 1}}};
static const DefineWithCpu<rope_op, run> rope_cpu;

}  // namespace cpp_ext
