"""The emulated cuBLAS below MAX's binding: `cublas.c`, whose products are PyTorch's on the CPU."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_void_p

import torch

from shared_tests.emulator.cuda_host import matrix
from shared_tests.emulator.memory import Memory

_DTYPES = {0: torch.float32, 2: torch.float16, 14: torch.bfloat16}  # cudaDataType


class Product(ctypes.Structure):
    """`struct Product` of cublas.c: C = alpha op(A) op(B) + beta C, column-major."""

    _fields_ = (
        *((name, c_int) for name in ("transpose_a", "transpose_b", "rows", "columns", "depth")),
        *(("a", c_void_p), ("a_type", c_int), ("a_stride", c_int)),
        *(("b", c_void_p), ("b_type", c_int), ("b_stride", c_int)),
        *(("c", c_void_p), ("c_type", c_int), ("c_stride", c_int)),
        *(("alpha", c_float), ("beta", c_float)),
    )


Multiply = ctypes.CFUNCTYPE(c_int, ctypes.POINTER(Product))


def multiply(product: Product, memory: Memory) -> None:
    """Compute a product in place.

    Raises:
        ValueError: a matrix is not within one buffer of the memory, or the product is scaled.
    """
    if product.alpha != 1 or product.beta != 0:
        raise ValueError(f"cublasGemmEx: alpha {product.alpha} and beta {product.beta} are not emulated")
    operands = []
    for name, transposed, rows, columns in (
        ("a", product.transpose_a, product.rows, product.depth),
        ("b", product.transpose_b, product.depth, product.columns),
        ("c", 0, product.rows, product.columns),
    ):
        data, stride = getattr(product, name), getattr(product, f"{name}_stride")
        dtype = _DTYPES[getattr(product, f"{name}_type")]
        stored = (columns, rows) if transposed else (rows, columns)
        if stride < stored[0]:
            raise ValueError(f"cublasGemmEx: columns of {name} have {stored[0]} elements but lie {stride} apart")
        end = data + ((stored[1] - 1) * stride + stored[0]) * dtype.itemsize
        if not any(buffer.address <= data and end <= buffer.end for buffer in memory.buffers()):
            raise ValueError(f"cublasGemmEx: {name} is not within one buffer")
        operand = matrix(dtype, data, *stored, 1, stride)
        operands.append(operand.t() if transposed else operand)
    a, b, c = operands
    c.copy_(a @ b)
