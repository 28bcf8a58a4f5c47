#pragma once

#include "common/op.h"

namespace cpp_ext {

// Head of the list of defined ops.
const Op* all_ops();

// What a kernel must know about tensors that the stable ABI does not tell: functions and facts of libc10.
// _derivatives.py and _autograd_kernel.py find them; zeros where a PyTorch has another layout.
struct Accessors {
  bool (*requires_grad)(const void* impl);                           // TensorImpl::requires_grad()
  void* (*tangent)(const void* impl, uint64_t level, void* tensor);  // TensorImpl::_fw_grad(level, tensor)
  // For the kernel of the Autograd keys.
  bool (*key_included)(uint16_t key);  // c10::impl::tls_is_dispatch_key_included(key)
  uint64_t python_key;                 // DispatchKey::Python, included while a mode is active
  uint64_t key_set;                    // offset of the dispatch keys in a TensorImpl, in bytes
  uint64_t cpu_keys, cuda_keys;        // the dispatch keys of a plain tensor
  int64_t (*dim)(const void* impl);    // TensorImpl::dim_custom()
  const void* raising;                 // a TensorImpl whose dim() raises the last error of a formula
};

void set_accessors(const Accessors& accessors);

// Registers the kernel of the Autograd keys of an op that has a gradient formula. False where there is no
// such op.
bool implement_autograd(std::string_view name);

// Code of libtorch for one of our dtypes.
int32_t code_of(DType dtype);

}  // namespace cpp_ext
