#pragma once

#include "common/op.h"

namespace cpp_ext {

// Head of the list of defined ops.
const Op* all_ops();

// Functions of libc10 on a TensorImpl, TensorImpl::requires_grad() and _fw_grad(level, tensor).
struct Accessors {
  bool (*requires_grad)(const void* impl);
  void* (*tangent)(const void* impl, uint64_t level, void* tensor);
};

void set_accessors(const Accessors& accessors);

// Code of libtorch for one of our dtypes.
int32_t code_of(DType dtype);

}  // namespace cpp_ext
