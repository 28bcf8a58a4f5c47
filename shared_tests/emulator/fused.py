"""a * b + c with one rounding, for float32 and float64, in the rounding modes of PTX."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from shared_tests.emulator.native import library
from shared_tests.emulator.values import Value

MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}


@functools.cache
def _function(name: str) -> Any:
    function = getattr(library(), name)
    operand = (ctypes.c_void_p, ctypes.c_int)
    function.argtypes = [ctypes.c_int64, ctypes.c_int, *operand, *operand, *operand, ctypes.c_void_p]
    function.restype = None
    return function


def multiply_add(a: Value, b: Value, c: Value, mode: str = "rn") -> Value:
    """Operands of one dtype, each an array or a scalar; `mode` is rn, rz, rm or rp."""
    dtype = np.result_type(a, b, c)
    arrays = [np.ascontiguousarray(operand, dtype) for operand in (a, b, c)]
    shape = np.broadcast_shapes(*(np.shape(operand) for operand in (a, b, c)))
    out = np.empty(shape, dtype)
    operands = [part for array in arrays for part in (array.ctypes.data, int(array.size > 1))]
    _function(f"fused{8 * dtype.itemsize}")(out.size, MODES[mode], *operands, out.ctypes.data)
    return out
