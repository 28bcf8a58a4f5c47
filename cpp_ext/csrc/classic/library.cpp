// Route cpp_classic: the same kernels behind torch/extension.h, as most extensions are written. This is the
// one file that includes it (26 s for the include alone); every op's typed functions and registrations are in
// the generated header.
#include <ATen/EmptyTensor.h>
#include <torch/csrc/autograd/VariableTypeUtils.h>
#include <torch/csrc/stable/c/shim.h>
#include <torch/extension.h>

#if defined(CPP_EXT_WITH_GPU)
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include <array>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bindings/signature.h"
#include "common/checks.h"
#include "common/matmul.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/scratch.h"

namespace cpp_ext {

void define(Op& op) {
  op.signature = parse_schema(op.schema);
}

// Not at::parallel_for: its header runs the whole range on the calling thread, without a word, unless the
// extension is compiled with OpenMP itself, whose run-time library may then be a second one beside PyTorch's.
void pool_parallel_for(int64_t n, int64_t grain, RangeFunction f, void* context) {
  TORCH_CHECK(torch_parallel_for(0, n, grain, f, context) == 0, "torch_parallel_for failed");
}

}  // namespace cpp_ext

namespace cpp_classic {
namespace {

using namespace cpp_ext;

constexpr at::ScalarType kScalarTypes[] = {
    at::kFloat, at::kBFloat16,     at::kHalf,          at::kByte,          at::kDouble,     at::kChar,
    at::kShort, at::kInt,          at::kLong,          at::kUInt16,        at::kUInt32,     at::kUInt64,
    at::kBool,  at::kComplexFloat, at::kComplexDouble, at::kFloat8_e4m3fn, at::kFloat8_e5m2};
static_assert(std::size(kScalarTypes) == static_cast<size_t>(DType::other));

DType dtype_of(at::ScalarType type) {
  for (size_t i = 0; i < std::size(kScalarTypes); ++i)
    if (kScalarTypes[i] == type) return static_cast<DType>(i);
  return DType::other;
}

void fill(View& view, const Op& op, std::string_view name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.defined(), op.name, ": ", name, " is None, expected a tensor");
  const at::Device device = tensor.device();
  view.sizes = tensor.sizes().data();
  view.strides = nullptr;
  view.rank = tensor.dim();
  view.numel = tensor.numel();
  view.dtype = dtype_of(tensor.scalar_type());
  view.device = {device.is_cpu()    ? DeviceType::cpu
                 : device.is_cuda() ? DeviceType::cuda
                 : device.is_meta() ? DeviceType::meta
                                    : DeviceType::other,
                 device.is_cuda() ? device.index() : 0};
  view.contiguous = tensor.is_contiguous();
  view.data = device.is_meta() ? nullptr : tensor.data_ptr();
}

at::Tensor allocate(View& like) {
  const at::IntArrayRef sizes(like.sizes, static_cast<size_t>(like.rank));
  const at::ScalarType type = kScalarTypes[static_cast<size_t>(like.dtype)];
  at::Tensor tensor =
      like.device.type == DeviceType::cpu
          ? at::Tensor(at::detail::empty_cpu(sizes, type))  // at::empty would ask the dispatcher again
          : at::empty(sizes, at::device(at::Device(at::kCUDA, like.device.index)).dtype(type));
  like.data = tensor.data_ptr();
  return tensor;
}

// Of an argument of either kind; null for an optional one that is None.
[[maybe_unused]] const at::Tensor* pointer(const at::Tensor& tensor) {
  return &tensor;
}
[[maybe_unused]] const at::Tensor* pointer(const std::optional<at::Tensor>& tensor) {
  return tensor ? &*tensor : nullptr;
}

// Arguments of one call as the kernels see them.
struct Inputs {
  View view[kMaxArgs];
  std::vector<at::Tensor> copies;  // of what was not contiguous

