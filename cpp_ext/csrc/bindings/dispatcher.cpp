// The op library's side of PyTorch's stable ABI: schema registration and the boxed calls. Handles of the C
// shim are used as they come: torch::stable::Tensor would add a shared_ptr for each tensor of each call.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/shim_utils.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bindings/library.h"
#include "bindings/signature.h"
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {

static Op* first_op = nullptr;

// Zeros until _load.py hands them over.
static Accessors accessors{};

void set_accessors(const Accessors& functions) {
  accessors = functions;
}

const Op* all_ops() {
  return first_op;
}

void pool_parallel_for(int64_t n, int64_t grain, RangeFunction f, void* context) {
  TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, n, grain, f, context));
}

namespace {

using torch::stable::detail::StableLibrary;

// Libraries stay registered until the process ends: the order of destruction at exit is not ours.
StableLibrary& library(StableLibrary::Kind kind, const char* key) {
  return *new StableLibrary(kind, "cpp_ext", key, __FILE__, __LINE__);
}

std::string out_schema(const Op& op) {
  const std::string_view text(op.schema);
  std::string schema =
      op.name + std::string(".out") + std::string(text.substr(0, text.find(") -> "))) + ", *";
  for (int i = 0; i < op.signature.outputs; ++i)
    schema += std::string(", Tensor(") + static_cast<char>('a' + i) + "!) " + op.outputs[i].name;
  return schema + ") -> ()";
}

// Codes of libtorch for our dtypes, asked once.
struct DTypeCodes {
  std::array<DType, 64> from;
  std::array<int32_t, static_cast<size_t>(DType::other)> to;

  DTypeCodes() {
    from.fill(DType::other);
    const int32_t codes[] = {
        aoti_torch_dtype_float32(),       aoti_torch_dtype_bfloat16(),   aoti_torch_dtype_float16(),
        aoti_torch_dtype_uint8(),         aoti_torch_dtype_float64(),    aoti_torch_dtype_int8(),
        aoti_torch_dtype_int16(),         aoti_torch_dtype_int32(),      aoti_torch_dtype_int64(),
        aoti_torch_dtype_uint16(),        aoti_torch_dtype_uint32(),     aoti_torch_dtype_uint64(),
        aoti_torch_dtype_bool(),          aoti_torch_dtype_complex64(),  aoti_torch_dtype_complex128(),
        aoti_torch_dtype_float8_e4m3fn(), aoti_torch_dtype_float8_e5m2()};
    static_assert(std::size(codes) == static_cast<size_t>(DType::other));
    for (size_t i = 0; i < to.size(); ++i) {
      to[i] = codes[i];
      from.at(static_cast<size_t>(codes[i])) = static_cast<DType>(i);
    }
  }
};

const DTypeCodes dtypes;
const int32_t cpu_code = aoti_torch_device_type_cpu();
const int32_t cuda_code = aoti_torch_device_type_cuda();
const int32_t meta_code = aoti_torch_device_type_meta();

// The header's own conversions ask libtorch for its version at each value; a handle is its 64 bits in any.
AtenTensorHandle handle_of(uint64_t value) {
  AtenTensorHandle handle;
  static_assert(sizeof handle == sizeof value);
  std::memcpy(&handle, &value, sizeof handle);
  return handle;
}

uint64_t value_of(AtenTensorHandle handle) {
  uint64_t value;
  std::memcpy(&value, &handle, sizeof value);
  return value;
}

// Owning handles of one call.
struct Handles {
  int count = 0;
  AtenTensorHandle handle[kMaxArgs + kMaxOutputs];

