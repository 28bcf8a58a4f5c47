// Argument checks. The passing path compares integers only; words are put together after a failure.
#pragma once

#include <stdexcept>
#include <string>

#include "common/op.h"

namespace cpp_ext {

inline const char* name_of(DType dtype) {
  constexpr const char* names[] = {
      "float32", "bfloat16",  "float16",    "uint8",         "float64",     "int8",
      "int16",   "int32",     "int64",      "uint16",        "uint32",      "uint64",
      "bool",    "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "an unknown type"};
  return names[static_cast<int>(dtype)];
}

// Bytes of an element; 0 for a dtype that is not known here.
inline int64_t size_of(DType dtype) {
  constexpr uint8_t sizes[] = {4, 2, 2, 1, 8, 1, 2, 4, 8, 2, 4, 8, 1, 8, 16, 1, 1, 0};
  return sizes[static_cast<int>(dtype)];
}

inline std::string name_of(Device device) {
  switch (device.type) {
    case DeviceType::cpu:
      return "cpu";
    case DeviceType::meta:
      return "meta";
    case DeviceType::cuda:
      return "cuda:" + std::to_string(device.index);
    default:
      return "an unsupported device";
  }
}

inline std::string shape_text(const int64_t* sizes, int64_t rank) {
  std::string text = "[";
  for (int64_t i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail(const Op& op, std::string_view arg,
                                                        const std::string& message) {
  throw std::runtime_error(std::string(op.name) + ": " + std::string(arg) + " " + message);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_input(const Args& args, int i,
                                                              const std::string& message) {
  fail(args.op, args.op.signature.tensor[i].name, message);
}

inline std::string name_of_input(const Args& args, int i) {
  return std::string(args.op.signature.tensor[i].name);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_dtype(const Args& args, int i,
                                                              const std::string& expected) {
  fail_input(args, i, std::string("has dtype ") + name_of(args.in[i].dtype) + ", expected " + expected);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_shape(const Args& args, int i,
                                                              const std::string& expected) {
  fail_input(args, i,
             "has shape " + shape_text(args.in[i].sizes, args.in[i].rank) + ", expected " + expected);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_rank(const Args& args, int i,
                                                             const std::string& expected) {
  fail_input(args, i, "has " + std::to_string(args.in[i].rank) + " dimensions, expected " + expected);
}

inline bool same_shape(const View& a, const int64_t* sizes, int64_t rank) {
  if (a.rank != rank) return false;
  for (int64_t i = 0; i < rank; ++i)
    if (a.sizes[i] != sizes[i]) return false;
  return true;
}

inline void require_float(const Args& args, int i) {
  if (args.in[i].dtype > DType::f16) fail_dtype(args, i, "float32, bfloat16 or float16");
}

inline void require_dtype(const Args& args, int i, DType dtype) {
  if (args.in[i].dtype != dtype) fail_dtype(args, i, name_of(dtype));
}

inline void require_same_dtype(const Args& args, int i, int like) {
  if (args.in[i].dtype != args.in[like].dtype)
    fail_dtype(args, i, name_of(args.in[like].dtype) + (", the dtype of " + name_of_input(args, like)));
}

inline void require_same_shape(const Args& args, int i, int like) {
  const View& l = args.in[like];
  if (!same_shape(args.in[i], l.sizes, l.rank))
    fail_shape(args, i, shape_text(l.sizes, l.rank) + ", the shape of " + name_of_input(args, like));
}

// An optional tensor that is None.
inline View undefined_view() {
  View view{};
  view.dtype = DType::other;
  view.contiguous = true;
  view.defined = false;
  return view;
}

// Whether a call has anything to do: elements to write.
inline bool any_elements(const Args& args) {
  if (args.op.signature.writes) return args.in[0].numel > 0;
  for (int i = 0; i < args.op.signature.outputs; ++i)
    if (args.out[i].numel > 0) return true;
  return false;
}

// Input i is one row of input `like`, as the weight of a norm is.
inline void require_last_dimension(const Args& args, int i, int like) {
  const View& l = args.in[like];
  if (l.rank < 1) fail_rank(args, like, "at least 1");
  const int64_t* last = l.sizes + l.rank - 1;
  if (!same_shape(args.in[i], last, 1))
    fail_shape(args, i, shape_text(last, 1) + ", the last dimension of " + name_of_input(args, like));
}

// The checks that every op shares, then its own.
inline void check_inputs(const Args& args) {
  for (int i = 1; i < args.op.signature.tensors; ++i)
    if (args.in[i].defined && args.in[i].device != args.in[0].device) [[unlikely]]
      fail_input(args, i,
                 "is on " + name_of(args.in[i].device) + ", expected " + name_of(args.in[0].device) +
                     ", the device of " + name_of_input(args, 0));
  args.op.check(args);
}

// What output `i` must look like; `dims` holds a computed shape for as long as the view is used.
inline void output_like(View& view, const Args& args, int i, Dims& dims) {
  const Output& spec = args.op.outputs[i];
  const View& like = args.in[spec.like];
  view.data = nullptr;
  view.sizes = like.sizes;
  view.rank = like.rank;
  view.numel = like.numel;
  view.dtype = spec.dtype == DType::other ? like.dtype : spec.dtype;
  view.device = like.device;
  view.strides = nullptr;
  view.contiguous = true;
  view.fresh = true;
  if (spec.shape) {
    dims.rank = 0;
    spec.shape(args, dims);
    view.sizes = dims.size;
    view.rank = dims.rank;
    view.numel = 1;
    for (int64_t d = 0; d < dims.rank; ++d) view.numel *= dims.size[d];
  }
}

// Both contiguous. Empty tensors, and those without data (fake, meta), overlap nothing.
inline bool overlap(const View& a, const View& b) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a.data), b_begin = reinterpret_cast<uintptr_t>(b.data);
  const auto a_bytes = static_cast<uintptr_t>(a.numel * size_of(a.dtype));
  const auto b_bytes = static_cast<uintptr_t>(b.numel * size_of(b.dtype));
  if (!a.data || !b.data || a_bytes == 0 || b_bytes == 0) return false;
  return a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

// A kernel must not read what it has written. Inputs that are not contiguous are copied before it runs.
inline void check_overlaps(const Args& args) {
  const Op& op = args.op;
  const auto refuse = [&op](int i, std::string_view other) {
    fail(op, op.outputs[i].name, "overlaps " + std::string(other) + " in memory, expected memory of its own");
  };
  for (int i = 0; i < op.signature.outputs; ++i) {
    const View& out = args.out[i];
    for (int j = 0; j < op.signature.tensors; ++j) {
      const View& in = args.in[j];
      if (!in.contiguous || !overlap(out, in)) continue;
      if (!op.in_place || out.data != in.data || out.numel != in.numel || out.dtype != in.dtype)
        refuse(i, op.signature.tensor[j].name);
    }
    for (int j = 0; j < i; ++j)
      if (overlap(out, args.out[j])) refuse(i, op.outputs[j].name);
  }
}

// Outputs handed in by the caller.
inline void check_outputs(const Args& args) {
  const Op& op = args.op;
  Dims dims;
  for (int i = 0; i < op.signature.outputs; ++i) {
    const Output& spec = op.outputs[i];
    const View& out = args.out[i];
    View expected;
    output_like(expected, args, i, dims);
    const auto like = name_of_input(args, spec.like);
    if (out.device != expected.device)
      fail(op, spec.name,
           "is on " + name_of(out.device) + ", expected " + name_of(expected.device) + ", the device of " +
               like);
    if (out.dtype != expected.dtype)
      fail(op, spec.name,
           std::string("has dtype ") + name_of(out.dtype) + ", expected " + name_of(expected.dtype) +
               (spec.dtype == DType::other ? ", the dtype of " + like : ""));
    if (!same_shape(out, expected.sizes, expected.rank))
      fail(op, spec.name,
           "has shape " + shape_text(out.sizes, out.rank) + ", expected " +
               shape_text(expected.sizes, expected.rank) + ", " +
               (spec.shape ? std::string(spec.shape_words) : "the shape of " + like));
    if (!out.contiguous) fail(op, spec.name, "is not contiguous, expected a contiguous tensor");
  }
  check_overlaps(args);
}

// Arguments that the op writes, Tensor(a!).
inline void check_written(const Args& args) {
  const Signature& sig = args.op.signature;
  for (int i = 0; i < sig.tensors; ++i) {
    if (!sig.tensor[i].written) continue;
    if (!args.in[i].contiguous) fail_input(args, i, "is not contiguous, expected a contiguous tensor");
    for (int j = 0; j < sig.tensors; ++j)
      if (j != i && args.in[j].contiguous && overlap(args.in[i], args.in[j]))
        fail_input(args, i, "overlaps " + name_of_input(args, j) + " in memory, expected memory of its own");
  }
}

}  // namespace cpp_ext
