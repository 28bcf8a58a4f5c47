// Memory for the length of one call, from PyTorch's own allocator: aligned to 64 bytes. On a GPU that costs
// no call of the driver, and giving it back after the launch is safe, because whoever gets it next works on
// the same stream.
#pragma once

#include "common/op.h"

namespace cpp_ext {

class Scratch {
 public:
  // Defined in bindings/dispatcher.cpp, and once more in classic/library.cpp.
  Scratch(Device device, int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_;
  void* tensor_;
};

}  // namespace cpp_ext