  ~Handles() {
    for (int i = 0; i < count; ++i)
      if (handle[i]) aoti_torch_delete_tensor_object(handle[i]);
  }
  void add(AtenTensorHandle tensor) { handle[count++] = tensor; }
  AtenTensorHandle release(int i) { return std::exchange(handle[i], nullptr); }
};

// An optional tensor arrives as null or as a pointer to the value, which the receiver deletes: the layout of
// torch 2.11 that TORCH_TARGET_VERSION asks for (ToImpl<std::optional<T>> in stableivalue_conversions.h).
AtenTensorHandle borrow_optional(uint64_t value) {
  const StableIValue* boxed = torch::stable::detail::to<StableIValue*>(value);
  return boxed ? handle_of(*boxed) : nullptr;
}

AtenTensorHandle take_optional(uint64_t value) {
  const std::unique_ptr<StableIValue> boxed(torch::stable::detail::to<StableIValue*>(value));
  return borrow_optional(value);
}

// None for an argument that is no option arrives as a tensor without dtype.
[[gnu::cold, gnu::noinline]] void require_defined(const Op& op, std::string_view name,
                                                  AtenTensorHandle tensor) {
  bool defined;
  TORCH_ERROR_CODE_CHECK(aoti_torch_is_defined(tensor, &defined));
  if (!defined) fail(op, name, "is None, expected a tensor");
}

// A call into libtorch takes 2 to 4 ns and a view six of them: the number of elements is counted here,
// strides are not needed, the index is asked for GPUs only, and None is looked for only where there is no
// known dtype.
// Filled in place: copying a view just written waits for its small stores (5 ns).
void fill(View& view, const Op& op, std::string_view name, AtenTensorHandle tensor) {
  int32_t dtype, device_type;
  int64_t* sizes;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor, &dtype));
  view.dtype = static_cast<uint32_t>(dtype) < dtypes.from.size() ? dtypes.from[dtype] : DType::other;
  if (view.dtype == DType::other) [[unlikely]]
    require_defined(op, name, tensor);
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor, &device_type));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(tensor, &view.rank));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(tensor, &sizes));
  TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(tensor, &view.contiguous));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor, &view.data));
  view.sizes = sizes;
  view.strides = nullptr;
  view.numel = 1;
  for (int64_t d = 0; d < view.rank; ++d) view.numel *= sizes[d];
  view.device = {DeviceType::cpu, 0};
  if (device_type != cpu_code) {
    view.device.type = device_type == cuda_code   ? DeviceType::cuda
                       : device_type == meta_code ? DeviceType::meta
                                                  : DeviceType::other;
    if (view.device.type == DeviceType::cuda)
      TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(tensor, &view.device.index));
  }
}

// Arguments of one call, off the stack. Every handle is owned before anything can throw.
struct Unpacked {
  const Op& op;
  Handles inputs, outputs;
  View in[kMaxArgs];
  View out[kMaxOutputs];
  Scalar scalars[kMaxArgs];

  Unpacked(const Op& op, const uint64_t* stack, bool with_outputs) : op(op) {
    const Signature& sig = op.signature;
    int scalar = 0;
    for (int i = 0; i < sig.params; ++i) {
      if (sig.param[i].kind == Kind::tensor) {
        inputs.add(sig.param[i].optional ? take_optional(stack[i]) : handle_of(stack[i]));
      } else {
        std::memcpy(&scalars[scalar++], &stack[i], sizeof(Scalar));
      }
    }
    if (with_outputs)
      for (int i = 0; i < sig.outputs; ++i) outputs.add(handle_of(stack[sig.params + i]));
    for (int i = 0; i < inputs.count; ++i) {
      if (inputs.handle[i]) [[likely]]
        fill(in[i], op, sig.tensor[i].name, inputs.handle[i]);
      else
        in[i] = undefined_view();
    }
    for (int i = 0; i < outputs.count; ++i) fill(out[i], op, op.outputs[i].name, outputs.handle[i]);
  }

  void make_contiguous() {
    for (int i = 0; i < inputs.count; ++i) {
      if (in[i].contiguous) continue;
      const torch::stable::Tensor strided(inputs.release(i));
      const auto copy = torch::stable::contiguous(strided);
      TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(copy.get(), &inputs.handle[i]));
      fill(in[i], op, op.signature.tensor[i].name, inputs.handle[i]);
    }
  }
};

AtenTensorHandle allocate(View& like) {
  int64_t strides[kMaxDims];
  STD_TORCH_CHECK(like.rank <= kMaxDims, "more than ", kMaxDims, " dimensions");
  int64_t stride = 1;
  for (int64_t d = like.rank - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= std::max<int64_t>(like.sizes[d], 1);
  }
  const bool on_cpu = like.device.type == DeviceType::cpu;
  AtenTensorHandle tensor;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(like.rank, like.sizes, strides,
                                                  dtypes.to[static_cast<size_t>(like.dtype)],
                                                  on_cpu ? cpu_code : cuda_code, like.device.index, &tensor));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor, &like.data));
  return tensor;
}

