// pick: out[i, :] = scale * x[rows[i], :] + sum(x[rows[i], :]), correct as it stands. Each fault is a small edit of it.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <span>
#include <vector>

#include "common/simd.h"

using cpp_ext::kLanes, cpp_ext::load, cpp_ext::store;
using torch::stable::Tensor;

// scaled = scale * row; returns the sum of the row.
static float scale_row(std::span<float> scaled, std::span<const float> row, float scale) {
  float sum = 0;
  for (size_t c = 0; c < row.size(); ++c) {
    scaled[c] = scale * row[c];
    sum += row[c];
  }
  return sum;
}

// y = scaled + sum, a vector at a time, then the tail.
static void shift_row(std::span<float> y, std::span<const float> scaled, float sum) {
  size_t c = 0;
  for (; c + kLanes <= y.size(); c += kLanes) store(&y[c], load(&scaled[c]) + sum);
  for (; c < y.size(); ++c) y[c] = scaled[c] + sum;
}

static void pick_rows(const float* x, const int64_t* rows, float* out, int64_t n, int64_t cols, float scale) {
  const int64_t tasks = std::max<int64_t>(1, n * cols / 4096);
  const int64_t grain = n / tasks + 1;
  torch::stable::parallel_for(0, n, grain, [=](int64_t first, int64_t last) {
    std::vector<float> scaled(cols);
    for (int64_t i = first; i < last; ++i) {
      const int64_t offset = rows[i] * cols;
      const std::span<const float> row(x + offset, cols);
      const std::span<float> y(out + i * cols, cols);
      const float sum = scale_row(scaled, row, scale);
      shift_row(y, scaled, sum);
    }
  });
}

static Tensor pick(const Tensor& x, const Tensor& rows, double scale) {
  STD_TORCH_CHECK(x.scalar_type() == torch::headeronly::ScalarType::Float, "pick: x is not float32");
  STD_TORCH_CHECK(x.dim() == 2, "pick: x has ", x.dim(), " dimensions, expected 2");
  STD_TORCH_CHECK(rows.dim() == 1, "pick: rows has ", rows.dim(), " dimensions, expected 1");
  STD_TORCH_CHECK(x.is_contiguous() && rows.is_contiguous(), "pick: x and rows must be contiguous");
  const int64_t n = rows.size(0), cols = x.size(1);
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i)
    STD_TORCH_CHECK(row[i] >= 0 && row[i] < x.size(0), "pick: rows has ", row[i], ", not a row of x");
  Tensor out = torch::stable::new_empty(x, {n, cols});
  if (out.numel()) pick_rows(x.const_data_ptr<float>(), row, out.mutable_data_ptr<float>(), n, cols, scale);
  return out;
}

STABLE_TORCH_LIBRARY(faults, m) {
  m.def("pick(Tensor x, Tensor rows, float scale) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(faults, CPU, m) {
  m.impl("pick", TORCH_BOX(&pick));
}
