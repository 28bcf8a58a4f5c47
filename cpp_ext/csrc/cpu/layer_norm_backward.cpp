// Gradients of layer_norm, csrc/cpu/layer_norm.cpp. With h = (x - mean) / sqrt(var + eps), the normalised
// row, and q = grad * weight:
//   grad_x = (q - mean(q) - h mean(q h)) / sqrt(var + eps), grad_weight = sum(grad h), grad_bias = sum(grad),
// the means over a row, the sums over all rows (Ba, Kiros and Hinton 2016, arXiv:1607.06450, equation 4,
// differentiated). The moments are computed again: one pass gives them with the two means, a second one the
// gradients.
#include "common/moments.h"
#include "common/register.h"
#include "common/row_gradients.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

// grad_x = (q - mean - h * along) * scale
struct RowFactors {
  Moments moments;
  float mean, along;
};

template <class T>
RowFactors factors_of(const T* grad, const T* x, const T* weight, int64_t n, float eps) {
  std::array<float, 2> sums;
  Moments m = moments_of<2>(x, n, eps, sums, [=](Floats* sum, auto at, Floats d) {
    const Floats q = at.load(grad) * at.load(weight);
    sum[0] += q;
    sum[1] += q * d;
  });
  if (n == 1) m.scale = 0.0f;  // nothing depends on a single value, and no rounding shall
  const float count = static_cast<float>(n);
  return {m, sums[0] / count, (sums[1] * m.scale + sums[0] * m.offset) / count};
}

template <bool kStream, int kRows, class T>
void layer_norm_backward_rows(const T* grad, const T* x, const T* weight, T* grad_x, int64_t n, float eps,
                              float* grad_weight, float* grad_bias) {
  RowFactors row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = factors_of(grad + r * n, x + r * n, weight, n, eps);
  along_lines<T>(n, [&]<class At, size_t kVectors>(const std::array<At, kVectors>& at) {
    std::array<Floats, kRows> for_weight[kVectors], for_bias[kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      prefetch(grad + (r + kRows) * n, at[0].i);
      prefetch(x + (r + kRows) * n, at[0].i);
      Floats y[kVectors];
#pragma GCC unroll 8
      for (size_t k = 0; k < kVectors; ++k) {
        const Floats g = at[k].load(grad + r * n), h = row[r].moments.normalised(at[k].load(x + r * n));
        for_weight[k][r] = g * h;
        for_bias[k][r] = g;
        y[k] = (g * at[k].load(weight) - row[r].mean - h * row[r].along) * row[r].moments.scale;
      }
      write_line<kStream>(grad_x + r * n, at, y);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < kVectors; ++k) {
      at[k].store(grad_weight, at[k].load(grad_weight) + sum_of_rows(for_weight[k]));
      at[k].store(grad_bias, at[k].load(grad_bias) + sum_of_rows(for_bias[k]));
    }
  });
}

template <class T>
void layer_norm_backward(const T* grad, const T* x, const T* weight, const View* out, int64_t rows, int64_t n,
                         float eps) {
  T* grad_x = out[0].as<T>();
  const std::array<T*, 2> over_rows = {out[1].as<T>(), out[2].as<T>()};
  const auto do_rows = [=]<int kRows, bool kStream>(int64_t row, const std::array<float*, 2>& sums) {
    const int64_t i = row * n;
    layer_norm_backward_rows<kStream, kRows>(grad + i, x + i, weight, grad_x + i, n, eps, sums[0], sums[1]);
  };
  sum_over_rows<2>(rows, n, kGrain, streams<T>(out[0], n), over_rows, do_rows);
}

// ---- binding ----

void run(const Args& args) {
  const View &grad = args.in[0], &x = args.in[1], &weight = args.in[2];
  const int64_t n = weight.numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(x.dtype, [&]<class T>(T*) {
    layer_norm_backward(grad.as<const T>(), x.as<const T>(), weight.as<const T>(), args.out,
                        n ? x.numel / n : 0, n, eps);
  });
}

}  // namespace

constinit Op layer_norm_backward_op{
    .name = "layer_norm_backward",
    .schema = "(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor, Tensor)",
    .check = check_norm_gradient,
    .outputs = {
        {.name = "grad_x", .like = 1}, {.name = "grad_weight", .like = 2}, {.name = "grad_bias", .like = 2}}};
static const DefineWithCpu<layer_norm_backward_op, run> layer_norm_backward_cpu;

}  // namespace cpp_ext
