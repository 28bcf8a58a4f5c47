// The tanh form of GELU, see common/gelu.h.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/gelu.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// Elements; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = 1 << 15;

template <class T>
void gelu_tanh(const T* x, const View& out) {
  elementwise<T>(out, kGrain, [](Floats v) { return gelu(v); }, x);
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
}

void run(const Args& args) {
  with_float_type(args.in[0].dtype, [&]<class T>(T*) { gelu_tanh(args.in[0].as<T>(), args.out[0]); });
}

}  // namespace

constinit Op gelu_tanh_op{.name = "gelu_tanh",
                          .schema = "(Tensor x) -> Tensor",
                          .check = check,
                          .outputs = {{.name = "out", .like = 0}},
                          .in_place = true};
static const DefineWithCpu<gelu_tanh_op, run> gelu_tanh_cpu;

}  // namespace cpp_ext
