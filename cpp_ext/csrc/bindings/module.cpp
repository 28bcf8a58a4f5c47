// The Python module _C. Importing it loads the library, whose static objects register the ops; the capsule
// gives the pybind11 module the same ops without the dispatcher.
#include <Python.h>

#include "bindings/library.h"
#include "common/simd.h"

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__C() {
  static cpp_ext::Library library{cpp_ext::all_ops(), cpp_ext::kSimd};
  PyObject* module = PyModule_Create(&module_def);
  if (!module) return nullptr;
  PyObject* capsule = PyCapsule_New(&library, cpp_ext::kLibraryCapsule, nullptr);
  if (!capsule || PyModule_AddObject(module, "_library", capsule) < 0) {
    Py_XDECREF(capsule);
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
