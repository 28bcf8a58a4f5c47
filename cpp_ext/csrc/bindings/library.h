#pragma once

#include "common/op.h"

namespace cpp_ext {

// Head of the list of defined ops.
const Op* all_ops();

}  // namespace cpp_ext
