// out = a + b + c + d + e + f + g + h, added in this order: a call with 8 tensor arguments, for the dispatch
// measurements.
#include <utility>

#include "common/checks.h"
#include "common/elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

template <class... In>
void sum8(const View& out, const In*... in) {
  elementwise<float>(out, kGrain, [](auto... x) { return (... + x); }, in...);
}

// ---- binding ----

void check(const Args& args) {
  require_dtype(args, 0, DType::f32);
  for (int i = 1; i < 8; ++i) {
    require_same_dtype(args, i, 0);
    require_same_shape(args, i, 0);
  }
}

void run(const Args& args) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    sum8(args.out[0], args.in[I].as<float>()...);
  }(std::make_index_sequence<8>());
}

}  // namespace

constinit Op sum8_op{
    .name = "sum8",
    .schema = "(Tensor a, Tensor b, Tensor c, Tensor d, Tensor e, Tensor f, Tensor g, Tensor h) -> Tensor",
    .check = check,
    .outputs = {{.name = "out", .like = 0}},
    .in_place = true};
static const DefineWithCpu<sum8_op, run> sum8_cpu;

}  // namespace cpp_ext
