// Gradients of rms_norm, csrc/cpu/rms_norm.cpp. With s = 1 / sqrt(mean(x^2) + eps) and q = grad * weight:
//   grad_x = s q - x s^3 mean(q x), grad_weight = sum(grad x s),
// the mean over a row, the sum over all rows (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4,
// differentiated). s is computed again: one pass gives it with the mean, a second one the gradients.
#include "common/register.h"
#include "common/row_gradients.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 15;

// grad_x = q * scale - x * along
struct RowFactors {
  float scale, along;
};

template <class T>
RowFactors factors_of(const T* grad, const T* x, const T* weight, int64_t n, float eps) {
  const auto [squares, products] = sums_of_row<2>(n, [=](Floats* sum, auto at) {
    const Floats v = at.load(x);
    sum[0] += v * v;
    sum[1] += at.load(grad) * at.load(weight) * v;
  });
  const float count = static_cast<float>(n), scale = 1.0f / std::sqrt(squares / count + eps);
  return {scale, scale * scale * (scale * products / count)};
}

template <bool kStream, int kRows, class T>
void rms_norm_backward_rows(const T* grad, const T* x, const T* weight, T* grad_x, int64_t n, float eps,
                            float* grad_weight) {
  RowFactors row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = factors_of(grad + r * n, x + r * n, weight, n, eps);
  along_lines<T>(n, [&]<class At, size_t kVectors>(const std::array<At, kVectors>& at) {
    std::array<Floats, kRows> for_weight[kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      prefetch(grad + (r + kRows) * n, at[0].i);
      prefetch(x + (r + kRows) * n, at[0].i);
      Floats y[kVectors];
#pragma GCC unroll 8
      for (size_t k = 0; k < kVectors; ++k) {
        const Floats g = at[k].load(grad + r * n) * row[r].scale, v = at[k].load(x + r * n);
        for_weight[k][r] = g * v;
        y[k] = g * at[k].load(weight) - v * row[r].along;
      }
      write_line<kStream>(grad_x + r * n, at, y);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < kVectors; ++k)
      at[k].store(grad_weight, at[k].load(grad_weight) + sum_of_rows(for_weight[k]));
  });
}

template <class T>
void rms_norm_backward(const T* grad, const T* x, const T* weight, const View* out, int64_t rows, int64_t n,
                       float eps) {
  T* grad_x = out[0].as<T>();
  const std::array<T*, 1> over_rows = {out[1].as<T>()};
  const auto do_rows = [=]<int kRows, bool kStream>(int64_t row, const std::array<float*, 1>& sums) {
    const int64_t i = row * n;
    rms_norm_backward_rows<kStream, kRows>(grad + i, x + i, weight, grad_x + i, n, eps, sums[0]);
  };
  sum_over_rows<1>(rows, n, kGrain, streams<T>(out[0], n), over_rows, do_rows);
}

// ---- binding ----

void run(const Args& args) {
  const View &grad = args.in[0], &x = args.in[1], &weight = args.in[2];
  const int64_t n = weight.numel;
  const float eps = static_cast<float>(args.scalars[0].real);
  with_float_type(x.dtype, [&]<class T>(T*) {
    rms_norm_backward(grad.as<const T>(), x.as<const T>(), weight.as<const T>(), args.out,
                      n ? x.numel / n : 0, n, eps);
  });
}

}  // namespace

constinit Op rms_norm_backward_op{
    .name = "rms_norm_backward",
    .schema = "(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)",
    .check = check_norm_gradient,
    .outputs = {{.name = "grad_x", .like = 1}, {.name = "grad_weight", .like = 2}}};
static const DefineWithCpu<rms_norm_backward_op, run> rms_norm_backward_cpu;

}  // namespace cpp_ext
