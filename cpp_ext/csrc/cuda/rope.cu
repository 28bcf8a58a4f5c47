// Rotary position embedding, rotate-half layout; see csrc/cpu/rope.cpp. A block does a token: its threads
// walk over the heads of query, then of key, each turning one pack of both halves.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {

struct RopeShape {
  int64_t batch, sequence, query_heads, key_heads, dim;
};

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

template <int N, class T>
__global__ void rope_kernel(const T* query, const T* key, const T* cos, const T* sin, T* query_out,
                            T* key_out, RopeShape s) {
  const int64_t half = s.dim / 2, query_size = s.query_heads * s.dim, key_size = s.key_heads * s.dim;
  for (int64_t token = blockIdx.x; token < s.batch * s.sequence; token += gridDim.x) {
    const int64_t angle = token % s.sequence * s.dim;
    rope_token<N>(query + token * query_size, cos + angle, sin + angle, query_out + token * query_size,
                  s.query_heads, half);
    rope_token<N>(key + token * key_size, cos + angle, sin + angle, key_out + token * key_size, s.key_heads,
                  half);
  }
}

template <class T>
void rope(const T* query, const T* key, const T* cos, const T* sin, T* query_out, T* key_out, RopeShape s,
          GpuStream stream) {
  const auto blocks = blocks_for(s.batch * s.sequence, 1);
  if (s.dim / 2 % kPack<T> == 0 && aligned({query, key, cos, sin, query_out, key_out})) {
    rope_kernel<kPack<T>><<<blocks, kThreads, 0, stream>>>(query, key, cos, sin, query_out, key_out, s);
  } else {
    rope_kernel<1><<<blocks, kThreads, 0, stream>>>(query, key, cos, sin, query_out, key_out, s);
  }
  check_launch("rope");
}

// ---- binding ----

static void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1];
  const RopeShape shape{query.sizes[0], query.sizes[1], query.sizes[2], key.sizes[2], query.sizes[3]};
  with_float_type(query.dtype, [&]<class T>(T*) {
    rope(query.as<const T>(), key.as<const T>(), args.in[2].as<const T>(), args.in[3].as<const T>(),
         args.out[0].as<T>(), args.out[1].as<T>(), shape, stream_of(args.stream));
  });
}

extern Op rope_op;
static const Implement<rope_op, run> rope_cuda("CUDA");

}  // namespace cpp_ext
