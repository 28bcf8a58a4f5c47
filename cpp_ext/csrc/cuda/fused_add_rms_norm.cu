// sum = x + residual and rms_norm(sum) * weight, into x and residual; see csrc/cpu/fused_add_rms_norm.cpp.
#include "common/gpu_add_rms.h"
#include "common/register.h"

namespace cpp_ext {

// ---- binding ----

static void run(const Args& args) {
  gpu_add_rms_norm(args, args.in[0], args.in[1]);
}

extern Op fused_add_rms_norm_op;
static const Implement<fused_add_rms_norm_op, run> fused_add_rms_norm_cuda("CUDA");

}  // namespace cpp_ext
