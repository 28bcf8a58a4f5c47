// The gradients of silu_mul by gate and up; see common/silu.h.
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/silu.h"
#include "common/stream.h"

namespace cpp_ext {
namespace {

// Elements of grad: the grain size of silu_and_mul_backward, whose work is the same (not measured).
constexpr int64_t kGrain = 1 << 14;

template <class T>
void silu_mul_backward(const T* grad, const T* gate, const T* up, const View* out) {
  T *grad_gate = out[0].as<T>(), *grad_up = out[1].as<T>();
  const bool past_cache = streams<T>(out[0], 1024) && streams<T>(out[1], 1024);
  parallel_for_blocks(out[0].numel, 1024, kGrain, [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [=]<bool kStream>(std::bool_constant<kStream>) {
      silu_times_gradients<kStream>(grad + begin, gate + begin, up + begin, grad_gate + begin,
                                    grad_up + begin, end - begin);
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  for (int i = 1; i < 3; ++i) {
    require_same_dtype(args, i, 0);
    require_same_shape(args, i, 0);
  }
}

void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    silu_mul_backward(args.in[0].as<T>(), args.in[1].as<T>(), args.in[2].as<T>(), args.out);
  });
}

}  // namespace

constinit Op silu_mul_backward_op{
    .name = "silu_mul_backward",
    .schema = "(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)",
    .check = check,
    .outputs = {{.name = "grad_gate", .like = 0}, {.name = "grad_up", .like = 0}}};
static const DefineWithCpu<silu_mul_backward_op, run> silu_mul_backward_cpu;

}  // namespace cpp_ext
