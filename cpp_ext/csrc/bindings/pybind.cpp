// Route cpp_pybind: every op of the library as a plain pybind11 function, without the dispatcher.
// Tensors cross through DLPack's C exchange table, which PyTorch puts on torch.Tensor: no torch
// library is linked, and the file compiles in seconds.
#include <ATen/dlpack.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "common/checks.h"

namespace py = pybind11;

namespace cpp_ext {
namespace {

const DLPackExchangeAPI* exchange = nullptr;
PyTypeObject* tensor_type = nullptr;
PyGetSetDef* requires_grad = nullptr;  // of torch.Tensor
PyObject* grad_enabled = nullptr;      // torch.is_grad_enabled
PyObject* forward_mode = nullptr;      // torch.autograd.forward_ad, its namespace, and a name there
PyObject* forward_mode_dict = nullptr;
PyObject* current_level = nullptr;

DType dtype_of(DLDataType type) {
  if (type.lanes != 1) return DType::other;
  switch (type.code << 8 | type.bits) {
    case kDLFloat << 8 | 32:
      return DType::f32;
    case kDLBfloat << 8 | 16:
      return DType::bf16;
    case kDLFloat << 8 | 16:
      return DType::f16;
    case kDLUInt << 8 | 8:
      return DType::u8;
    case kDLFloat << 8 | 64:
      return DType::f64;
    case kDLInt << 8 | 8:
      return DType::i8;
    case kDLInt << 8 | 16:
      return DType::i16;
    case kDLInt << 8 | 32:
      return DType::i32;
    case kDLInt << 8 | 64:
      return DType::i64;
    case kDLUInt << 8 | 16:
      return DType::u16;
    case kDLUInt << 8 | 32:
      return DType::u32;
    case kDLUInt << 8 | 64:
      return DType::u64;
    case kDLFloat8_e4m3fn << 8 | 8:
      return DType::f8_e4m3fn;
    case kDLFloat8_e5m2 << 8 | 8:
      return DType::f8_e5m2;
    case kDLBool << 8 | 8:
      return DType::boolean;
    case kDLComplex << 8 | 64:
      return DType::c64;
    case kDLComplex << 8 | 128:
      return DType::c128;
    default:
      return DType::other;
  }
}

DLDataType dlpack_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {kDLBfloat, 16, 1};
    case DType::f16:
      return {kDLFloat, 16, 1};
    case DType::u8:
      return {kDLUInt, 8, 1};
    case DType::i64:
      return {kDLInt, 64, 1};
    case DType::f64:
      return {kDLFloat, 64, 1};
    default:
      return {kDLFloat, 32, 1};
  }
}

bool is_contiguous(const View& view) {
  int64_t expected = 1;
  for (int64_t d = view.rank - 1; d >= 0; --d) {
    if (view.sizes[d] != 1 && view.strides[d] != expected) return view.numel == 0;
    expected *= view.sizes[d];
  }
  return true;
}

[[noreturn, gnu::cold]] void reject_type(const Op& op, std::string_view name, py::handle arg,
                                         const char* expected) {
  throw py::type_error(std::string(op.name) + ": " + std::string(name) + " is " +
                       Py_TYPE(arg.ptr())->tp_name + ", expected " + expected);
}

[[noreturn, gnu::cold]] void reject_scalar(const Op& op, std::string_view name, py::handle arg,
                                           const char* expected) {
  PyErr_Clear();
  reject_type(op, name, arg, expected);
}

// A tensor without memory that can be read: fake, or a wrapper of torch.func around another one.
[[noreturn, gnu::cold]] void reject_wrapper(const Op& op, std::string_view name, py::handle arg,
                                            const std::string& reason) {
  throw py::type_error(std::string(op.name) + ": " + std::string(name) + " is a " +
                       Py_TYPE(arg.ptr())->tp_name + " whose memory cannot be read" + reason +
                       "; cpp_ext.pybind." + op.name +
                       " takes ordinary tensors, not those of a trace, of torch.func or of vmap");
}

