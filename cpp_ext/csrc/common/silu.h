// What silu_and_mul and its gradient share: the sigmoid, and inputs whose rows hold two halves.
#pragma once

#include <algorithm>

#include "common/checks.h"
#include "common/exp2.h"

namespace cpp_ext {

// 1 + exp(-x). It is infinite below -88.7, where x / (1 + exp(-x)) rounds to 0; what NaN gives is not
// defined, but the quotient is NaN.
inline Floats one_plus_exp_of_minus(Floats x) {
  constexpr float kMinusLog2e = -1.4426950408889634f;
  return 1.0f + exp2(x * kMinusLog2e);
}

// An input [..., 2d] and the output [..., d].
inline void require_two_halves(const Args& args, int i) {
  const View& x = args.in[i];
  if (x.rank < 1) fail_rank(args, i, "at least 1");
  if (x.sizes[x.rank - 1] % 2 != 0)
    fail_input(
        args, i,
        "has a last dimension of " + std::to_string(x.sizes[x.rank - 1]) + ", expected an even number");
}

inline void half_of_last(const View& x, Dims& dims) {
  dims.rank = x.rank;
  std::copy_n(x.sizes, x.rank, dims.size);
  dims.size[x.rank - 1] /= 2;
}

}  // namespace cpp_ext
