// Argument checks of cross_entropy and its gradient. Needs neither PyTorch nor a GPU.
#pragma once

#include "common/checks.h"

namespace cpp_ext {

constexpr int kNone = 0, kMean = 1, kSum = 2;  // as in ATen's Reduction

// The scalars of both schemas, in their order.
struct CrossEntropyOptions {
  float smoothing;
  int64_t ignore_index;
  int64_t reduction;

  explicit CrossEntropyOptions(const Scalar* scalars)
      : smoothing(static_cast<float>(scalars[0].real)),
        ignore_index(scalars[1].integer),
        reduction(scalars[2].integer) {}
};

inline void check_cross_entropy(const Args& args, int logits, int target) {
  const View& x = args.in[logits];
  if (x.rank != 2) fail_rank(args, logits, "2 (rows, classes)");
  require_dtype(args, target, DType::i64);
  if (!same_shape(args.in[target], x.sizes, 1))
    fail_shape(args, target, shape_text(x.sizes, 1) + ", the rows of " + name_of_input(args, logits));
  const double smoothing = args.scalars[0].real;
  if (!(smoothing >= 0.0 && smoothing <= 1.0))
    fail(args.op, "label_smoothing", "is " + std::to_string(smoothing) + ", expected a number from 0 to 1");
  const int64_t reduction = args.scalars[2].integer;
  if (reduction < kNone || reduction > kSum)
    fail(args.op, "reduction",
         "is " + std::to_string(reduction) + ", expected 0 (none), 1 (mean) or 2 (sum)");
}

// Checks all targets, on the CPU, before any is used as an index. Returns how many are not ignored.
inline int64_t check_targets(const Args& args, int i, int64_t classes, int64_t ignore_index) {
  const View& target = args.in[i];
  const int64_t* at = target.as<int64_t>();
  int64_t counted = 0;
  for (int64_t row = 0; row < target.numel; ++row) {
    if (at[row] == ignore_index) continue;
    ++counted;
    if (at[row] < 0 || at[row] >= classes) [[unlikely]]
      fail_input(args, i,
                 "has the value " + std::to_string(at[row]) + " in row " + std::to_string(row) +
                     ", expected 0 to " + std::to_string(classes - 1) + " or ignore_index, " +
                     std::to_string(ignore_index));
  }
  return counted;
}

}  // namespace cpp_ext
