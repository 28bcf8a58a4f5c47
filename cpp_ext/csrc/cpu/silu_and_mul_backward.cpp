// The gradient of silu_and_mul by x = [a, b], the input of the forward op: both gradients of silu(a) b side
// by side; see common/silu.h.
#include "common/elementwise.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/silu.h"

namespace cpp_ext {
namespace {

// Elements of grad: half the grain size of gelu_tanh, for two outputs per element (not measured).
constexpr int64_t kGrain = 1 << 14;

template <class T>
void silu_and_mul_backward(const T* grad, const T* x, const View& output, int64_t d) {
  T* out = output.as<T>();
  const bool past_cache = streams<T>(output, d);
  parallel_for_blocks(output.numel / 2, 1024, kGrain, [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [=]<bool kStream>(std::bool_constant<kStream>) {
      for_row_pieces(begin, end, d, [=](int64_t row, int64_t column, int64_t n) {
        const int64_t at = 2 * row * d + column;
        silu_times_gradients<kStream>(grad + row * d + column, x + at, x + at + d, out + at, out + at + d, n);
      });
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  require_two_halves(args, 1);
  Dims half;
  half.rank = 0;
  add_half_of_last(half, args, 1);
  if (!same_shape(args.in[0], half.size, half.rank))
    fail_shape(args, 0, shape_text(half.size, half.rank) + ", x with half of its last dimension");
}

void run(const Args& args) {
  const View &grad = args.in[0], &x = args.in[1];
  const int64_t d = grad.sizes[grad.rank - 1];
  with_float_type(x.dtype,
                  [&]<class T>(T*) { silu_and_mul_backward(grad.as<T>(), x.as<T>(), args.out[0], d); });
}

}  // namespace

constinit Op silu_and_mul_backward_op{.name = "silu_and_mul_backward",
                                      .schema = "(Tensor grad, Tensor x) -> Tensor",
                                      .check = check,
                                      .outputs = {{.name = "out", .like = 1}}};
static const DefineWithCpu<silu_and_mul_backward_op, run> silu_and_mul_backward_cpu;

}  // namespace cpp_ext
