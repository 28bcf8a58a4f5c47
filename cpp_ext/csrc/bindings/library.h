#pragma once

#include "common/op.h"

namespace cpp_ext {

// Head of the list of defined ops.
const Op* all_ops();

// Code of libtorch for one of our dtypes.
int32_t code_of(DType dtype);

}  // namespace cpp_ext
