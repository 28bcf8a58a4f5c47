// An op as the wrappers see it: schema, outputs, argument checks, kernel. Nothing here needs PyTorch, so an
// op file compiles in about a second; torch/extension.h alone takes 58 s to parse.
#pragma once

#include <cstdint>
#include <string_view>

namespace cpp_ext {

constexpr int kMaxArgs = 8;
constexpr int kMaxOutputs = 4;
constexpr int kMaxDims = 64;

// The float types that the ops compute with come first.
enum class DType : uint8_t {
  f32,
  bf16,
  f16,
  u8,
  f64,
  i8,
  i16,
  i32,
  i64,
  u16,
  u32,
  u64,
  boolean,
  c64,
  c128,
  f8_e4m3fn,
  f8_e5m2,
  other
};
enum class DeviceType : uint8_t { cpu, cuda, meta, other };

struct Device {
  DeviceType type;
  int32_t index;
  bool operator==(const Device&) const = default;
};

// A tensor borrowed for the length of one call. `strides` may be null: kernels see contiguous data only.
struct View {
  void* data;
  const int64_t* sizes;
  const int64_t* strides;
  int64_t rank;
  int64_t numel;
  DType dtype;
  Device device;
  bool contiguous;
  bool fresh = false;   // allocated for this call, not given by the caller
  bool defined = true;  // false for an optional tensor that is None: no elements, no dimensions

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

union Scalar {
  double real;
  int64_t integer;  // also of a bool
};

struct Op;

// Tensors, scalars and outputs in schema order. `out` is null while arguments are checked; `stream` is the
// current GPU stream, null on the CPU.
struct Args {
  const Op& op;
  const View* in;
  const View* out;
  const Scalar* scalars;
  void* stream;
};

using Check = void (*)(const Args&);
using Run = void (*)(const Args&);

// Where a size of an output comes from: a size of an input over a divisor, or no input (-1).
struct Origin {
  int input, dimension, divisor;
};

// A shape that an op computes; common/shape.h has the functions that append to it.
struct Dims {
  int64_t rank;
  int64_t size[kMaxDims];
  Origin origin[kMaxDims];
};

// An output has the device of input `like`, its dtype unless `dtype` names another one, and its shape unless
// `shape` appends the sizes of another one to empty `dims`.
struct Output {
  const char* name = nullptr;
  int like = 0;
  void (*shape)(const Args&, Dims& dims) = nullptr;
  const char* shape_words = nullptr;  // completes "expected [4, 4], ..." when `shape` is set
  DType dtype = DType::other;
};

enum class Kind : uint8_t { tensor, real, integer, boolean };

struct Param {
  Kind kind;
  bool optional;  // Tensor?
  bool written;   // Tensor(a!)
  std::string_view name;
  std::string_view default_value;  // as in the schema, empty without one
};

// The schema, read once at load time.
struct Signature {
  int params, tensors, scalars, outputs;
  bool writes;  // at least one argument; there are no outputs then
  Param param[kMaxArgs];
  Param tensor[kMaxArgs];  // those of `param` that are tensors
};

struct Op {
  const char* name;
  const char* schema;  // without the name: "(Tensor a, Tensor? b=None, float eps) -> Tensor"
  Check check;
  Output outputs[kMaxOutputs] = {};
  bool in_place = false;     // an output may be an input: element i is read before it is written
  Signature signature = {};  // filled by `define`
  Run cpu = nullptr;         // filled by registration, as is `gpu`; what the pybind11 functions call
  Run gpu = nullptr;
  Op* next = nullptr;  // all defined ops form a list
};

// What the pybind11 module needs from the op library, handed over in a PyCapsule.
struct Library {
  const Op* ops;
};

constexpr const char* kLibraryCapsule = "cpp_ext._C._library";

}  // namespace cpp_ext
