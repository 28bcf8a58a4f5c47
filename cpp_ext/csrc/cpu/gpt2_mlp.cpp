// gelu_tanh(x @ w1 + b1) @ w2 + b2: the MLP of GPT-2 (Radford et al. 2019), whose weights are [in, out]. A
// few rows, as in decoding, are one pass over the weights (few_rows.h). For more of them both products are
// PyTorch's own; the first bias and the GELU between them are one pass in place, while eager PyTorch writes
// the bias into the output before the product, and the GELU into another tensor. In a dtype that PyTorch has
// no product for on this CPU, blocks of the weights are widened and multiplied in float32.
#include "common/checks.h"
#include "common/elementwise.h"
#include "common/few_rows.h"
#include "common/gelu.h"
#include "common/matmul.h"
#include "common/register.h"
#include "common/scratch.h"
#include "common/shape.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;      // that of gelu_tanh
constexpr int64_t kWideBytes = 8 << 20;  // of weights widened at a time

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

// Rows that lie `stride` apart, densely in float32.
template <class T>
void widen(float* wide, const T* from, int64_t rows, int64_t columns, int64_t stride) {
  parallel_for_blocks(rows * columns, 1024, kGrain, [=](int64_t begin, int64_t end) {
    for_row_pieces(begin, end, columns, [=](int64_t row, int64_t column, int64_t n) {
      apply<false>(
          wide + row * columns + column, n, [](Floats v) { return v; }, from + row * stride + column);
    });
  });
}

// y = f(x @ w, bias), in float32 but for the operands.
template <class T, class F>
void layer_in_float(const View& x, int64_t rows, const View& w, const T* bias, T* y, const F& f) {
  const int64_t inputs = w.sizes[0], outputs = w.sizes[1];
  const int64_t block =
      std::min(outputs, std::max<int64_t>(1, kWideBytes / 4 / std::max<int64_t>(1, inputs)));
  const Scratch wide_x(x.device, rows * inputs * 4), wide_w(x.device, inputs * block * 4),
      product(x.device, rows * block * 4);
  View like = x;
  like.dtype = DType::f32;
  widen(wide_x.as<float>(), x.as<const T>(), rows, inputs, inputs);
  for (int64_t first = 0; first < outputs; first += block) {
    const int64_t columns = std::min(block, outputs - first);
    widen(wide_w.as<float>(), w.as<const T>() + first, inputs, columns, outputs);
    matmul(like, {wide_x.as<void>(), rows, inputs, inputs}, {wide_w.as<void>(), inputs, columns, columns},
           nullptr, {product.as<void>(), rows, columns, columns});
    const float* sums = product.as<const float>();
    parallel_for_blocks(rows * columns, 1024, kGrain, [=](int64_t begin, int64_t end) {
      for_row_pieces(begin, end, columns, [=](int64_t row, int64_t column, int64_t n) {
        apply<false>(y + row * outputs + first + column, n, f, sums + row * columns + column,
                     bias + first + column);
      });
    });
  }
}

template <class T>
void mlp_in_float(const Args& args, int64_t rows, const Scratch& scratch) {
  const View &w1 = args.in[1], &w2 = args.in[3];
  View hidden = args.in[0];
  layer_in_float(args.in[0], rows, w1, args.in[2].as<const T>(), scratch.as<T>(),
                 [](Floats x, Floats b) { return gelu(x + b); });
  hidden.data = scratch.as<void>();
  layer_in_float(hidden, rows, w2, args.in[4].as<const T>(), args.out[0].as<T>(),
                 [](Floats x, Floats b) { return x + b; });
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

void shape(const Args& args, Dims& dims) {
  add_leading_sizes(dims, args, 0);
  add_size(dims, args, 3, 1);
}

void run(const Args& args) {
  const View &x = args.in[0], &w1 = args.in[1], &w2 = args.in[3], &out = args.out[0];
  const int64_t inner = w1.sizes[1], columns = w2.sizes[1], rows = out.numel / columns;
  const Scratch scratch(x.device, rows * inner * size_of(x.dtype));
  if (is_few(rows, x.dtype)) {
    with_float_type(x.dtype, [&]<class T>(T*) {
      few_rows(x.device, rows, x.as<const T>(), w1.sizes[0], w1.as<const T>(), inner,
               args.in[2].as<const T>(), scratch.as<T>(), [](Floats v, Floats b) { return gelu(v + b); });
      few_rows(x.device, rows, scratch.as<const T>(), inner, w2.as<const T>(), columns,
               args.in[4].as<const T>(), out.as<T>(), [](Floats v, Floats b) { return v + b; });
    });
    return;
  }
  if (!has_product(x.dtype)) {
    with_float_type(x.dtype, [&]<class T>(T*) { mlp_in_float<T>(args, rows, scratch); });
    return;
  }
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
