// The gradient of softmax(scale x + mask) by x: scale out (grad - sum of grad out over the last dimension).
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/rows.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements

template <class T>
void softmax_backward(const T* grad, const T* output, const View& result, int64_t n, float scale) {
  T* out = result.as<T>();
  const bool past_cache = streams<T>(result, 1024);
  parallel_for(result.numel / n, std::max<int64_t>(1, kGrain / n), [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
      for (int64_t row = begin; row < end; ++row) {
        const T *g = grad + row * n, *y = output + row * n;
        const float sum =
            sums_of_row<1>(n, [=](Floats* sum, auto at) { sum[0] += at.load(g) * at.load(y); })[0];
        write_row<kStream>(out + row * n, n, [=](auto at) {
          prefetch(g + n, at.i);
          prefetch(y + n, at.i);
          return (at.load(g) - sum) * (at.load(y) * scale);
        });
      }
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  if (args.in[0].rank < 1) fail_rank(args, 0, "at least 1");
  require_same_dtype(args, 1, 0);
  require_same_shape(args, 1, 0);
}

void run(const Args& args) {
  const View& grad = args.in[0];
  const float scale = static_cast<float>(args.scalars[0].real);
  with_float_type(grad.dtype, [&]<class T>(T*) {
    softmax_backward(grad.as<T>(), args.in[1].as<T>(), args.out[0], grad.sizes[grad.rank - 1], scale);
  });
}

}  // namespace

constinit Op softmax_backward_op{.name = "softmax_backward",
                                 .schema = "(Tensor grad, Tensor output, float scale) -> Tensor",
                                 .check = check,
                                 .outputs = {{.name = "out", .like = 0}},
                                 .in_place = true};
static const DefineWithCpu<softmax_backward_op, run> softmax_backward_cpu;

}  // namespace cpp_ext
