// The gradient of cross_entropy by the logits; see csrc/cpu/cross_entropy_backward.cpp. Each row is cut into
// slices, so that few rows fill the card too. A target that is out of range makes its row NaN.
#include "common/gpu_cross_entropy.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {
namespace {

constexpr int kPacksAThread = 4;

// One block: 1 / the number of targets that are not ignored.
__global__ void __launch_bounds__(kMaxThreads)
    share_kernel(const int64_t* target, float* share, int64_t rows, int64_t ignore_index) {
  float counted = 0.0f;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) counted += target[i] != ignore_index;
  counted = RowGroup<false>::sum(counted);
  if (threadIdx.x == 0) *share = 1.0f / counted;
}

// `share` is null where nothing is to be divided.
template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_kernel(const T* grad, const T* logits, const int64_t* target, const double* lse,
                                  const float* share, T* out, int64_t rows, int64_t classes, int64_t slices,
                                  CrossEntropyOptions options) {
  for (int64_t item = blockIdx.x; item < rows * slices; item += gridDim.x) {
    const int64_t row = item / slices, slice = item % slices, t = target[row];
    const T* x = logits + row * classes;
    T* result = out + row * classes;
    const RowParts<N, T> parts(x, classes);
    const bool ignored = t == options.ignore_index;
    const float of_row = to_float(options.reduction == kNone ? grad[row] : *grad) * (share ? *share : 1.0f);
    const float g = ignored ? 0.0f : in_range(t, classes) ? of_row : NAN;
    const float s = options.smoothing, uniform = g * s / classes;
    const double at_target = static_cast<double>(s) - static_cast<double>(s) / static_cast<double>(classes);
    const float high = static_cast<float>(lse[row]), low = static_cast<float>(lse[row] - high);
    const auto gradient = [&](T value, int64_t i) {
      const float p = exp_of(to_float(value) - high - low);
      const float y = i == t ? static_cast<float>(((p - 1.0) + at_target) * g) : p * g - uniform;
      return ignored ? 0.0f : y;
    };
    if (slice == 0 && threadIdx.x < parts.head)
      result[threadIdx.x] = from_float<T>(gradient(x[threadIdx.x], threadIdx.x));
    const auto* packs = reinterpret_cast<const Pack<T, N>*>(x + parts.head);
    auto* results = reinterpret_cast<Pack<T, N>*>(result + parts.head);
    const int64_t end = (slice + 1) * blockDim.x * kPacksAThread;
    for (int64_t i = end - blockDim.x * kPacksAThread + threadIdx.x; i < end && i < parts.packs;
         i += blockDim.x) {
      const Pack<T, N> pack = packs[i];
      float y[N];
#pragma unroll
      for (int k = 0; k < N; ++k) y[k] = gradient(pack.v[k], parts.head + i * N + k);
      results[i] = pack_from_floats<T>(y);
    }
    if (slice == slices - 1 && threadIdx.x < parts.tail) {
      const int64_t i = classes - 1 - threadIdx.x;
      result[i] = from_float<T>(gradient(x[i], i));
    }
  }
}

template <int N, class T>
void launch(const Args& args, const float* share, const CrossEntropyOptions& options) {
  const int64_t rows = args.in[1].sizes[0], classes = args.in[1].sizes[1];
  const int64_t slice = static_cast<int64_t>(kThreads) * kPacksAThread * N;
  const int64_t slices = (classes + slice - 1) / slice;
  cross_entropy_backward_kernel<N><<<blocks_for(rows * slices, 1), kThreads, 0, stream_of(args.stream)>>>(
      args.in[0].as<const T>(), args.in[1].as<const T>(), args.in[2].as<const int64_t>(),
      args.in[3].as<const double>(), share, args.out[0].as<T>(), rows, classes, slices, options);
  check_launch("cross_entropy_backward");
}

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  const CrossEntropyOptions options(args.scalars);
  const GpuStream stream = stream_of(args.stream);
  const Scratch share(args.in[0].device, sizeof(float));
  if (options.reduction == kMean) {
    share_kernel<<<1, kMaxThreads, 0, stream>>>(args.in[2].as<const int64_t>(), share.as<float>(),
                                                args.in[2].numel, options.ignore_index);
    check_launch("cross_entropy_backward (count)");
  }
  const float* divided = options.reduction == kMean ? share.as<const float>() : nullptr;
  // A pack of the logits must be one of the result, whatever the row begins with.
  const auto offset =
      reinterpret_cast<uintptr_t>(args.in[1].data) ^ reinterpret_cast<uintptr_t>(args.out[0].data);
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    if (offset % kVectorBytes == 0)
      launch<kPack<T>, T>(args, divided, options);
    else
      launch<1, T>(args, divided, options);
  });
}

extern Op cross_entropy_backward_op;
static const Implement<cross_entropy_backward_op, run> cross_entropy_backward_cuda("CUDA");

}  // namespace cpp_ext
