"""PyTorch's DLPack exchange table reports success for a FakeTensor and returns a null data pointer.

What: calls `dltensor_from_py_object_no_sync` of `torch.Tensor.__dlpack_c_exchange_api__` on a FakeTensor of four
elements.
Expected: an error (-1 and a Python exception), as from `fake.__dlpack__()`.
Seen: 0 (success) and data == NULL with shape [4]. An extension that trusts the table reads address 0 and crashes, for
example when torch.export traces it.
Whose: PyTorch.
"""

import ctypes
import platform
import sys

import torch
from torch._subclasses.fake_tensor import FakeTensorMode


class Table(ctypes.Structure):
    """DLPackExchangeAPI of DLPack 1.3, a header and five function pointers."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("managed_from_object", ctypes.c_void_p),
        ("managed_to_object", ctypes.c_void_p),
        ("borrow", ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)),
    ]


class Borrowed(ctypes.Structure):
    """DLTensor of DLPack."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def main() -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = torch.Tensor.__dlpack_c_exchange_api__
    table = Table.from_address(pointer(capsule, b"dlpack_exchange_api"))
    print(f"torch {torch.__version__}, DLPack {table.major}.{table.minor}, Python {platform.python_version()}")
    fake = FakeTensorMode().from_tensor(torch.ones(4))
    results = []
    for name, tensor in (("a real tensor", torch.ones(4)), ("a FakeTensor", fake)):
        borrowed = Borrowed()
        try:
            code = table.borrow(tensor, ctypes.addressof(borrowed))
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}")
            return 3
        print(f"{name}: returns {code}, shape [{borrowed.shape[0]}], data {'NULL' if not borrowed.data else 'set'}")
        results.append((code, bool(borrowed.data)))
    return 0 if results[1] == (0, False) else 3


if __name__ == "__main__":
    sys.exit(main())
