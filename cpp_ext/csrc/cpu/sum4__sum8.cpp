// out = a + b + ..., added in this order: calls with 4 and with 8 tensors, which show what a tensor costs.
#include <utility>

#include "common/checks.h"
#include "common/elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

template <class... In>
void sum(const View& out, const In*... in) {
  elementwise<float>(out, kGrain, [](auto... x) { return (... + x); }, in...);
}

// ---- binding ----

void check(const Args& args) {
  require_dtype(args, 0, DType::f32);
  for (int i = 1; i < args.op.signature.tensors; ++i) {
    require_same_dtype(args, i, 0);
    require_same_shape(args, i, 0);
  }
}

template <int kTensors>
void run(const Args& args) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    sum(args.out[0], args.in[I].as<float>()...);
  }(std::make_index_sequence<kTensors>());
}

constexpr Op op_of(const char* name, const char* schema) {
  return {.name = name,
          .schema = schema,
          .check = check,
          .outputs = {{.name = "out", .like = 0}},
          .in_place = true};
}

}  // namespace

constinit Op sum4_op = op_of("sum4", "(Tensor a, Tensor b, Tensor c, Tensor d) -> Tensor");
constinit Op sum8_op = op_of(
    "sum8", "(Tensor a, Tensor b, Tensor c, Tensor d, Tensor e, Tensor f, Tensor g, Tensor h) -> Tensor");
static const DefineWithCpu<sum4_op, run<4>> sum4_cpu;
static const DefineWithCpu<sum8_op, run<8>> sum8_cpu;

}  // namespace cpp_ext