// Tells autograd that a tensor of the caller is written, so that a backward that needs its old values
// refuses. The dispatcher does so for PyTorch's own ops only. The stable ABI has no call for it: copying a
// tensor onto itself moves nothing, but passes autograd as every write in place does.
void raise_version(const Op& op, std::string_view name, AtenTensorHandle written) {
  if (aoti_torch_copy_(written, written, 0) != AOTI_TORCH_SUCCESS)
    fail(op, name, "cannot be written in place; does it require a gradient, or come from inference mode?");
}

// A handle is the address of an at::Tensor, which holds this pointer.
const char* impl_of(AtenTensorHandle tensor) {
  const char* impl;
  std::memcpy(&impl, tensor, sizeof impl);
  return impl;
}

bool has_tangent(AtenTensorHandle tensor) {
  bool dual;
  void* tangent = accessors.tangent(impl_of(tensor), 0, tensor);
  TORCH_ERROR_CODE_CHECK(aoti_torch_is_defined(static_cast<AtenTensorHandle>(tangent), &dual));
  return dual;
}

// Raises where a derivative by this tensor is asked for: autograd leaves to us what has no formula, and what
// has one comes here without gradients recorded.
void refuse_derivatives(const Op& op, std::string_view name, AtenTensorHandle tensor, bool recorded,
                        const char* subject) {
  if (!tensor || !accessors.requires_grad) return;
  if (recorded && accessors.requires_grad(impl_of(tensor))) [[unlikely]]
    fail(op, name,
         std::string("requires grad, but ") + subject + " has no gradient; detach it or call " + op.name +
             " under torch.no_grad()");
  if (has_tangent(tensor)) [[unlikely]]
    fail(op, name,
         std::string("has a tangent, but ") + subject + " has no forward-mode derivative; detach it");
}

void refuse_derivatives(const Unpacked& call, const char* subject) {
  const bool recorded = aoti_torch_grad_mode_is_enabled();
  for (int i = 0; i < call.inputs.count; ++i)
    refuse_derivatives(call.op, call.op.signature.tensor[i].name, call.inputs.handle[i], recorded, subject);
  for (int i = 0; i < call.outputs.count; ++i)
    refuse_derivatives(call.op, call.op.outputs[i].name, call.outputs.handle[i], recorded, subject);
}

// The kernel that may run a call at once, past autograd and every key below it: that of the device of plain
// tensors of which no derivative is asked. Null where a mode, a subclass, a lazy negation (the key Negative)
// or autograd must see the call. Leaves the arguments on the stack.
Run kernel_past_autograd(const Op& op, const uint64_t* stack) {
  if (accessors.key_included(static_cast<uint16_t>(accessors.python_key))) return nullptr;
  const bool recorded = aoti_torch_grad_mode_is_enabled();
  uint64_t keys = 0;
  for (int i = 0; i < op.signature.params; ++i) {
    const Param& param = op.signature.param[i];
    if (param.kind != Kind::tensor) continue;
    AtenTensorHandle tensor = param.optional ? borrow_optional(stack[i]) : handle_of(stack[i]);
    if (!tensor) continue;
    uint64_t own_keys;
    std::memcpy(&own_keys, impl_of(tensor) + accessors.key_set, sizeof own_keys);
    keys |= own_keys;
    if (recorded && accessors.requires_grad(impl_of(tensor))) return nullptr;
    if (has_tangent(tensor)) return nullptr;
  }
  return (keys & ~accessors.cpu_keys) == 0 ? op.cpu : (keys & ~accessors.cuda_keys) == 0 ? op.gpu : nullptr;
}

void launch(const Op& op, Run run, const Unpacked& call) {
  if (!any_elements({op, call.in, call.out, call.scalars, nullptr})) return;
#if defined(CPP_EXT_WITH_GPU)
  if (call.in[0].device.type == DeviceType::cuda) {
    const int32_t index = call.in[0].device.index;
    const torch::stable::accelerator::DeviceGuard guard(index);
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index, &stream));
    run({op, call.in, call.out, call.scalars, stream});
    return;
  }
