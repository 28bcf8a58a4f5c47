// Registration of an op with the dispatcher: one definition, then one implementation a device.
#pragma once

#include "common/op.h"

namespace cpp_ext {

// The boxed calling convention of the stable ABI: arguments in, results out, on one stack of 64-bit values.
using Boxed = void (*)(uint64_t* stack, uint64_t arguments, uint64_t results);

// Defined in bindings/dispatcher.cpp, and define() once more in classic/library.cpp.
void define(Op& op);
void implement(const Op& op, const char* dispatch_key, Boxed functional, Boxed out, Boxed autograd);
void call(const Op& op, Run run, uint64_t* stack);
void call_out(const Op& op, Run run, uint64_t* stack);
void call_autograd(const Op& op, uint64_t* stack);

// Defines <op>, <op>.no_grad and <op>.out, with the CPU implementation.
template <Op& op, Run run>
struct DefineWithCpu {
  DefineWithCpu();
};

template <Op& op, Run run>
struct Implement {
  explicit Implement(const char* dispatch_key) {
    (std::string_view(dispatch_key) == "CPU" ? op.cpu : op.gpu) = run;
#if !defined(CPP_EXT_CLASSIC)  // there the typed functions find the kernel in `op`
    implement(
        op, dispatch_key, [](uint64_t* stack, uint64_t, uint64_t) { call(op, run, stack); },
        [](uint64_t* stack, uint64_t, uint64_t) { call_out(op, run, stack); },
        [](uint64_t* stack, uint64_t, uint64_t) { call_autograd(op, stack); });
#endif
  }
};

template <Op& op, Run run>
DefineWithCpu<op, run>::DefineWithCpu() {
  define(op);
  Implement<op, run>("CPU");
}

}  // namespace cpp_ext
