"""Supports compiled kernels on the Autograd keys with information that PyTorch's stable ABI lacks.

A gradient formula is a Python function, which adds 4 us to a call. Therefore a compiled kernel is registered on the
keys AutogradCPU and AutogradCUDA. It runs calls on plain tensors that need no derivative, and passes all others to the
overload `autograd` of the op, whose kernel is the formula. The stable ABI provides neither the dispatch keys of a
tensor nor the active modes, and it loses the type of an exception (reports/upstream/stable_autograd.py).
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet

from ._derivatives import WRAPPERS, accessors, libc10_functions

OVERLOAD = "autograd"

_MAX_OFFSET = 256  # in bytes: how far a TensorImpl is searched for its dispatch keys; it has 192 bytes in torch 2.13
_FUNCTIONS = "_ZN3c104impl28tls_is_dispatch_key_includedENS_11DispatchKeyE", "_ZNK3c1010TensorImpl10dim_customEv"
_error = threading.local()


class _Raising(Tensor):
    """A tensor that raises the last error of a formula in this thread if its number of dimensions is read."""

    @staticmethod
    def __new__(cls) -> _Raising:
        return Tensor._make_wrapper_subclass(cls, (0,), dispatch_sizes_strides_policy="sizes")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise _error.__dict__.pop("value", None) or RuntimeError("the overload autograd could not be called")


def keep_error(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps `formula` so that its last exception is kept, because the C function that calls it loses exceptions."""

    def call(*args: Any) -> Any:
        try:
            return formula(*args)
        except BaseException as error:
            _error.value = error
            raise

    return call


def _plain_keys(device: str) -> int:
    """The dispatch keys of a plain tensor, which is not a subclass, sparse, quantized, lazily negated or similar."""
    keys = DispatchKeySet(DispatchKey.ADInplaceOrView)
    for kind in ("", "Autograd", "Autocast"):
        keys = keys | DispatchKeySet(getattr(DispatchKey, kind + device))
    return keys.raw_repr()


def _key_set_offset() -> int | None:
    """The byte offset of the dispatch keys in a TensorImpl, at which tensors of different kinds all have their keys."""
    plain = torch.zeros(1, device="cpu")
    negated = torch.zeros(1, dtype=torch.complex64, device="cpu").conj().imag
    tensors = [plain, negated, torch.zeros(1, device="meta"), torch.nn.Parameter(plain), plain.to_sparse()]
    for offset in range(0, _MAX_OFFSET, 8):
        if all(_word(tensor, offset) == torch._C._dispatch_keys(tensor).raw_repr() for tensor in tensors):
            return offset
    return None


def _word(tensor: Tensor, offset: int) -> int:
    return ctypes.c_uint64.from_address(tensor._cdata + offset).value


@functools.cache
def autograd_accessors() -> tuple[int, ...]:
    """The values of `accessors` and seven more, in the order of `Accessors` in bindings/library.h.

    The seven are zeros if this PyTorch does not provide them; every call then runs the formula first.
    """
    functions = libc10_functions(_FUNCTIONS) if all(accessors()) else (0, 0)
    with torch.inference_mode(False):  # the import may run in inference mode
        offset = _key_set_offset() if all(functions) else None
        plain = torch._C._dispatch_keys(torch.zeros(1, device="cpu")).raw_repr() == _plain_keys("CPU")
    if offset is None or not plain:
        return (*accessors(), *[0] * 7)
    included, dim = functions
    keys = _plain_keys("CPU"), _plain_keys("CUDA")
    return (*accessors(), included, int(DispatchKey.Python.value), offset, *keys, dim, _raising()._cdata)


@functools.cache
def _raising() -> _Raising:
    """The tensor that the compiled kernels refer to; it lives until the process ends."""
    return _Raising()


def available() -> bool:
    """Whether compiled kernels of the Autograd keys work with this PyTorch."""
    return autograd_accessors()[-1] != 0


def compiled(namespace: str) -> bool:
    """Whether a namespace has compiled kernels on the Autograd keys of all its devices.

    It does not for route mojo, whose GPU kernels are called from Python.
    """
    return available() and namespace != "mojo_ops"


def add_overload(library: torch.library.Library, overload: Any, formula: Callable[..., Any]) -> None:
    """Adds the overload `autograd`, to which a compiled kernel on the Autograd keys passes calls.

    Args:
        library: the library of the op's namespace.
        overload: the overload `default` of an op.
        formula: `(keyset, *arguments) -> results`, the Python kernel for the Autograd key.
    """
    op = overload._schema.name.split("::")[1]
    schema = str(overload._schema).removeprefix(overload._schema.name)
    library.define(f"{op}.{OVERLOAD}{schema}", tags=(torch.Tag.pt2_compliant_tag,))
    library.impl(f"{op}.{OVERLOAD}", keep_error(formula), "Autograd", with_keyset=True)
    lower_keys = torch._C._dispatch_keyset_full_after(getattr(DispatchKey, WRAPPERS))

    def wrapped(keyset: DispatchKeySet, *args: Any) -> Any:
        """Runs calls that a mode or subclass sees, without C++, because tracing relies on the types of exceptions."""
        keys = keyset & lower_keys
        if keys.highestPriorityTypeId() in (DispatchKey.AutogradCPU, DispatchKey.AutogradCUDA):
            return formula(keys, *args)
        return overload.redispatch(keys, *args)

    library.impl(op, wrapped, WRAPPERS, with_keyset=True)
