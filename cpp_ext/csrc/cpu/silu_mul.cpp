// out = silu(gate) up, silu(a) = a / (1 + exp(-a)): the gated unit of Shazeer 2020, arXiv:2002.05202,
// equation 6 (SwiGLU), behind two products. silu_and_mul takes both from the halves of one tensor.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/register.h"
#include "common/silu.h"

namespace cpp_ext {
namespace {

// Elements: the grain size of silu_and_mul, whose work per element is the same (not measured).
constexpr int64_t kGrain = 1 << 15;

template <class T>
void silu_mul(const T* gate, const T* up, const View& out) {
  elementwise<T>(out, kGrain, [](Floats a, Floats b) { return silu_times(a, b); }, gate, up);
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  require_same_shape(args, 1, 0);
}

void run(const Args& args) {
  with_float_type(args.in[0].dtype,
                  [&]<class T>(T*) { silu_mul(args.in[0].as<T>(), args.in[1].as<T>(), args.out[0]); });
}

}  // namespace

constinit Op silu_mul_op{.name = "silu_mul",
                         .schema = "(Tensor gate, Tensor up) -> Tensor",
                         .check = check,
                         .outputs = {{.name = "out", .like = 0}},
                         .in_place = true};
static const DefineWithCpu<silu_mul_op, run> silu_mul_cpu;

}  // namespace cpp_ext
