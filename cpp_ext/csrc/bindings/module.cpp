// The Python module _C. Importing it loads the library, whose static objects register the ops; the capsule
// gives the pybind11 module the same ops without the dispatcher.
#include <Python.h>

#include "bindings/infer.h"
#include "bindings/library.h"
#include "build_facts.h"  // written by setup.py
#include "common/simd.h"

static PyObject* set_accessors(PyObject*, PyObject* args) {
  unsigned long long requires_grad, tangent;
  if (!PyArg_ParseTuple(args, "KK", &requires_grad, &tangent)) return nullptr;
  cpp_ext::set_accessors({reinterpret_cast<decltype(cpp_ext::Accessors::requires_grad)>(requires_grad),
                          reinterpret_cast<decltype(cpp_ext::Accessors::tangent)>(tangent)});
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set_accessors", set_accessors, METH_VARARGS, "Hands over the addresses of two functions of libc10."},
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