#endif
  run({op, call.in, call.out, call.scalars, nullptr});
}

}  // namespace

int32_t code_of(DType dtype) {
  return dtypes.to[static_cast<size_t>(dtype)];
}

Scratch::Scratch(Device device, int64_t bytes) {
  View view{.sizes = &bytes, .rank = 1, .numel = bytes, .dtype = DType::u8, .device = device};
  tensor_ = allocate(view);
  data_ = view.data;
}

Scratch::~Scratch() {
  aoti_torch_delete_tensor_object(static_cast<AtenTensorHandle>(tensor_));
}

void define(Op& op) {
  op.signature = parse_schema(op.schema);
  op.next = first_op;
  first_op = &op;
  auto& lib = library(StableLibrary::Kind::FRAGMENT, nullptr);
  lib.def((std::string(op.name) + op.schema).c_str());
  if (op.signature.outputs > 0) {
    lib.def((std::string(op.name) + ".no_grad" + op.schema).c_str());
    lib.def(out_schema(op).c_str());
  }
}

static std::map<std::string_view, Boxed>& autograd_kernels() {
  static std::map<std::string_view, Boxed> kernels;
  return kernels;
}

void implement(const Op& op, const char* dispatch_key, Boxed functional, Boxed out, Boxed autograd) {
  autograd_kernels()[op.name] = autograd;
  auto& lib = library(StableLibrary::Kind::IMPL, dispatch_key);
  lib.impl(op.name, functional);
  if (op.signature.outputs > 0) {
    lib.impl((std::string(op.name) + ".no_grad").c_str(), functional);
    lib.impl((std::string(op.name) + ".out").c_str(), out);
  }
}

bool implement_autograd(std::string_view name) {
  const auto kernel = autograd_kernels().find(name);
  if (kernel == autograd_kernels().end()) return false;
  for (const char* key : {"AutogradCPU", "AutogradCUDA"})
    library(StableLibrary::Kind::IMPL, key).impl(std::string(name).c_str(), kernel->second);
  return true;
}

// The kernel of the Autograd keys. What it cannot run goes to the overload `autograd`, whose kernel is the
// gradient formula in Python. An error code loses the exception, so a tensor of Python's raises it again.
void call_autograd(const Op& op, uint64_t* stack) {
  if (const Run run = kernel_past_autograd(op, stack)) return call(op, run, stack);
  const std::string name = std::string("cpp_ext::") + op.name;
  if (torch_call_dispatcher(name.c_str(), "autograd", stack, TORCH_ABI_VERSION) != AOTI_TORCH_SUCCESS)
    accessors.dim(accessors.raising);
}

void call(const Op& op, Run run, uint64_t* stack) {
  Unpacked call(op, stack, false);
  refuse_derivatives(call, op.signature.writes ? "writing into an argument" : "this overload");
  const Args args{op, call.in, nullptr, call.scalars, nullptr};
  check_inputs(args);
  if (op.signature.writes) {
    check_written(args);
    for (int i = 0; i < op.signature.tensors; ++i)
      if (op.signature.tensor[i].written)
        raise_version(op, op.signature.tensor[i].name, call.inputs.handle[i]);
  }
  call.make_contiguous();
  Dims dims[kMaxOutputs];
  for (int i = 0; i < op.signature.outputs; ++i) {
    output_like(call.out[i], args, i, dims[i]);
    call.outputs.handle[i] = allocate(call.out[i]);
    call.outputs.count = i + 1;
  }
  launch(op, run, call);
  for (int i = 0; i < op.signature.outputs; ++i) stack[i] = value_of(call.outputs.release(i));
}

void call_out(const Op& op, Run run, uint64_t* stack) {
  Unpacked call(op, stack, true);
  refuse_derivatives(call, "writing into an argument");
  const Args args{op, call.in, call.out, call.scalars, nullptr};
  check_inputs(args);
  check_outputs(args);
  for (int i = 0; i < op.signature.outputs; ++i)
    raise_version(op, op.outputs[i].name, call.outputs.handle[i]);
  call.make_contiguous();
  launch(op, run, call);
}

}  // namespace cpp_ext
