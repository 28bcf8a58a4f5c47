// Rotary position embedding; see csrc/cpu/rope.cpp. A block rotates the heads of one token, first those of
// query, then those of key. Positions outside the tables take the nearest row: a GPU kernel cannot raise.
#include <algorithm>

#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

struct RopeShape {
  int64_t batch, sequence, query_heads, key_heads, dim, rows;
  const int64_t* positions;
  bool shared_positions;

  // The token's row of the tables.
  __device__ int64_t angle(int64_t token) const {
    if (!positions) return token % sequence;
    const int64_t row = positions[shared_positions ? token % sequence : token];
    return row < 0 ? 0 : row >= rows ? rows - 1 : row;
  }
};

// threadIdx.x counts the packs of a head and threadIdx.y the heads, so that a thread reads the tables once
// for all its heads. A pair is inside a pack only where kInterleaved and N > 1.
template <int N, bool kInterleaved, class T>
__global__ void __launch_bounds__(kThreads, 4)
    rope_kernel(const T* query, const T* key, const T* cos, const T* sin, T* query_out, T* key_out,
                RopeShape s) {
  using Vector = Pack<T, N>;
  constexpr bool kInside = kInterleaved && N > 1;
  constexpr int kStep = kInterleaved && N == 1 ? 2 : 1;
  const auto vectors = [](const T* p) { return reinterpret_cast<const Vector*>(p); };
  const int64_t packs = s.dim / N, heads = s.query_heads + s.key_heads;
  const int64_t distance = kInterleaved ? 1 : packs / 2, end = kInterleaved ? packs : packs / 2;
  for (int64_t token = blockIdx.x; token < s.batch * s.sequence; token += gridDim.x) {
    const int64_t angle = s.angle(token) * packs;
    for (int64_t i = threadIdx.x * kStep; i < end; i += blockDim.x * kStep) {
      const Vector cos1 = vectors(cos)[angle + i], sin1 = vectors(sin)[angle + i];
      Vector cos2, sin2;
      if constexpr (!kInside) {
        cos2 = vectors(cos)[angle + i + distance];
        sin2 = vectors(sin)[angle + i + distance];
      }
      for (int64_t head = threadIdx.y; head < heads; head += blockDim.y) {
        const bool of_query = head < s.query_heads;
        const int64_t place =
            of_query ? token * s.query_heads + head : token * s.key_heads + head - s.query_heads;
        const Vector* x = vectors(of_query ? query : key) + place * packs + i;
        Vector* y = reinterpret_cast<Vector*>(of_query ? query_out : key_out) + place * packs + i;
        const Vector x1 = x[0];
        float y1[N];
        if constexpr (kInside) {
#pragma unroll
          for (int k = 0; k < N; k += 2) {
            const float a = to_float(x1.v[k]), b = to_float(x1.v[k + 1]);
            y1[k] = a * to_float(cos1.v[k]) - b * to_float(sin1.v[k]);
            y1[k + 1] = b * to_float(cos1.v[k + 1]) + a * to_float(sin1.v[k + 1]);
          }
        } else {
          const Vector x2 = x[distance];
          float y2[N];
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const float a = to_float(x1.v[k]), b = to_float(x2.v[k]);
            y1[k] = a * to_float(cos1.v[k]) - b * to_float(sin1.v[k]);
            y2[k] = b * to_float(cos2.v[k]) + a * to_float(sin2.v[k]);
          }
          y[distance] = pack_from_floats<T>(y2);
        }
        y[0] = pack_from_floats<T>(y1);
      }
    }
  }
}

// As many heads side by side as fit into kThreads, and no more than keep the last pass over the heads full.
inline dim3 rope_threads(int64_t items, int64_t heads) {
  const int64_t x = std::clamp<int64_t>(items, 1, kThreads), most = kThreads / x;
  const int64_t passes = std::max<int64_t>((heads + most - 1) / most, 1);
  const int64_t y = std::max<int64_t>((heads + passes - 1) / passes, 1);
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y));
}

template <class T>
void rope(const T* query, const T* key, const T* cos, const T* sin, T* query_out, T* key_out, RopeShape s,
          bool interleaved, GpuStream stream) {
  const int64_t whole = interleaved ? s.dim : s.dim / 2;  // elements that must be full packs
  const bool wide = whole % kPack<T> == 0 && aligned({query, key, cos, sin, query_out, key_out});
  const dim3 threads = rope_threads(wide ? whole / kPack<T> : s.dim / 2, s.query_heads + s.key_heads);
  const auto launch = [&](auto kernel) {
    kernel<<<blocks_for(s.batch * s.sequence, 1), threads, 0, stream>>>(query, key, cos, sin, query_out,
                                                                        key_out, s);
    check_launch("rope");
  };
  if (interleaved)
    wide ? launch(rope_kernel<kPack<T>, true, T>) : launch(rope_kernel<1, true, T>);
  else
    wide ? launch(rope_kernel<kPack<T>, false, T>) : launch(rope_kernel<1, false, T>);
}

}  // namespace

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
                        positions.defined ? positions.as<const int64_t>() : nullptr,
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
