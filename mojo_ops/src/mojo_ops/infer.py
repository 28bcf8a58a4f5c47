"""Checks calls that no compiled CPU kernel checks, and allocates their outputs, by the rules in the Mojo sources.

Fake kernels, GPU kernels and the routes through MAX's own PyTorch bridge describe their arguments to the built library.
Its function `infer` (kernels/common/torch_infer.mojo) returns the shapes of the outputs, or the error that the CPU
kernel would raise.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ._derivatives import base_name
from .symbols import Symbols, has_symbols, value_of

_torch = ctypes.CDLL("libtorch_cpu.so")  # already loaded by `import torch`
_functions: dict[tuple[str, str], Any] = {}

_WRONG_TYPE = 2  # return value of `infer` for a TypeError; 0 means that the call is accepted
_TEXT = 512  # bytes in an error message
_MAX_DIMENSIONS = 64  # PyTorch's limit for the dimensions of a tensor
_PAD = 8 * _MAX_DIMENSIONS  # in bytes: without the checks, a shape rule may read more sizes than a tensor has


def provide(namespace: str, op: str, library: ctypes.CDLL) -> None:
    """Makes a loaded library check the calls of an op in a namespace.

    Raises:
        ImportError: the library was built from older sources.
    """
    symbol = f"{namespace}_{op}_infer"
    if not hasattr(library, symbol):
        raise ImportError(f"{library._name} has no {symbol}; run: nox -s build_mojo")
    function = getattr(library, symbol)
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_void_p), ctypes.c_int64
    _functions[namespace, op] = function


def _function(namespace: str, op: str) -> Any:
    """The rules of an op, from the library of its namespace or else from the other one, which has the same rules."""
    if function := _functions.get((namespace, op)):
        return function
    for (_, name), function in _functions.items():
        if name == op:
            return function
    raise NotImplementedError(f"torch.ops.{namespace}.{op} is not built; run: nox -s build_mojo")


def inferred(overload: Any, *, fake: bool = False) -> Callable[..., Any]:
    """Makes the part of an overload that runs before its kernel: argument checks and allocation of outputs.

    A symbolic size is checked by its value while tracing. This adds no guard, because the call is checked again
    whenever it runs. If a size has no such value, only the later check applies.

    Args:
        overload: an overload whose schema lists tensors, then scalars, then existing outputs.
        fake: whether the tensors in its calls have no memory.

    Returns:
        A function with the arguments of the overload that returns new outputs, or None if the overload writes into
        existing outputs or into its arguments. It raises TypeError for a wrong dtype or None, and ValueError for all
        other errors.
    """
    arguments, writes = overload._schema.arguments, overload._schema.is_mutable
    namespace, op = overload._schema.name.split("::")[0], base_name(overload)
    names = [a.name for a in arguments if not a.kwarg_only]
    ready_names = [a.name for a in arguments if a.kwarg_only]
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}
    scalar_types = [str(a.type) for a in arguments if str(a.type) not in ("Tensor", "Optional[Tensor]")]
    scalar_format = "".join("d" if name == "float" else "q" for name in scalar_types)
    tensors, returns = len(names) - len(scalar_types), len(overload._schema.returns)
    tensor_names = [*names[:tensors], *ready_names]
    reply_type = ctypes.c_int64 * max(_TEXT // 8, returns * (2 + _MAX_DIMENSIONS))

    def ask(description: Sequence[int], scalars: Sequence[float], *, check: bool) -> Any:
        layout = f"{2 + len(description)}q{scalar_format}{_PAD}x"
        reply = reply_type()
        outcome = _function(namespace, op)(struct.pack(layout, bool(ready_names), check, *description, *scalars), reply)
        if outcome:
            reason = ctypes.string_at(reply).decode()
            raise TypeError(reason) if outcome == _WRONG_TYPE else ValueError(reason)
        return reply

    def infer(*args: Any, **named: Any) -> Any:
        if len(args) < len(names):
            args += tuple(named[name] if name in named else defaults[name] for name in names[len(args) :])
        scalars: Sequence[Any] = args[tensors:]
        address = (_fake_addresses() if writes else _no_address) if fake else Tensor.data_ptr
        description = _describe(op, tensor_names, [*args[:tensors], *[named[name] for name in ready_names]], address)
        symbols = Symbols()
        if fake and has_symbols((*description, *scalars)):
            stand_ins = symbols.replace((*description, *scalars))
            values = [value_of(number) for number in (*description, *scalars)]
            if None not in values:
                ask(values[: len(description)], values[len(description) :], check=True)
            reply = ask(stand_ins[: len(description)], stand_ins[len(description) :], check=False)
        else:
            reply = ask(description, scalars, check=True)
        outputs, position = [], 0
        for _ in range(returns):
            dtype, rank = _dtypes()[reply[position]], reply[position + 1]
            position += 2 + rank
            sizes = [symbols.size(number) for number in reply[position - rank : position]]
            overrides = {} if dtype is args[0].dtype else {"dtype": dtype}  # passing a dtype costs 0.5 us
            outputs.append(args[0].new_empty(sizes, **overrides))
        return None if not outputs else outputs[0] if returns == 1 else tuple(outputs)

    return infer


def _describe(
    op: str, names: Sequence[str], tensors: Iterable[Tensor | None], address: Callable[[Tensor], Any]
) -> list[Any]:
    """Encodes the tensors as ints and symbols for `Request.take_view` in torch_infer.mojo."""
    numbers: list[Any] = []
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is None:
            numbers.append(-1)
            continue
        shape = tensor.shape
        if len(shape) > _MAX_DIMENSIONS:
            raise ValueError(f"{op}: {name} has {len(shape)} dimensions, expected at most {_MAX_DIMENSIONS}")
        numbers += (len(shape), *_codes(tensor.dtype, tensor.device), address(tensor), *shape, *tensor.stride())
    return numbers


def _no_address(tensor: Tensor) -> int:
    return 0


def _fake_addresses() -> Callable[[Tensor], int]:
    """Makes up addresses for the tensors of a call: negative, because there are no values, and distinct per storage."""
    storages: dict[int, int] = {}

    def address(tensor: Tensor) -> int:
        number = storages.setdefault(tensor.untyped_storage()._cdata, len(storages) + 1)
        return -(number << 48) + int(value_of(tensor.storage_offset()) or 0) * tensor.element_size()

    return address


@functools.cache
def _codes(dtype: torch.dtype, device: torch.device) -> tuple[int, int, int]:
    """Numbers for the dtype, the device type and the device index."""
    return _dtype_code(dtype), _device_code(device.type), device.index or 0


@functools.cache
def _dtype_code(dtype: torch.dtype) -> int:
    """PyTorch's number for a dtype. A dtype without a number in the stable C ABI is not supported by the kernels."""
    code = getattr(_torch, f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}", None)
    return code() if code else -1


@functools.cache
def _dtypes() -> dict[int, torch.dtype]:
    return {_dtype_code(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}


def _device_code(device_type: str) -> int:
    code = getattr(_torch, f"aoti_torch_device_type_{device_type}", None)
    return code() if code else -1
