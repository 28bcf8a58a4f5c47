#pragma once

#include <Python.h>

namespace cpp_ext {

// The function _C.infer of Python, described in infer.cpp.
PyObject* infer(PyObject* module, PyObject* arguments);

}  // namespace cpp_ext