  Inputs(const Op& op, std::initializer_list<const at::Tensor*> tensors) {
    int i = 0;
    for (const at::Tensor* tensor : tensors) {
      if (tensor)
        fill(view[i], op, op.signature.tensor[i].name, *tensor);
      else
        view[i] = undefined_view();
      ++i;
    }
  }
  void make_contiguous(const Op& op, std::initializer_list<const at::Tensor*> tensors) {
    int i = 0;
    for (const at::Tensor* tensor : tensors) {
      if (!view[i].contiguous)
        fill(view[i], op, op.signature.tensor[i].name, copies.emplace_back(tensor->contiguous()));
      ++i;
    }
  }
};

// Tells autograd that a tensor of the caller is written, so that a backward that needs its old values
// refuses: the dispatcher does so for PyTorch's own ops only.
void raise_version(const at::Tensor& written) {
  torch::autograd::check_inplace(written, at::GradMode::is_enabled() && written.requires_grad());
  torch::autograd::increment_version(written);
}

// Raises where a derivative by this tensor is asked for: autograd leaves to us what has no formula, and what
// has one comes here without gradients recorded.
void refuse_derivatives(const Op& op, std::string_view name, const at::Tensor& tensor, const char* subject) {
  TORCH_CHECK(!(tensor.requires_grad() && at::GradMode::is_enabled()), op.name, ": ", name,
              " requires grad, but ", subject, " has no gradient; detach it or call ", op.name,
              " under torch.no_grad()");
  TORCH_CHECK(!tensor._fw_grad(0).defined(), op.name, ": ", name, " has a tangent, but ", subject,
              " has no forward-mode derivative; detach it");
}

void refuse_derivatives(const Op& op, std::initializer_list<const at::Tensor*> tensors,
                        std::initializer_list<const at::Tensor*> outputs) {
  const char* subject = outputs.size() || op.signature.writes ? "writing into an argument" : "this overload";
  int i = 0;
  for (const at::Tensor* tensor : tensors) {
    if (tensor) refuse_derivatives(op, op.signature.tensor[i].name, *tensor, subject);
    ++i;
  }
  i = 0;
  for (const at::Tensor* output : outputs) refuse_derivatives(op, op.outputs[i++].name, *output, subject);
}

void launch(const Op& op, const View* in, const View* out, const Scalar* scalars) {
  if (!any_elements({op, in, out, scalars, nullptr})) return;
#if defined(CPP_EXT_WITH_GPU)
  if (in[0].device.type == DeviceType::cuda) {
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(in[0].device.index));
    op.gpu({op, in, out, scalars, c10::cuda::getCurrentCUDAStream().stream()});
    return;
  }
#endif
  op.cpu({op, in, out, scalars, nullptr});
}

void require_kernel(const Op& op, const View& first) {
  const bool has =
      (first.device.type == DeviceType::cpu && op.cpu) || (first.device.type == DeviceType::cuda && op.gpu);
  TORCH_CHECK(has, op.name, ": ", op.signature.tensor[0].name, " is on ", name_of(first.device),
              ", for which this extension has no kernel");
}

template <size_t N>
std::array<at::Tensor, N> call(const Op& op, std::initializer_list<const at::Tensor*> tensors,
                               std::initializer_list<Scalar> scalars) {
  refuse_derivatives(op, tensors, {});
  Inputs in(op, tensors);
  const Args args{op, in.view, nullptr, scalars.begin(), nullptr};
  check_inputs(args);
  if (op.signature.writes) check_written(args);
  require_kernel(op, in.view[0]);
  int tensor = 0;
  for (const at::Tensor* argument : tensors)
    if (op.signature.tensor[tensor++].written) raise_version(*argument);
  in.make_contiguous(op, tensors);
  View out[kMaxOutputs];
  Dims dims[kMaxOutputs];
  std::array<at::Tensor, N> results;
  for (size_t i = 0; i < N; ++i) {
    output_like(out[i], args, static_cast<int>(i), dims[i]);
    results[i] = allocate(out[i]);
  }
  launch(op, in.view, out, scalars.begin());
  return results;
}

