// What a fake kernel needs of an op: the argument checks of a real call and the shapes of its outputs, from
// what is known of tensors without their data. Only Python calls it, where no kernel runs.
#include "bindings/infer.h"

#include <stdexcept>
#include <utility>

#include "bindings/library.h"
#include "common/checks.h"
#include "common/shape.h"

namespace cpp_ext {
namespace {

struct PythonError {};  // thrown where the Python exception is already set

int64_t integer_of(PyObject* value) {
  const int64_t number = PyLong_AsLongLong(value);
  if (number == -1 && PyErr_Occurred()) throw PythonError{};
  return number;
}

Scalar scalar_of(Kind kind, PyObject* value) {
  if (kind != Kind::real) return {.integer = integer_of(value)};
  const double number = PyFloat_AsDouble(value);
  if (number == -1.0 && PyErr_Occurred()) throw PythonError{};
  return {.real = number};
}

DType dtype_named(std::string_view name) {
  int i = 0;
  while (i < static_cast<int>(DType::other) && name != name_of(static_cast<DType>(i))) ++i;
  return static_cast<DType>(i);
}

DeviceType device_type_named(std::string_view name) {
  return name == "cpu"    ? DeviceType::cpu
         : name == "cuda" ? DeviceType::cuda
         : name == "meta" ? DeviceType::meta
                          : DeviceType::other;
}

bool has_contiguous_strides(const View& view) {
  int64_t expected = 1;
  for (int64_t d = view.rank - 1; d >= 0; --d) {
    if (view.sizes[d] != 1 && view.strides[d] != expected) return false;
    expected *= view.sizes[d];
  }
  return true;
}

// Tensors of one call, each read from a tuple (dtype, device type, device index, sizes, strides, address).
struct Tensors {
  bool is_known = true;  // whether all sizes and strides are numbers; None stands for one that is not
  View view[kMaxArgs];
  int64_t sizes[kMaxArgs][kMaxDims], strides[kMaxArgs][kMaxDims];

  void read(const Op& op, int i, const Param& param, PyObject* description) {
    if (description == Py_None) {
      if (!param.optional) fail(op, param.name, "is None, expected a tensor");
      view[i] = undefined_view();
      return;
    }
    const char *dtype, *device;
    int index;
    PyObject *size_tuple, *stride_tuple;
    long long address;
    if (!PyArg_ParseTuple(description, "ssiO!O!L", &dtype, &device, &index, &PyTuple_Type, &size_tuple,
                          &PyTuple_Type, &stride_tuple, &address))
      throw PythonError{};
    View& v = view[i] = {};
    v.data = reinterpret_cast<void*>(static_cast<uintptr_t>(address));
    v.rank = read(op, param, size_tuple, sizes[i]);
    v.sizes = sizes[i];
    v.dtype = dtype_named(dtype);
    v.device = {device_type_named(device), 0};
    if (v.device.type == DeviceType::cuda) v.device.index = index;
    v.numel = 1;
    for (int64_t d = 0; d < v.rank; ++d) v.numel *= v.sizes[d];
    v.strides = strides[i];
    v.contiguous =
        read(op, param, stride_tuple, strides[i]) != v.rank || v.numel == 0 || has_contiguous_strides(v);
  }

 private:
  int64_t read(const Op& op, const Param& param, PyObject* numbers, int64_t* to) {
    const int64_t rank = PyTuple_Size(numbers);
    if (rank > kMaxDims)
      fail(op, param.name,
           "has " + std::to_string(rank) + " dimensions, expected at most " + std::to_string(kMaxDims));
    for (int64_t d = 0; d < rank; ++d) {
      PyObject* number = PyTuple_GetItem(numbers, d);
      is_known &= number != Py_None;
      to[d] = number == Py_None ? 0 : integer_of(number);
    }
    return rank;
  }
};

// A reference that is given up where an exception passes.
struct Owned {
  PyObject* object;