// A tensor that has no memory on the CPU. All tensors before it do, so the first one names the device.
[[noreturn, gnu::cold]] void reject_memory(const Op& op, std::string_view name, py::handle arg,
                                           const std::string& reason) {
  const auto device = py::str(arg.attr("device")).cast<std::string>();
  if (device == "cpu") {
    const auto layout = py::str(arg.attr("layout")).cast<std::string>();
    if (layout == "torch.strided") reject_wrapper(op, name, arg, reason);
    fail(op, name, "has layout " + layout + ", expected torch.strided");
  }
  const std::string_view first = op.signature.tensor[0].name;
  fail(op, name,
       "is on " + device + ", expected cpu" + (name == first ? "" : ", the device of " + std::string(first)));
}

// The first line of the exception that is set, in brackets; clears it.
[[gnu::cold]] std::string take_reason() {
  const py::error_already_set error;
  const auto text = py::str(error.value()).cast<std::string>();
  return " (" + text.substr(0, text.find('\n')) + ")";
}

View view_of(const Op& op, std::string_view name, py::handle arg) {
  if (!PyObject_TypeCheck(arg.ptr(), tensor_type)) reject_type(op, name, arg, "torch.Tensor");
  DLTensor tensor;
  if (exchange->dltensor_from_py_object_no_sync(arg.ptr(), &tensor) != 0)
    reject_memory(op, name, arg, take_reason());
  if (tensor.device.device_type != kDLCPU) reject_memory(op, name, arg, "");
  View view;
  view.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  view.sizes = tensor.shape;
  view.strides = tensor.strides;
  view.rank = tensor.ndim;
  view.numel = 1;
  for (int32_t d = 0; d < tensor.ndim; ++d) view.numel *= tensor.shape[d];
  // The table reports success for a FakeTensor: see reports/upstream/dlpack_fake_tensor.py.
  if (!tensor.data && view.numel > 0) [[unlikely]]
    reject_wrapper(op, name, arg, "");
  view.dtype = dtype_of(tensor.dtype);
  view.device = {DeviceType::cpu, 0};
  view.contiguous = is_contiguous(view);
  return view;
}

// A fresh tensor of PyTorch's allocator, until it is handed over to Python.
struct FreshTensor {
  DLManagedTensorVersioned* managed = nullptr;

  ~FreshTensor() {
    if (managed) managed->deleter(managed);
  }
  void allocate(View& like) {
    DLTensor prototype{};
    prototype.device = {kDLCPU, 0};
    prototype.ndim = static_cast<int32_t>(like.rank);
    prototype.dtype = dlpack_of(like.dtype);
    prototype.shape = const_cast<int64_t*>(like.sizes);
    std::string error;
    const auto set_error = [](void* error, const char*, const char* message) {
      *static_cast<std::string*>(error) = message;
    };
    if (exchange->managed_tensor_allocator(&prototype, &managed, &error, set_error) != 0)
      throw std::runtime_error(error);
    like.data = managed->dl_tensor.data;
  }
  py::object release() {
    void* object = nullptr;
    if (exchange->managed_tensor_to_py_object_no_sync(std::exchange(managed, nullptr), &object) != 0)
      throw py::error_already_set();
    return py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
  }
};

[[noreturn, gnu::cold]] void refuse(const Op& op, int tensor, const char* condition, const char* has_no,
                                    const char* remedy) {
  fail(op, op.signature.tensor[tensor].name,
       std::string(condition) + ", but cpp_ext.pybind." + op.name + " has no " + has_no + "; detach it" +
           remedy);
}

