// Rotary position embedding; see csrc/cpu/rope.cpp. A block does a token: its threads walk over the heads of
// query, then of key, each turning one pack of both halves, or of neighbouring pairs. Positions beyond the
// tables take the nearest row: a GPU kernel has no way to raise.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {

struct RopeShape {
  int64_t batch, sequence, query_heads, key_heads, dim, rows;
  const int64_t* positions;
  bool shared_positions;

  __device__ int64_t angle(int64_t token) const {
    if (!positions) return token % sequence * dim;
    const int64_t row = positions[shared_positions ? token % sequence : token];
    return (row < 0 ? 0 : row >= rows ? rows - 1 : row) * dim;
  }
};

template <int N, class T>
__device__ void rope_token_interleaved(const T* x, const T* cos, const T* sin, T* out, int64_t heads,
                                       int64_t dim) {
  using Vector = Pack<T, N>;
  static_assert(N % 2 == 0);
  const int64_t packs = dim / N;
  for (int64_t item = threadIdx.x; item < heads * packs; item += blockDim.x) {
    const int64_t i = item % packs;
    const Vector v = reinterpret_cast<const Vector*>(x)[item];
    const Vector c = reinterpret_cast<const Vector*>(cos)[i], s = reinterpret_cast<const Vector*>(sin)[i];
    Vector y;
#pragma unroll
    for (int k = 0; k < N; k += 2) {
      const float a = to_float(v.v[k]), b = to_float(v.v[k + 1]);
      y.v[k] = from_float<T>(a * to_float(c.v[k]) - b * to_float(s.v[k]));
      y.v[k + 1] = from_float<T>(b * to_float(c.v[k + 1]) + a * to_float(s.v[k + 1]));
    }
    reinterpret_cast<Vector*>(out)[item] = y;
  }
}

template <int N, class T>
__device__ void rope_token(const T* x, const T* cos, const T* sin, T* out, int64_t heads, int64_t half) {
  using Vector = Pack<T, N>;
  const auto at = [](const T* p) { return *reinterpret_cast<const Vector*>(p); };
  const int64_t packs = half / N;
  for (int64_t item = threadIdx.x; item < heads * packs; item += blockDim.x) {
    const int64_t head = item / packs, i = item % packs * N;
    const T* in = x + head * 2 * half + i;
    T* result = out + head * 2 * half + i;
    const Vector x1 = at(in), x2 = at(in + half);
    const Vector cos1 = at(cos + i), cos2 = at(cos + half + i), sin1 = at(sin + i), sin2 = at(sin + half + i);
    Vector y1, y2;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float a = to_float(x1.v[k]), b = to_float(x2.v[k]);
      y1.v[k] = from_float<T>(a * to_float(cos1.v[k]) - b * to_float(sin1.v[k]));
      y2.v[k] = from_float<T>(b * to_float(cos2.v[k]) + a * to_float(sin2.v[k]));
    }
    *reinterpret_cast<Vector*>(result) = y1;
    *reinterpret_cast<Vector*>(result + half) = y2;
  }
}

// Interleaved, one pair a thread: for views whose packs would not be aligned.
template <class T>
__global__ void rope_pairs(const T* query, const T* key, const T* cos, const T* sin, T* query_out, T* key_out,
                           RopeShape s) {
  const int64_t pairs = s.dim / 2, heads = s.query_heads + s.key_heads;
  for (int64_t token = blockIdx.x; token < s.batch * s.sequence; token += gridDim.x) {
    const int64_t angle = s.angle(token);
    for (int64_t item = threadIdx.x; item < heads * pairs; item += blockDim.x) {
      const int64_t head = item / pairs, i = 2 * (item % pairs);
      const bool of_query = head < s.query_heads;
      const int64_t at = of_query ? (token * s.query_heads + head) * s.dim + i
                                  : (token * s.key_heads + head - s.query_heads) * s.dim + i;
      const T* x = (of_query ? query : key) + at;
      T* y = (of_query ? query_out : key_out) + at;
      const float a = to_float(x[0]), b = to_float(x[1]);
      const T *c = cos + angle + i, *n = sin + angle + i;
      y[0] = from_float<T>(a * to_float(c[0]) - b * to_float(n[0]));
      y[1] = from_float<T>(b * to_float(c[1]) + a * to_float(n[1]));
    }
  }
}

template <int N, bool kInterleaved, class T>
__global__ void rope_kernel(const T* query, const T* key, const T* cos, const T* sin, T* query_out,
                            T* key_out, RopeShape s) {
  const int64_t half = s.dim / 2, query_size = s.query_heads * s.dim, key_size = s.key_heads * s.dim;
  for (int64_t token = blockIdx.x; token < s.batch * s.sequence; token += gridDim.x) {
    const int64_t angle = s.angle(token);
    const T *q = query + token * query_size, *k = key + token * key_size;
    T *q_out = query_out + token * query_size, *k_out = key_out + token * key_size;
    if constexpr (kInterleaved) {
      rope_token_interleaved<N>(q, cos + angle, sin + angle, q_out, s.query_heads, s.dim);
      rope_token_interleaved<N>(k, cos + angle, sin + angle, k_out, s.key_heads, s.dim);
    } else {
      rope_token<N>(q, cos + angle, sin + angle, q_out, s.query_heads, half);
      rope_token<N>(k, cos + angle, sin + angle, k_out, s.key_heads, half);
    }
  }
}

template <class T>
void rope(const T* query, const T* key, const T* cos, const T* sin, T* query_out, T* key_out, RopeShape s,
          bool interleaved, GpuStream stream) {
  const auto blocks = blocks_for(s.batch * s.sequence, 1);
  const int64_t whole = interleaved ? s.dim : s.dim / 2;  // elements that must be full packs
  const bool wide = whole % kPack<T> == 0 && aligned({query, key, cos, sin, query_out, key_out});
  const auto launch = [&](auto kernel) {
    kernel<<<blocks, kThreads, 0, stream>>>(query, key, cos, sin, query_out, key_out, s);
    check_launch("rope");
  };
  if (interleaved)
    wide ? launch(rope_kernel<kPack<T>, true, T>) : launch(rope_pairs<T>);
  else
    wide ? launch(rope_kernel<kPack<T>, false, T>) : launch(rope_kernel<1, false, T>);
}

// ---- binding ----

static void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1];
  const View& positions = args.in[4];
  const RopeShape shape{query.sizes[0],
                        query.sizes[1],
                        query.sizes[2],
                        key.sizes[2],
                        query.sizes[3],
                        args.in[2].sizes[0],
                        positions.given ? positions.as<const int64_t>() : nullptr,
                        positions.rank == 1};
  with_float_type(query.dtype, [&]<class T>(T*) {
    rope(query.as<const T>(), key.as<const T>(), args.in[2].as<const T>(), args.in[3].as<const T>(),
         args.out[0].as<T>(), args.out[1].as<T>(), shape, args.scalars[0].integer != 0,
         stream_of(args.stream));
  });
}

extern Op rope_op;
static const Implement<rope_op, run> rope_cuda("CUDA");

}  // namespace cpp_ext
