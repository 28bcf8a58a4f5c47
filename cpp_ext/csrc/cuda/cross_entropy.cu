// Cross entropy of logits and class indices; see csrc/cpu/cross_entropy.cpp. A block does a row, which is
// read once. A target that is out of range is never used as an index: it makes the loss of its row NaN.
#include "common/gpu_cross_entropy.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {
namespace {

struct RowSums {
  MaxSum exponentials;
  float total;  // of the logits

  __device__ static RowSums none() { return {MaxSum::none(), 0.0f}; }
  __device__ static RowSums merge(const RowSums& a, const RowSums& b) {
    return {MaxSum::merge(a.exponentials, b.exponentials), a.total + b.total};
  }

  template <int N, class T>
  __device__ void add(const T (&x)[N]) {
    float v[N];
#pragma unroll
    for (int k = 0; k < N; ++k) total += v[k] = to_float(x[k]);
    exponentials.add(v);
  }
};

// Loss is float where it is to be reduced, else T.
template <int N, class T, class Loss>
__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_kernel(const T* logits, const int64_t* target, Loss* loss, double* lse, int64_t rows,
                         int64_t classes, CrossEntropyOptions options) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* x = logits + row * classes;
    const RowParts<N, T> parts(x, classes);
    RowSums sums = RowSums::none();
    const auto add_single = [&](int64_t i) {
      const T element[1] = {x[i]};
      sums.add(element);
    };
    if (threadIdx.x < parts.head) add_single(threadIdx.x);
    const auto* packs = reinterpret_cast<const Pack<T, N>*>(x + parts.head);
    for (int64_t i = threadIdx.x; i < parts.packs; i += blockDim.x) {
      const Pack<T, N> pack = packs[i];
      sums.add(pack.v);
    }
    if (threadIdx.x < parts.tail) add_single(classes - 1 - threadIdx.x);
    sums = RowGroup<false>::reduce(sums, RowSums::none(), RowSums::merge);
    if (threadIdx.x != 0) continue;

    const float max = sums.exponentials.max, log_sum = logf(sums.exponentials.sum);
    lse[row] = static_cast<double>(max) + log_sum;
    const int64_t t = target[row];
    float result = 0.0f;
    if (t != options.ignore_index) {
      const float nll = in_range(t, classes) ? max - to_float(x[t]) + log_sum : NAN;
      const float s = options.smoothing;
      result = s == 0.0f ? nll : (1.0f - s) * nll + s * (max - sums.total / classes + log_sum);
    }
    loss[row] = from_float<Loss>(result);
  }
}

// One block: the sum of the losses, divided by the number of targets that are not ignored for the mean.
template <class T>
__global__ void __launch_bounds__(kMaxThreads)
    reduce_kernel(const float* losses, const int64_t* target, T* loss, int64_t rows,
                  CrossEntropyOptions options) {
  float sum = 0.0f, counted = 0.0f;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += losses[i];
    counted += target[i] != options.ignore_index;
  }
  sum = RowGroup<false>::sum(sum);
  counted = RowGroup<false>::sum(counted);
  if (threadIdx.x == 0) *loss = from_float<T>(options.reduction == kMean ? sum / counted : sum);
}

template <class T, class Loss>
void launch(const Args& args, Loss* loss, const CrossEntropyOptions& options) {
  const int64_t rows = args.in[0].sizes[0], classes = args.in[0].sizes[1];
  if (rows == 0) return;
  const int threads = threads_for_row<kPack<T>>(classes, 2);
  cross_entropy_kernel<kPack<T>><<<blocks_for(rows, 1), threads, 0, stream_of(args.stream)>>>(
      args.in[0].as<const T>(), args.in[1].as<const int64_t>(), loss, args.out[1].as<double>(), rows, classes,
      options);
  check_launch("cross_entropy");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const CrossEntropyOptions options(args.scalars);
  const int64_t rows = args.in[0].sizes[0];
  const GpuStream stream = stream_of(args.stream);
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    if (options.reduction == kNone) {
      launch<T>(args, args.out[0].as<T>(), options);
    } else {
      const Scratch losses(args.in[0].device, (rows + 1) * static_cast<int64_t>(sizeof(float)));
      launch<T>(args, losses.as<float>(), options);
      reduce_kernel<<<1, kMaxThreads, 0, stream>>>(losses.as<const float>(), args.in[1].as<const int64_t>(),
                                                   args.out[0].as<T>(), rows, options);
      check_launch("cross_entropy (reduction)");
    }
  });
}

extern Op cross_entropy_op;
static const Implement<cross_entropy_op, run> cross_entropy_cuda("CUDA");

}  // namespace cpp_ext