[[gnu::cold]] void refuse_gradients(const Op& op, const py::handle* tensors) {
  if (!py::handle(grad_enabled)().cast<bool>()) return;
  for (int i = 0; i < op.signature.tensors; ++i)
    if (!tensors[i].is_none() && tensors[i].attr("requires_grad").cast<bool>())
      refuse(op, i, "requires grad", "gradient", " or call it under torch.no_grad()");
}

[[gnu::cold]] void refuse_tangents(const Op& op, const py::handle* tensors) {
  for (int i = 0; i < op.signature.tensors; ++i)
    if (!tensors[i].is_none() &&
        !py::handle(forward_mode).attr("unpack_dual")(tensors[i]).attr("tangent").is_none())
      refuse(op, i, "has a tangent", "forward-mode derivative", "");
}

// A plain function has no derivatives: a call that asks for them is refused, as is Tensor.numpy().
void refuse_derivatives(const Op& op, const py::handle* tensors) {
  for (int i = 0; i < op.signature.tensors; ++i) {
    if (tensors[i].is_none()) continue;
    // Not PyObject_GetAttr, which looks the name up: 40 ns a tensor.
    PyObject* value = requires_grad->get(tensors[i].ptr(), requires_grad->closure);
    if (!value) throw py::error_already_set();
    Py_DECREF(value);
    if (value == Py_True) [[unlikely]]
      refuse_gradients(op, tensors);
  }
  PyObject* level = PyDict_GetItemWithError(forward_mode_dict, current_level);
  if (level && PyLong_AsLong(level) >= 0) [[unlikely]]
    refuse_tangents(op, tensors);
}

void run(const Args& args) {
  // Below this size letting other Python threads in costs more than the kernel.
  if (args.in[0].numel < 65536) {
    args.op.cpu(args);
  } else {
    const py::gil_scoped_release release;
    args.op.cpu(args);
  }
}

py::object call(const Op& op, py::handle* arguments) {
  const Signature& sig = op.signature;
  View in[kMaxArgs];
  py::handle tensors[kMaxArgs];
  Scalar scalars[kMaxArgs];
  int tensor = 0, scalar = 0;
  for (int i = 0; i < sig.params; ++i) {
    const Param& param = sig.param[i];
    if (param.kind == Kind::tensor) {
      in[tensor] =
          param.optional && arguments[i].is_none() ? undefined_view() : view_of(op, param.name, arguments[i]);
      tensors[tensor++] = arguments[i];
    } else if (param.kind == Kind::real) {
      scalars[scalar].real = PyFloat_AsDouble(arguments[i].ptr());
      if (scalars[scalar++].real == -1.0 && PyErr_Occurred())
        reject_scalar(op, param.name, arguments[i], "float");
    } else {
      scalars[scalar].integer = PyLong_AsLongLong(arguments[i].ptr());
      if (scalars[scalar++].integer == -1 && PyErr_Occurred())
        reject_scalar(op, param.name, arguments[i], param.kind == Kind::boolean ? "bool" : "int");
    }
  }
  refuse_derivatives(op, tensors);
  const Args args{op, in, nullptr, scalars, nullptr};
  check_inputs(args);
  if (sig.writes) check_written(args);

  py::object copies[kMaxArgs];
  for (int i = 0; i < sig.tensors; ++i) {
    if (in[i].contiguous) continue;
    copies[i] = tensors[i].attr("contiguous")();
    in[i] = view_of(op, sig.tensor[i].name, copies[i]);
  }

  View out[kMaxOutputs];
  FreshTensor fresh[kMaxOutputs];
  Dims dims[kMaxOutputs];
  for (int i = 0; i < sig.outputs; ++i) {
    output_like(out[i], args, i, dims[i]);
    fresh[i].allocate(out[i]);
  }
  const Args ready{op, in, out, scalars, nullptr};
  if (any_elements(ready)) run(ready);
  if (sig.outputs == 0) return py::none();
  if (sig.outputs == 1) return fresh[0].release();
  py::tuple results(sig.outputs);
  for (int i = 0; i < sig.outputs; ++i) results[i] = fresh[i].release();
  return std::move(results);
}

