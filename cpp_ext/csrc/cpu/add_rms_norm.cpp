// sum = x + residual and rms_norm(sum) * weight in one pass: fused_add_rms_norm as a function. The kernel is
// in common/add_rms.h.
#include "common/add_rms.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// ---- binding ----

void check(const Args& args) {
  require_add_rms(args);
}

void run(const Args& args) {
  const View &out = args.out[0], &sum = args.out[1];
  const int64_t n = args.in[2].numel;
  with_float_type(out.dtype, [&]<class T>(T*) {
    add_rms_norm<T>(args, out, sum, streams<T>(out, n) && streams<T>(sum, n));
  });
}

}  // namespace

constinit Op add_rms_norm_op{
    .name = "add_rms_norm",
    .schema = "(Tensor x, Tensor residual, Tensor weight, float eps) -> (Tensor, Tensor)",
    .check = check,
    .outputs = {{.name = "normalised", .like = 0}, {.name = "sum", .like = 0}}};
static const DefineWithCpu<add_rms_norm_op, run> add_rms_norm_cpu;

}  // namespace cpp_ext
