// out = silu(a) b, silu(a) = a / (1 + exp(-a)), where a and b are the halves of the last dimension of x: the
// gated unit of Shazeer 2020, arXiv:2002.05202, equation 6 (SwiGLU), behind one product with both weights.
#include "common/elementwise.h"
#include "common/register.h"
#include "common/silu.h"

namespace cpp_ext {
namespace {

// Elements of the output: the grain size of gelu_tanh, whose work per element is the same (not measured).
constexpr int64_t kGrain = 1 << 15;

template <class T>
void silu_and_mul(const T* x, const View& output, int64_t d) {
  T* out = output.as<T>();
  const bool past_cache = streams<T>(output, d);
  const auto gate = [](Floats a, Floats b) { return silu_times(a, b); };
  parallel_for_blocks(output.numel, 1024, kGrain, [=](int64_t begin, int64_t end) {
    with_stream(past_cache, [=]<bool kStream>(std::bool_constant<kStream>) {
      for_row_pieces(begin, end, d, [=](int64_t row, int64_t column, int64_t n) {
        const T* a = x + 2 * row * d + column;
        apply<kStream>(out + row * d + column, n, gate, a, a + d);
      });
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_two_halves(args, 0);
}

void shape(const Args& args, Dims& dims) {
  add_half_of_last(dims, args, 0);
}

void run(const Args& args) {
  const View &x = args.in[0], &out = args.out[0];
  with_float_type(x.dtype, [&]<class T>(T*) { silu_and_mul(x.as<T>(), out, out.sizes[out.rank - 1]); });
}

}  // namespace

constinit Op silu_and_mul_op{
    .name = "silu_and_mul",
    .schema = "(Tensor x) -> Tensor",
    .check = check,
    .outputs = {
        {.name = "out", .like = 0, .shape = shape, .shape_words = "x with half of its last dimension"}}};
static const DefineWithCpu<silu_and_mul_op, run> silu_and_mul_cpu;

}  // namespace cpp_ext
