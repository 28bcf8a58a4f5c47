// Cross entropy of logits and class indices. With lse the logarithm of the sum of e^x over a row, and s the
// label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7), the loss of a row is
// (1 - s) (lse - x[target]) + s (lse - mean(x)). Each row is read once, nothing of its length is stored.
#include "common/cross_entropy.h"

#include <cmath>
#include <limits>

#include "common/log_sum_exp.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/shape.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements

// Losses are added up in groups of rows, then these, so the result does not depend on the number of threads.
constexpr int64_t kGroups = 256;

template <class T>
struct CrossEntropy {
  const T* logits;
  const int64_t* target;
  double* lse;
  int64_t classes;
  CrossEntropyOptions options;

  bool smooth() const { return options.smoothing != 0.0f; }

  RowSums sums_of(int64_t i, int64_t first, int64_t last) const {
    const auto value = [x = logits + i * classes](auto at) { return at.load(x); };
    return smooth() ? max_and_sum<true>(first, last, value) : max_and_sum<false>(first, last, value);
  }

  // The loss of a row, 0 where its target is ignored; stores its lse in any case.
  float loss_from(const RowSums& sums, int64_t i) const {
    const float log_sum = std::log(sums.sum);
    lse[i] = static_cast<double>(sums.max) + log_sum;
    if (target[i] == options.ignore_index) return 0.0f;
    // Not lse - x[target]: where the two are large and close, lse has lost what is left.
    const float loss = sums.max - element(logits + i * classes + target[i]) + log_sum;
    if (!smooth()) return loss;
    const float mean = sums.total / static_cast<float>(classes);
    return (1.0f - options.smoothing) * loss + options.smoothing * (sums.max - mean + log_sum);
  }

  float loss_of(int64_t i) const { return loss_from(sums_of(i, 0, classes), i); }
};

// The sum over groups of rows, or the loss of each where reduction is kNone.
template <class T>
double losses(const CrossEntropy<T>& rows, T* out, int64_t n) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, rows.classes));
  if (rows.options.reduction == kNone) {
    parallel_for(n, grain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) set_element(out + i, rows.loss_of(i));
    });
    return 0.0;
  }
  double sums[kGroups] = {};
  const int64_t rows_in_group = std::max<int64_t>(1, (n + kGroups - 1) / kGroups);
  parallel_for((n + rows_in_group - 1) / rows_in_group, std::max<int64_t>(1, grain / rows_in_group),
               [&](int64_t begin, int64_t end) {
                 for (int64_t group = begin; group < end; ++group)
                   for (int64_t i = group * rows_in_group; i < std::min(n, (group + 1) * rows_in_group); ++i)
                     sums[group] += rows.loss_of(i);
               });
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

// The same for few long rows, each of which is split over threads.
template <class T>
double losses_in_parts(const CrossEntropy<T>& rows, T* out, int64_t n, int64_t parts) {
  RowSums sums[kRowParts];
  parallel_for(n * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t part = item % parts, first = part_of_row(part, parts, rows.classes);
      sums[item] = rows.sums_of(item / parts, first, part_of_row(part + 1, parts, rows.classes));
    }
  });
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    RowSums all;
    for (int64_t part = 0; part < parts; ++part) all.merge(sums[i * parts + part]);
    const float loss = rows.loss_from(all, i);
    sum += loss;
    if (rows.options.reduction == kNone) set_element(out + i, loss);
  }
  return sum;
}

template <class T>
void cross_entropy(const CrossEntropy<T>& rows, T* out, int64_t n, int64_t counted) {
  const int64_t reduction = rows.options.reduction, parts = parts_of_row(n, rows.classes);
  double sum = parts > 1 ? losses_in_parts(rows, out, n, parts) : losses(rows, out, n);
  if (reduction == kNone) return;
  // The mean over no row is NaN, as in PyTorch.
  if (reduction == kMean) sum = counted ? sum / static_cast<double>(counted) : NAN;
  set_element(out, static_cast<float>(sum));
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  check_cross_entropy(args, 0, 1);
}

void loss_shape(const Args& args, Dims& dims) {
  if (args.scalars[2].integer == kNone) add_size(dims, args, 0, 0);
}

void lse_shape(const Args& args, Dims& dims) {
  add_size(dims, args, 0, 0);
}

void run(const Args& args) {
  const View &logits = args.in[0], &target = args.in[1];
  const CrossEntropyOptions options(args.scalars);
  const int64_t n = logits.sizes[0], classes = logits.sizes[1];
  const int64_t counted = check_targets(args, 1, classes, options.ignore_index);
  with_float_type(logits.dtype, [&]<class T>(T*) {
    const CrossEntropy<T> rows{logits.as<T>(), target.as<int64_t>(), args.out[1].as<double>(), classes,
                               options};
    cross_entropy(rows, args.out[0].as<T>(), n, counted);
  });
}

}  // namespace

constinit Op cross_entropy_op{
    .name = "cross_entropy",
    .schema =
        "(Tensor logits, Tensor target, float label_smoothing, int ignore_index, int reduction) -> "
        "(Tensor, Tensor)",
    .check = check,
    .outputs = {{.name = "loss",
                 .like = 0,
                 .shape = loss_shape,
                 .shape_words = "the rows of logits for reduction 0, else a scalar"},
                {.name = "lse",
                 .like = 0,
                 .shape = lse_shape,
                 .shape_words = "the rows of logits",
                 .dtype = DType::f64}}};
static const DefineWithCpu<cross_entropy_op, run> cross_entropy_cpu;

}  // namespace cpp_ext
