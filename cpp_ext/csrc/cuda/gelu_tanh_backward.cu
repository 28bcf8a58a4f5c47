// grad (s + x s (1 - s) 2u'), s = 1 / (1 + exp(-2u)); see csrc/cpu/gelu_tanh_backward.cpp.
#include "common/gpu_elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

struct GeluTanhGradient {
  __device__ float operator()(float grad, float x) const {
    constexpr float kTwoU = 1.5957691216057308f, kCubic = kTwoU * 0.044715f;
    constexpr float kFlat = 10.0f;
    if (x < -kFlat) return grad * 0.0f;
    const float t = x > kFlat ? kFlat : x, squared = t * t;  // NaN stays
    const float e = expf(-t * (squared * kCubic + kTwoU)), s = 1.0f / (1.0f + e);
    return grad * (s + t * (e * s * s) * (squared * (3.0f * kCubic) + kTwoU));
  }
};

}  // namespace

// ---- binding ----

static void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) {
    gpu_elementwise("gelu_tanh_backward", args.stream, args.out[0].numel, args.out[0].as<T>(),
                    GeluTanhGradient{}, args.in[0].as<const T>(), args.in[1].as<const T>());
  });
}

extern Op gelu_tanh_backward_op;
static const Implement<gelu_tanh_backward_op, run> gelu_tanh_backward_cuda("CUDA");

}  // namespace cpp_ext