template <size_t>
using HandleAt = py::handle;

// Of the schema; without one the ellipsis, which is no argument of any op and is then refused by name.
py::object default_value(const Param& param) {
  const std::string_view text = param.default_value;
  if (text.empty()) return py::ellipsis();
  if (text == "None") return py::none();
  if (param.kind == Kind::boolean) return py::bool_(text == "True");
  if (param.kind == Kind::real) return py::float_(std::stod(std::string(text)));
  return py::int_(std::stoll(std::string(text)));
}

template <size_t... I>
void add_function(py::module_& module, const Op& op, std::index_sequence<I...>) {
  const Param* param = op.signature.param;
  const std::string names[] = {std::string(param[I].name)...};
  const auto function = [&op](HandleAt<I>... args) {
    py::handle arguments[] = {args...};
    return call(op, arguments);
  };
  const std::string documentation = std::string(op.name) + op.schema + ", CPU, without the dispatcher";
  if ((param[I].default_value.empty() && ...))
    module.def(op.name, function, py::arg(names[I].c_str())..., documentation.c_str());
  else
    module.def(op.name, function, py::arg_v(names[I].c_str(), default_value(param[I]))...,
               documentation.c_str());
}

void add_function(py::module_& module, const Op& op) {
  switch (op.signature.params) {
    case 1:
      return add_function(module, op, std::make_index_sequence<1>());
    case 2:
      return add_function(module, op, std::make_index_sequence<2>());
    case 3:
      return add_function(module, op, std::make_index_sequence<3>());
    case 4:
      return add_function(module, op, std::make_index_sequence<4>());
    case 5:
      return add_function(module, op, std::make_index_sequence<5>());
    case 6:
      return add_function(module, op, std::make_index_sequence<6>());
    case 7:
      return add_function(module, op, std::make_index_sequence<7>());
    default:
      return add_function(module, op, std::make_index_sequence<8>());
  }
}

}  // namespace
}  // namespace cpp_ext

PYBIND11_MODULE(_pybind, module) {
  using namespace cpp_ext;
  py::object type = py::module_::import("torch").attr("Tensor");
  tensor_type = reinterpret_cast<PyTypeObject*>(type.release().ptr());  // kept for the life of the process
  const auto torch = py::module_::import("torch");
  const py::object descriptor = torch.attr("Tensor").attr("requires_grad");
  if (!Py_IS_TYPE(descriptor.ptr(), &PyGetSetDescr_Type))
    throw py::import_error("torch.Tensor.requires_grad is not what it is in the PyTorch known here");
  requires_grad = reinterpret_cast<PyGetSetDescrObject*>(descriptor.ptr())->d_getset;
  grad_enabled = py::object(torch.attr("is_grad_enabled")).release().ptr();
  forward_mode = py::module_::import("torch.autograd.forward_ad").release().ptr();
  forward_mode_dict = PyModule_GetDict(forward_mode);
  current_level = PyUnicode_InternFromString("_current_level");
  py::capsule table = py::handle(reinterpret_cast<PyObject*>(tensor_type)).attr("__dlpack_c_exchange_api__");
  exchange = static_cast<const DLPackExchangeAPI*>(PyCapsule_GetPointer(table.ptr(), "dlpack_exchange_api"));
  if (!exchange || exchange->header.version.major != DLPACK_MAJOR_VERSION ||
      !exchange->dltensor_from_py_object_no_sync)
    throw py::import_error("this PyTorch has no DLPack exchange table of a version known here");

  py::object capsule = py::module_::import("cpp_ext._C").attr("_library");
  const auto* library = static_cast<const Library*>(PyCapsule_GetPointer(capsule.ptr(), kLibraryCapsule));
  if (!library) throw py::error_already_set();
  for (const Op* op = library->ops; op; op = op->next) add_function(module, *op);
}
