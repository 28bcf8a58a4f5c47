// The tanh form of GELU, see common/gelu.h.
#include "common/gpu_elementwise.h"
#include "common/gpu_gelu.h"
#include "common/register.h"

namespace cpp_ext {

// ---- binding ----

static void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    gpu_elementwise("gelu_tanh", args.stream, args.out[0].numel, args.out[0].as<T>(), GeluTanh{},
                    args.in[0].as<const T>());
  });
}

extern Op gelu_tanh_op;
static const Implement<gelu_tanh_op, run> gelu_tanh_cuda("CUDA");

}  // namespace cpp_ext
