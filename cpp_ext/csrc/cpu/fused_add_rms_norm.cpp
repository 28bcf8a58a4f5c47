// residual = x + residual, x = rms_norm(residual) * weight, in place: what a decoder layer does between two
// of its parts. The kernel is in common/add_rms.h.
#include "common/add_rms.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// ---- binding ----

void check(const Args& args) {
  require_add_rms(args);
}

void run(const Args& args) {
  const View &x = args.in[0], &residual = args.in[1];
  // Never past the cache: what is written was just read, so its lines are there.
  with_float_type(x.dtype, [&]<class T>(T*) { add_rms_norm<T>(args, x, residual, false); });
}

}  // namespace

constinit Op fused_add_rms_norm_op{
    .name = "fused_add_rms_norm",
    .schema = "(Tensor(a!) x, Tensor(b!) residual, Tensor weight, float eps) -> ()",
    .check = check};
static const DefineWithCpu<fused_add_rms_norm_op, run> fused_add_rms_norm_cpu;

}  // namespace cpp_ext
