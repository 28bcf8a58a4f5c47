// softmax(scale x + mask) over the last dimension; see csrc/cpu/softmax.cpp. Threads keep their part of the
// scores in registers; what does not fit is computed again from the second-level cache.
#include "common/broadcast.h"
#include "common/gpu_row_groups.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

template <class T>
struct Scores {
  const T *x, *mask;  // mask may be null
  bool one_mask;      // one value a row
  float scale;
  BroadcastRows mask_rows;
};

template <int N, bool kWarp, class T>
__global__ void __launch_bounds__(RowGroup<kWarp>::kBlock)
    softmax_kernel(Scores<T> in, T* out, int64_t rows, int64_t n) {
  using Vector = Pack<T, N>;
  using Group = RowGroup<kWarp>;
  constexpr int kHeld = kWarp ? kWarpRow / N / 32 : kHeldPacks<N>;
  const int64_t packs = n / N;
  for (int64_t row = Group::first_row(); row < rows; row += Group::row_step()) {
    const Vector* x = reinterpret_cast<const Vector*>(in.x + row * n);
    const T* mask = in.mask ? in.mask + in.mask_rows.offset(row) : nullptr;
    const float even = mask && in.one_mask ? to_float(*mask) : 0.0f;
    const auto score = [&](int64_t i, float (&v)[N]) {
      const Vector pack = x[i];
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = to_float(pack.v[k]) * in.scale + even;
      if (mask && !in.one_mask) {
        const Vector more = reinterpret_cast<const Vector*>(mask)[i];
#pragma unroll
        for (int k = 0; k < N; ++k) v[k] += to_float(more.v[k]);
      }
    };
    float held[kHeld][N];
    MaxSum sums = MaxSum::none();
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = Group::lane() + h * Group::width();
      if (i < packs) {
        score(i, held[h]);
        sums.add(held[h]);
      }
    }
    const int64_t rest = Group::lane() + kHeld * Group::width();
#pragma unroll 2  // more would take too many registers
    for (int64_t i = rest; i < packs; i += Group::width()) {
      float v[N];
      score(i, v);
      sums.add(v);
    }

    sums = Group::reduce(sums, MaxSum::none(), MaxSum::merge);
    const float share = 1.0f / sums.sum;
    const auto write = [&](int64_t i, const float (&v)[N]) {
      float y[N];
#pragma unroll
      for (int k = 0; k < N; ++k) y[k] = exp_of(v[k] - sums.max) * share;
      reinterpret_cast<Vector*>(out + row * n)[i] = pack_from_floats<T>(y);
    };
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int64_t i = Group::lane() + h * Group::width();
      if (i < packs) write(i, held[h]);
    }
#pragma unroll 2  // more would take too many registers
    for (int64_t i = rest; i < packs; i += Group::width()) {
      float v[N];
      score(i, v);
      write(i, v);
    }
  }
}

template <int N, class T>
void launch(const Scores<T>& in, T* out, int64_t rows, int64_t n, GpuStream stream) {
  for_row_groups<N>(rows, n, [&]<bool kWarp>(std::bool_constant<kWarp>, unsigned blocks, int threads) {
    softmax_kernel<N, kWarp><<<blocks, threads, 0, stream>>>(in, out, rows, n);
  });
  check_launch("softmax");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const View &x = args.in[0], &mask = args.in[1], &out = args.out[0];
  const int64_t n = x.sizes[x.rank - 1], rows = out.numel / n;
  const bool one_mask = n > 1 && (mask.rank == 0 || mask.sizes[mask.rank - 1] == 1);
  with_float_type(x.dtype, [&]<class T>(T*) {
    const T* mask_data = mask.defined ? mask.as<const T>() : nullptr;
    const Scores<T> in{x.as<const T>(), mask_data, one_mask, static_cast<float>(args.scalars[0].real),
                       BroadcastRows(mask, x)};
    constexpr int N = kPack<T>;
    const bool mask_fits = !mask_data || one_mask || aligned({mask_data});
    if (n % N == 0 && aligned({in.x, out.data}) && mask_fits) {
      launch<N>(in, out.as<T>(), rows, n, stream_of(args.stream));
    } else {
      launch<1>(in, out.as<T>(), rows, n, stream_of(args.stream));
    }
  });
}

extern Op softmax_op;
static const Implement<softmax_op, run> softmax_cuda("CUDA");

}  // namespace cpp_ext
