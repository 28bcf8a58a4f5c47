// sum = x + residual and rms_norm(sum) * weight, into tensors of their own; see csrc/cpu/add_rms_norm.cpp.
#include "common/gpu_add_rms.h"
#include "common/register.h"

namespace cpp_ext {

// ---- binding ----

static void run(const Args& args) {
  gpu_add_rms_norm(args, args.out[0], args.out[1]);
}

extern Op add_rms_norm_op;
static const Implement<add_rms_norm_op, run> add_rms_norm_cuda("CUDA");

}  // namespace cpp_ext
