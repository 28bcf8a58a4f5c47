// out = a + b + c + d, added in this order: a call with 4 tensor arguments, for the dispatch measurements.
#include <utility>

#include "common/checks.h"
#include "common/elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

template <class... In>
void sum4(const View& out, const In*... in) {
  elementwise<float>(out, kGrain, [](auto... x) { return (... + x); }, in...);
}

// ---- binding ----

void check(const Args& args) {
  require_dtype(args, 0, DType::f32);
  for (int i = 1; i < 4; ++i) {
    require_same_dtype(args, i, 0);
    require_same_shape(args, i, 0);
  }
}

void run(const Args& args) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    sum4(args.out[0], args.in[I].as<float>()...);
  }(std::make_index_sequence<4>());
}

}  // namespace

constinit Op sum4_op{.name = "sum4",
                     .schema = "(Tensor a, Tensor b, Tensor c, Tensor d) -> Tensor",
                     .check = check,
                     .outputs = {{.name = "out", .like = 0}},
                     .in_place = true};
static const DefineWithCpu<sum4_op, run> sum4_cpu;

}  // namespace cpp_ext
