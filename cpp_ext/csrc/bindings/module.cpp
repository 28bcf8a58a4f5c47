// The Python module _C. Importing it loads the library, whose static objects register the ops; the capsule
// gives the pybind11 module the same ops without the dispatcher.
#include <Python.h>

#include <cstring>

#include "bindings/infer.h"
#include "bindings/library.h"
#include "build_facts.h"  // written by setup.py
#include "common/simd.h"

static PyObject* set_accessors(PyObject*, PyObject* args) {
  unsigned long long values[9];
  if (!PyArg_ParseTuple(args, "KKKKKKKKK", values, values + 1, values + 2, values + 3, values + 4, values + 5,
                        values + 6, values + 7, values + 8))
    return nullptr;
  cpp_ext::Accessors accessors;
  static_assert(sizeof accessors == sizeof values);
  std::memcpy(&accessors, values, sizeof values);
  cpp_ext::set_accessors(accessors);
  Py_RETURN_NONE;
}

static PyObject* implement_autograd(PyObject*, PyObject* args) {
  const char* name;
  if (!PyArg_ParseTuple(args, "s", &name)) return nullptr;
  if (!cpp_ext::implement_autograd(name)) return PyErr_Format(PyExc_ValueError, "no op %s", name);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set_accessors", set_accessors, METH_VARARGS,
     "Hands over what the stable ABI does not tell of tensors."},
    {"implement_autograd", implement_autograd, METH_VARARGS,
     "Registers an op's kernel of the Autograd keys."},
    {"infer", cpp_ext::infer, METH_VARARGS, "Checks a call and describes its outputs, without data."},
    {nullptr, nullptr, 0, nullptr}};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

static PyObject* build_facts() {
  return Py_BuildValue("{s:s,s:s,s:s,s:s,s:s,s:s}", "compiler", CPP_EXT_COMPILER, "flags", CPP_EXT_FLAGS,
                       "simd", cpp_ext::kSimd, "torch", CPP_EXT_TORCH, "gpu", CPP_EXT_GPU, "arch_list",
                       CPP_EXT_ARCH_LIST);
}

// Takes the value over.
static bool add(PyObject* module, const char* name, PyObject* value) {
  const bool added = value && PyModule_AddObjectRef(module, name, value) == 0;
  Py_XDECREF(value);
  return added;
}

PyMODINIT_FUNC PyInit__C() {
  static cpp_ext::Library library{cpp_ext::all_ops()};
  PyObject* module = PyModule_Create(&module_def);
  if (!module) return nullptr;
  if (!add(module, "_library", PyCapsule_New(&library, cpp_ext::kLibraryCapsule, nullptr)) ||
      !add(module, "build_facts", build_facts())) {
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
