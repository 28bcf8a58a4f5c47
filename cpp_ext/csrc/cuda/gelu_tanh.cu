// gelu_tanh(x) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3); see csrc/cpu/gelu_tanh.cpp.
#include "common/gpu_elementwise.h"
#include "common/register.h"

namespace cpp_ext {

struct GeluTanh {
  __device__ float operator()(float x) const {
    constexpr float kMinusTwoSqrtTwoOverPi = -1.5957691216057308f;
    return x / (1.0f + expf(kMinusTwoSqrtTwoOverPi * (x + 0.044715f * (x * x * x))));
  }
};

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
