// out = a + b. Bound by memory: two reads and a write an element.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/register.h"

namespace cpp_ext {
namespace {

// Elements; docs/measurements.md, “Grain sizes”.
constexpr int64_t kGrain = 1 << 15;

template <class T>
void add(const T* a, const T* b, const View& out) {
  elementwise<T>(out, kGrain, [](Floats x, Floats y) { return x + y; }, a, b);
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  require_same_shape(args, 1, 0);
}

void run(const Args& args) {
  with_float_type(args.in[0].dtype,
                  [&]<class T>(T*) { add(args.in[0].as<T>(), args.in[1].as<T>(), args.out[0]); });
}

}  // namespace

constinit Op add_op{.name = "add",
                    .schema = "(Tensor a, Tensor b) -> Tensor",
                    .check = check,
                    .outputs = {{.name = "out", .like = 0}},
                    .in_place = true};
static const DefineWithCpu<add_op, run> add_cpu;

}  // namespace cpp_ext
