// The op library's side of PyTorch's stable ABI: schema registration and the boxed calls. Handles of the C
// shim are used as they come: torch::stable::Tensor would add a shared_ptr for each tensor of each call.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <string>

#include "bindings/library.h"
#include "common/checks.h"
#include "common/parallel.h"
#include "common/register.h"

namespace cpp_ext {

static Op* first_op = nullptr;

const Op* all_ops() {
  return first_op;
}

void pool_parallel_for(int64_t n, int64_t grain, RangeFunction f, void* context) {
  STABLE_TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, n, grain, f, context));
}

namespace {

using torch::stable::detail::StableLibrary;

// Libraries stay registered until the process ends: the order of destruction at exit is not ours.
StableLibrary& library(StableLibrary::Kind kind, const char* key) {
  return *new StableLibrary(kind, "cpp_ext", key, __FILE__, __LINE__);
}

Signature parse(const char* schema) {
  Signature sig{};
  std::string_view text(schema);
  const auto close = text.find(") -> ");
  std::string_view params = text.substr(1, close - 1);
  while (!params.empty()) {
    const auto comma = params.find(", ");
    const std::string_view item = params.substr(0, comma);
    params = comma == std::string_view::npos ? std::string_view{} : params.substr(comma + 2);
    const auto space = item.find(' ');
    const std::string_view type = item.substr(0, space);
    const Kind kind = type == "Tensor" ? Kind::tensor : type == "float" ? Kind::real : Kind::integer;
    if (type != "Tensor" && type != "float" && type != "int" && type != "bool")
      throw std::logic_error("unsupported type in schema " + std::string(schema));
    sig.param[sig.params++] = {kind, item.substr(space + 1)};
    if (kind == Kind::tensor) {
      sig.tensor[sig.tensors++] = item.substr(space + 1);
    } else {
      ++sig.scalars;
    }
  }
  for (auto at = text.find("Tensor", close); at != std::string_view::npos; at = text.find("Tensor", at + 1))
    ++sig.outputs;
  return sig;
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

// Owning handles of one call.
struct Handles {
  int count = 0;
  AtenTensorHandle handle[kMaxArgs + kMaxOutputs];

  ~Handles() {
    for (int i = 0; i < count; ++i)
      if (handle[i]) aoti_torch_delete_tensor_object(handle[i]);
  }
  AtenTensorHandle add(uint64_t value) {
    return handle[count++] = torch::stable::detail::to<AtenTensorHandle>(value);
  }
};

View view_of(const Op& op, std::string_view name, AtenTensorHandle tensor) {
  View view;
  bool defined;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_is_defined(tensor, &defined));
  if (!defined) fail(op, name, "is None, expected a tensor");
  int32_t dtype, device_type, device_index;
  int64_t *sizes, *strides;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor, &dtype));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor, &device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(tensor, &device_index));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dim(tensor, &view.rank));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_numel(tensor, &view.numel));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(tensor, &sizes));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(tensor, &strides));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(tensor, &view.contiguous));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor, &view.data));
  view.sizes = sizes;
  view.strides = strides;
  view.dtype = static_cast<uint32_t>(dtype) < dtypes.from.size() ? dtypes.from[dtype] : DType::other;
  view.device.type = device_type == cpu_code    ? DeviceType::cpu
                     : device_type == cuda_code ? DeviceType::cuda
                     : device_type == meta_code ? DeviceType::meta
                                                : DeviceType::other;
  view.device.index = view.device.type == DeviceType::cuda ? device_index : 0;
  return view;
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
        inputs.add(stack[i]);
      } else {
        std::memcpy(&scalars[scalar++], &stack[i], sizeof(Scalar));
      }
    }
    if (with_outputs)
      for (int i = 0; i < sig.outputs; ++i) outputs.add(stack[sig.params + i]);
    for (int i = 0; i < inputs.count; ++i) in[i] = view_of(op, sig.tensor[i], inputs.handle[i]);
    for (int i = 0; i < outputs.count; ++i) out[i] = view_of(op, op.outputs[i].name, outputs.handle[i]);
  }

  void make_contiguous() {
    for (int i = 0; i < inputs.count; ++i) {
      if (in[i].contiguous) continue;
      const torch::stable::Tensor strided(inputs.handle[i]);  // takes the handle over
      inputs.handle[i] = nullptr;
      const auto copy = torch::stable::contiguous(strided);
      STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_new_tensor_handle(copy.get(), &inputs.handle[i]));
      in[i] = view_of(op, op.signature.tensor[i], inputs.handle[i]);
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
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(like.rank, like.sizes, strides, dtypes.to[static_cast<size_t>(like.dtype)],
                               on_cpu ? cpu_code : cuda_code, like.device.index, &tensor));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_data_ptr(tensor, &like.data));
  return tensor;
}

bool any_elements(const Op& op, const View* out) {
  for (int i = 0; i < op.signature.outputs; ++i)
    if (out[i].numel > 0) return true;
  return false;
}

void launch(const Op& op, Run run, const Unpacked& call) {
  if (!any_elements(op, call.out)) return;
#if defined(CPP_EXT_WITH_GPU)
  if (call.in[0].device.type == DeviceType::cuda) {
    const int32_t index = call.in[0].device.index;
    const torch::stable::accelerator::DeviceGuard guard(index);
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index, &stream));
    run({op, call.in, call.out, call.scalars, stream});
    return;
  }
#endif
  run({op, call.in, call.out, call.scalars, nullptr});
}

}  // namespace

void define(Op& op) {
  op.signature = parse(op.schema);
  op.next = first_op;
  first_op = &op;
  library(StableLibrary::Kind::FRAGMENT, nullptr)
      .def((std::string(op.name) + op.schema).c_str())
      .def(out_schema(op).c_str());
}

void implement(const Op& op, const char* dispatch_key, Boxed functional, Boxed out) {
  library(StableLibrary::Kind::IMPL, dispatch_key)
      .impl(op.name, functional)
      .impl((std::string(op.name) + ".out").c_str(), out);
}

void call(const Op& op, Run run, uint64_t* stack) {
  Unpacked call(op, stack, false);
  check_inputs({op, call.in, nullptr, call.scalars, nullptr});
  call.make_contiguous();
  Dims dims;
  for (int i = 0; i < op.signature.outputs; ++i) {
    call.out[i] = output_like(op, call.in, i, dims);
    call.outputs.handle[i] = allocate(call.out[i]);
    call.outputs.count = i + 1;
  }
  launch(op, run, call);
  for (int i = 0; i < op.signature.outputs; ++i) {
    stack[i] = torch::stable::detail::from(call.outputs.handle[i]);
    call.outputs.handle[i] = nullptr;
  }
}

void call_out(const Op& op, Run run, uint64_t* stack) {
  Unpacked call(op, stack, true);
  const Args args{op, call.in, call.out, call.scalars, nullptr};
  check_inputs(args);
  check_outputs(args);
  call.make_contiguous();
  launch(op, run, call);
}

}  // namespace cpp_ext
