// gelu_tanh(x @ w1 + b1) @ w2 + b2: the MLP of GPT-2 (Radford et al. 2019), whose weights are [in, out]. Both
// products are PyTorch's own; the first bias and the GELU between them are one pass in place, while eager
// PyTorch writes the bias into the output before the product, and the GELU into another tensor.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/gelu.h"
#include "common/matmul.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;  // that of gelu_tanh

template <class T>
void bias_gelu(T* hidden, const T* bias, int64_t rows, int64_t d) {
  const auto f = [](Floats x, Floats b) { return gelu(x + b); };
  parallel_for_blocks(rows * d, 1024, kGrain, [=](int64_t begin, int64_t end) {
    for_row_pieces(begin, end, d, [=](int64_t row, int64_t column, int64_t n) {
      T* h = hidden + row * d + column;
      apply<false>(h, n, f, h, bias + column);
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  const View &x = args.in[0], &w1 = args.in[1], &w2 = args.in[3];
  require_float(args, 0);
  for (int i = 1; i < 5; ++i) require_same_dtype(args, i, 0);
  if (x.rank < 1) fail_rank(args, 0, "at least 1");
  for (int i : {1, 3})
    if (args.in[i].rank != 2) fail_rank(args, i, "2 (in, out)");
  if (w1.sizes[0] != x.sizes[x.rank - 1])
    fail_shape(args, 1, "[" + std::to_string(x.sizes[x.rank - 1]) + ", inner], the last dimension of x");
  if (w2.sizes[0] != w1.sizes[1])
    fail_shape(args, 3, "[" + std::to_string(w1.sizes[1]) + ", out], the columns of w1");
  for (int i : {2, 4}) {
    const int64_t* columns = args.in[i - 1].sizes + 1;
    if (!same_shape(args.in[i], columns, 1))
      fail_shape(args, i, shape_text(columns, 1) + ", the columns of " + name_of_input(args, i - 1));
  }
}

void shape(const Args& args, int, Dims& dims) {
  const View& x = args.in[0];
  dims.rank = x.rank;
  std::copy_n(x.sizes, x.rank, dims.size);
  dims.size[dims.rank - 1] = args.in[3].sizes[1];
}

void run(const Args& args) {
  const View &x = args.in[0], &w1 = args.in[1], &w2 = args.in[3], &out = args.out[0];
  const int64_t inner = w1.sizes[1], columns = w2.sizes[1], rows = out.numel / columns;
  const Scratch scratch(x.device, rows * inner * size_of(x.dtype));
  const Matrix hidden{scratch.as<void>(), rows, inner, inner};
  matmul(x, {x.data, rows, w1.sizes[0], w1.sizes[0]}, {w1.data, w1.sizes[0], inner, inner}, nullptr, hidden);
  with_float_type(x.dtype, [&]<class T>(T*) { bias_gelu(scratch.as<T>(), args.in[2].as<T>(), rows, inner); });
  matmul(x, hidden, {w2.data, inner, columns, columns}, args.in[4].data, {out.data, rows, columns, columns});
}

}  // namespace

constinit Op gpt2_mlp_op{
    .name = "gpt2_mlp",
    .schema = "(Tensor x, Tensor w1, Tensor b1, Tensor w2, Tensor b2) -> Tensor",
    .check = check,
    .outputs = {{.name = "out", .like = 0, .shape = shape, .shape_words = "x with the columns of w2"}}};
static const DefineWithCpu<gpt2_mlp_op, run> gpt2_mlp_cpu;

}  // namespace cpp_ext
