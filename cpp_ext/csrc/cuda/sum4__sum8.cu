// out = a + b + ..., added in this order: calls with 4 and with 8 tensors, which show what a tensor costs.
#include <utility>

#include "common/gpu_elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

struct Sum {
  template <class... X>
  __device__ float operator()(X... x) const {
    return (... + x);
  }
};

// ---- binding ----

template <size_t... I>
void sum(const Args& args, std::index_sequence<I...>) {
  gpu_elementwise(args.op.name, args.stream, args.out[0].numel, args.out[0].as<float>(), Sum{},
                  args.in[I].as<const float>()...);
}

template <int kTensors>
void run(const Args& args) {
  sum(args, std::make_index_sequence<kTensors>());
}

}  // namespace

extern Op sum4_op, sum8_op;
static const Implement<sum4_op, run<4>> sum4_cuda("CUDA");
static const Implement<sum8_op, run<8>> sum8_cuda("CUDA");

}  // namespace cpp_ext
