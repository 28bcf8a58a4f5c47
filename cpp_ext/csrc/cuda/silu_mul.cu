// out = gate / (1 + exp(-gate)) * up; see csrc/cpu/silu_mul.cpp.
#include "common/gpu_elementwise.h"
#include "common/gpu_silu.h"
#include "common/register.h"

namespace cpp_ext {

// ---- binding ----

static void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    gpu_elementwise("silu_mul", args.stream, args.out[0].numel, args.out[0].as<T>(), SiluTimes{},
                    args.in[0].as<const T>(), args.in[1].as<const T>());
  });
}

extern Op silu_mul_op;
static const Implement<silu_mul_op, run> silu_mul_cuda("CUDA");

}  // namespace cpp_ext
