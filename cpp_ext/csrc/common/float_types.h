// Storage types of the two 16-bit float formats. Arithmetic is always done in float32.
#pragma once

#include <cstdint>

#include "common/op.h"

namespace cpp_ext {

struct BF16 {
  uint16_t bits;
};

struct F16 {
  uint16_t bits;
};

// Calls `f` with a null pointer of the storage type of `dtype`, one of the three float types.
template <class F>
void with_float_type(DType dtype, const F& f) {
  if (dtype == DType::f32) {
    f(static_cast<float*>(nullptr));
  } else if (dtype == DType::bf16) {
    f(static_cast<BF16*>(nullptr));
  } else {
    f(static_cast<F16*>(nullptr));
  }
}

}  // namespace cpp_ext