void call_out(const Op& op, std::initializer_list<const at::Tensor*> tensors,
              std::initializer_list<Scalar> scalars, std::initializer_list<const at::Tensor*> outputs) {
  refuse_derivatives(op, tensors, outputs);
  Inputs in(op, tensors);
  View out[kMaxOutputs];
  int i = 0;
  for (const at::Tensor* output : outputs) {
    fill(out[i], op, op.outputs[i].name, *output);
    ++i;
  }
  const Args args{op, in.view, out, scalars.begin(), nullptr};
  check_inputs(args);
  check_outputs(args);
  require_kernel(op, in.view[0]);
  for (const at::Tensor* output : outputs) raise_version(*output);
  in.make_contiguous(op, tensors);
  launch(op, in.view, out, scalars.begin());
}

// The kernel of the Autograd keys: a call goes on below autograd where no derivative is asked, else to the
// overload `autograd`, whose kernel is the gradient formula in Python.
void call_autograd(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  bool derivative = false;
  for (const at::IValue& value : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (!value.isTensor()) continue;
    const at::Tensor& tensor = value.toTensor();
    derivative |= (at::GradMode::is_enabled() && tensor.requires_grad()) || tensor._fw_grad(0).defined();
  }
  if (derivative) {
    const auto& name = op.operator_name().name;
    c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "autograd").callBoxed(stack);
    return;
  }
  const at::AutoDispatchBelowAutograd guard;
  op.redispatchBoxed(keys & c10::after_autograd_keyset, stack);
}

// The generated functions follow from the schemas that _C had; with others they would pass wrong arguments.
void require_schema(const Op& op, const char* schema) {
  const Signature expected = parse_schema(schema);
  bool same = op.signature.params == expected.params && op.signature.outputs == expected.outputs;
  for (int i = 0; same && i < expected.params; ++i)
    same = op.signature.param[i].kind == expected.param[i].kind &&
           op.signature.param[i].name == expected.param[i].name;
  if (!same)
    throw py::import_error(std::string(op.name) + " has the schema " + op.schema + ", and _C had " + schema +
                           "; run build_ext, then build_classic");
}

[[maybe_unused]] Scalar real(double value) {
  return {.real = value};
}
[[maybe_unused]] Scalar integer(int64_t value) {
  return {.integer = value};
}

}  // namespace
}  // namespace cpp_classic

namespace cpp_ext {

Scratch::Scratch(Device device, int64_t bytes) {
  View view{.sizes = &bytes, .rank = 1, .numel = bytes, .dtype = DType::u8, .device = device};
  tensor_ = new at::Tensor(cpp_classic::allocate(view));
  data_ = view.data;
}

Scratch::~Scratch() {
  delete static_cast<at::Tensor*>(tensor_);
}

void matmul(const View& like, const Matrix& a, const Matrix& b, void* bias, const Matrix& out) {
  const auto options =
      at::device(like.device.type == DeviceType::cpu ? at::Device(at::kCPU)
                                                     : at::Device(at::kCUDA, like.device.index))
          .dtype(cpp_classic::kScalarTypes[static_cast<size_t>(like.dtype)]);
  const auto borrow = [&](const Matrix& m) {
    return at::from_blob(m.data, {m.rows, m.columns}, {m.row_stride, m.column_stride}, options);
  };
  at::Tensor result = borrow(out);
  std::optional<at::Tensor> bias_tensor;
  if (bias) bias_tensor = at::from_blob(bias, {out.columns}, options);
  at::linear_out(result, borrow(a), borrow(transpose(b)), bias_tensor);
}

bool has_product(DType dtype) {
  const auto ask = [](const char* name) {
    const auto op = c10::Dispatcher::singleton().findSchema({name, ""});
    return op && op->typed<bool()>().call();  // none: PyTorch was built without oneDNN
  };
  static const bool bf16 = ask("mkldnn::_is_mkldnn_bf16_supported");
  static const bool f16 = ask("mkldnn::_is_mkldnn_fp16_supported");
  return dtype == DType::bf16 ? bf16 : dtype == DType::f16 ? f16 : true;
}

}  // namespace cpp_ext

#include "classic_ops.h"  // written by classic_ops.py