  explicit Owned(PyObject* object) : object(object) {
    if (!object) throw PythonError{};
  }
  Owned(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object); }
  PyObject* release() { return std::exchange(object, nullptr); }
};

void set_item(const Owned& tuple, int64_t i, PyObject* item) {
  if (!item || PyTuple_SetItem(tuple.object, i, item) != 0) throw PythonError{};
}

PyObject* size_or_origin(int64_t size, const Origin& origin) {
  return origin.input < 0 ? PyLong_FromLongLong(size)
                          : Py_BuildValue("iii", origin.input, origin.dimension, origin.divisor);
}

PyObject* describe_output(const Args& args, int i) {
  const Output& output = args.op.outputs[i];
  Dims dims;
  dims.rank = 0;
  if (output.shape) {
    output.shape(args, dims);
  } else {
    for (int d = 0; d < args.in[output.like].rank; ++d) add_size(dims, args, output.like, d);
  }
  Owned sizes(PyTuple_New(dims.rank));
  for (int64_t d = 0; d < dims.rank; ++d) set_item(sizes, d, size_or_origin(dims.size[d], dims.origin[d]));
  return Py_BuildValue("izO", output.like, output.dtype == DType::other ? nullptr : name_of(output.dtype),
                       sizes.object);
}

const Op& op_named(std::string_view name) {
  const Op* op = all_ops();
  while (op && op->name != name) op = op->next;
  if (!op) throw std::invalid_argument("the library has no op " + std::string(name));
  return *op;
}

PyObject* infer(const Op& op, PyObject* inputs, PyObject* numbers, PyObject* outputs) {
  const Signature& sig = op.signature;
  const bool into_outputs = outputs != Py_None;
  if (PyTuple_Size(inputs) != sig.tensors || PyTuple_Size(numbers) != sig.scalars ||
      (into_outputs && PyTuple_Size(outputs) != sig.outputs))
    throw std::invalid_argument(std::string(op.name) + ": the number of arguments is not that of the schema");
  Tensors in, out;
  for (int i = 0; i < sig.tensors; ++i) in.read(op, i, sig.tensor[i], PyTuple_GetItem(inputs, i));
  for (int i = 0; into_outputs && i < sig.outputs; ++i)
    out.read(op, i, {.kind = Kind::tensor, .name = op.outputs[i].name}, PyTuple_GetItem(outputs, i));
  Scalar scalars[kMaxArgs];
  for (int i = 0, scalar = 0; i < sig.params; ++i)
    if (const Kind kind = sig.param[i].kind; kind != Kind::tensor) {
      scalars[scalar] = scalar_of(kind, PyTuple_GetItem(numbers, scalar));
      ++scalar;
    }
  const Args args{op, in.view, out.view, scalars, nullptr};
  if (in.is_known && out.is_known) {
    check_inputs(args);
    if (sig.writes) check_written(args);
    if (into_outputs) check_outputs(args);
  }
  Owned results(PyTuple_New(into_outputs ? 0 : sig.outputs));
  for (int i = 0; !into_outputs && i < sig.outputs; ++i) set_item(results, i, describe_output(args, i));
  return results.release();
}

}  // namespace

// infer(op, inputs, scalars, outputs) checks a call and describes its outputs.
//
// inputs, outputs: a tuple (dtype, device type, device index, sizes, strides, address) for each tensor, or
// None for a tensor that is None. A size or stride of None is not known: nothing is checked then. Empty
// strides are those of a contiguous tensor; the address tells which tensors overlap. `outputs` is None where
// the op allocates them. Returns for each output that the op allocates (like, dtype, sizes): the input whose
// device it has, its dtype or None for that of the input, and its sizes, each a number or (input, dimension,
// divisor). Raises RuntimeError in the words of a real call.
PyObject* infer(PyObject*, PyObject* arguments) {
  const char* name;
  PyObject *inputs, *numbers, *outputs;
  if (!PyArg_ParseTuple(arguments, "sO!O!O", &name, &PyTuple_Type, &inputs, &PyTuple_Type, &numbers,
                        &outputs))
    return nullptr;
  try {
    return infer(op_named(name), inputs, numbers, outputs);
  } catch (const PythonError&) {
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

}  // namespace cpp_ext
