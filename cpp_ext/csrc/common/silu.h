// silu(a) b and its gradients, of two tensors (silu_mul) or the two halves of each row (silu_and_mul).
#pragma once

#include <algorithm>
#include <array>

#include "common/checks.h"
#include "common/exp2.h"
#include "common/rows.h"
#include "common/shape.h"

namespace cpp_ext {

// 1 + exp(-x). It is infinite below -88.7, where x / (1 + exp(-x)) rounds to 0; what NaN gives is not
// defined, but the quotient is NaN.
inline Floats one_plus_exp_of_minus(Floats x) {
  constexpr float kMinusLog2e = -1.4426950408889634f;
  return 1.0f + exp2(x * kMinusLog2e);
}

// silu(a) b with silu(a) = a / (1 + exp(-a)).
inline Floats silu_times(Floats a, Floats b) {
  return a / one_plus_exp_of_minus(a) * b;
}

// Writes n elements of the gradients of silu(a) b: with s = 1 / (1 + exp(-a)), grad b s (1 + a (1 - s)) by a
// and grad a s by b. Computing the exponential again costs less than reading a stored one.
template <bool kStream, class T>
inline void silu_times_gradients(const T* grad, const T* a, const T* b, T* grad_a, T* grad_b, int64_t n) {
  write_rows<kStream>(std::array{grad_a, grad_b}, 0, n, [=](auto at) {
    const Floats g = at.load(grad), x = at.load(a), y = at.load(b);
    const Floats s = 1.0f / one_plus_exp_of_minus(x);
    return std::array{g * y * (s * (1.0f + x * (1.0f - s))), g * (x * s)};
  });
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

// Appends the shape of that output.
inline void add_half_of_last(Dims& dims, const Args& args, int i) {
  add_leading_sizes(dims, args, i);
  add_size(dims, args, i, -1, 2);
}

}  // namespace cpp_ext
