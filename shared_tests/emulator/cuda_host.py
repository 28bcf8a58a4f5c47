"""Runs an op's CUDA side: the project's own launch code on an emulated runtime, its kernels on the emulator."""

from __future__ import annotations

import ctypes
import functools
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any

import torch

from shared_tests.emulator import ptx
from shared_tests.emulator.cuda_build import CSRC, KERNELS, LIBRARY, build, stable_names
from shared_tests.emulator.devices import DEVICES, EMULATED, MAX_THREADS_PER_BLOCK, attribute
from shared_tests.emulator.launches import Launched, LaunchError
from shared_tests.emulator.machine import Launch, Memory
from shared_tests.emulator.resources import Resources, launch_refusal, resident_blocks, resources
from shared_tests.spec import OpSpec

LAUNCH_FAILURE = 719  # cudaErrorLaunchFailure
MAX_ARGUMENTS = 8  # kMaxArgs in csrc/common/op.h
ERROR_SIZE = 1000

_CALLBACKS = {
    "launch": ctypes.CFUNCTYPE(c_int, c_char_p, POINTER(c_uint), POINTER(c_void_p), c_size_t),
    "device_attribute": ctypes.CFUNCTYPE(c_int, c_int),
    "kernel_facts": ctypes.CFUNCTYPE(None, c_char_p, POINTER(c_int)),
    "blocks_of_a_multiprocessor": ctypes.CFUNCTYPE(c_int, c_char_p, c_int, c_size_t),
    "allocated": ctypes.CFUNCTYPE(None, c_void_p, c_size_t),
    "freed": ctypes.CFUNCTYPE(None, c_void_p),
    "matmul": ctypes.CFUNCTYPE(c_int, c_int, POINTER(c_int64), POINTER(c_int64), c_void_p, POINTER(c_int64)),
}


class _Emulator(ctypes.Structure):
    """`struct Emulator` of cuda_runtime.cpp."""

    _fields_ = tuple(_CALLBACKS.items())


class _Tensor(ctypes.Structure):
    """`struct Tensor` of cuda_runtime.cpp."""

    _fields_ = (
        ("data", c_void_p),
        ("sizes", POINTER(c_int64)),
        ("rank", c_int64),
        ("numel", c_int64),
        ("dtype", c_int32),
        ("defined", c_int32),
    )


class CudaHost:
    """Calls ops on an emulated GPU.

    Args:
        target: the GPU that the launch code finds; kernels are compiled for it.
        csrc: the sources, `cpp_ext/csrc` or a copy of it.
    """

    def __init__(self, target: str = EMULATED, csrc: Path = CSRC):
        self.device = DEVICES[target]
        self.csrc = csrc
        self._ops: dict[str, _Op] = {}

    def call(
        self, spec: OpSpec, args: Sequence[Any], outputs: Sequence[torch.Tensor], *, run: bool = True, **options: Any
    ) -> tuple[Launched, ...]:
        """Call the op; `outputs` are filled, and arguments that the op writes are changed.

        Args:
            args: in schema order; tensors are contiguous and on the CPU.
            outputs: in schema order; empty for an op that writes its arguments.
            run: False records the launches and runs no kernel and no matrix product.
            options: of `machine.Launch`: checks, counters, noise, seed.

        Raises:
            LaunchError: the call raised, or the emulator stopped one of its kernels.
            ToolkitError: the op does not compile.
        """
        if spec.name not in self._ops:
            self._ops[spec.name] = _Op(spec, self)
        return self._ops[spec.name].call(args, outputs, run, options)


class _Op:
    """The library of one op, and what its launch code calls back."""

    def __init__(self, spec: OpSpec, host: CudaHost):
        self.spec, self.device = spec, host.device
        self.ptx = (build(spec.name, host.device.target, host.csrc) / KERNELS).read_text()
        library = build(spec.name, EMULATED, host.csrc) / LIBRARY
        # A copy, so that what the launch code keeps in static variables belongs to one device.
        with tempfile.TemporaryDirectory() as folder:
            self.library = ctypes.CDLL(shutil.copy(library, folder))
        self.library.call_gpu.argtypes = [
            c_char_p, POINTER(_Tensor), c_int, POINTER(_Tensor), c_int, POINTER(c_int64), c_char_p, c_size_t,
        ]  # fmt: skip
        self.callbacks = _Emulator(
            **{name: kind(self._kept_inside(getattr(self, f"_{name}"))) for name, kind in _CALLBACKS.items()}
        )
        self.library.emulate_with(ctypes.byref(self.callbacks))

    @functools.cached_property
    def module(self) -> ptx.Module:
        """The op's parsed kernels."""
        return ptx.parse(self.ptx)

    @functools.cached_property
    def resources(self) -> dict[str, Resources]:
        """What each kernel needs on this device."""
        return resources(self.ptx, self.device.target)

    @functools.cache  # noqa: B019 (an op lives as long as the process)
    def dtype_code(self, dtype: torch.dtype) -> int:
        """The number of a dtype in csrc/common/op.h."""
        code = self.library.dtype_code(str(dtype).removeprefix("torch.").encode())
        if code < 0:
            raise TypeError(f"{self.spec.name}: the ops have no name for {dtype}")
        return code

    def call(
        self, args: Sequence[Any], outputs: Sequence[torch.Tensor], run: bool, options: dict[str, Any]
    ) -> tuple[Launched, ...]:
        """See `CudaHost.call`."""
        self.run, self.options = run, options
        self.memory = Memory()
        self.launches: list[Launched] = []
        self.error: Exception | None = None
        self.refusal_reason: str | None = None
        arguments = self.spec.parsed.arguments
        values = [*args, *(argument.default_value for argument in arguments[len(args) :])]
        inputs, scalars = [], (c_int64 * MAX_ARGUMENTS)()
        count = 0
        for position, (argument, value) in enumerate(zip(arguments, values, strict=True)):
            if value is None or isinstance(value, torch.Tensor):
                inputs.append(self._tensor(value, argument.name, position in self.spec.mutates))
                continue
            is_float = str(argument.type) == "float"
            scalars[count] = struct.unpack("q", struct.pack("d", value))[0] if is_float else int(value)
            count += 1
        results = [self._tensor(t, name, True) for t, name in zip(outputs, self.spec.out_names, strict=False)]
        message = ctypes.create_string_buffer(ERROR_SIZE)
        failed = self.library.call_gpu(
            self.spec.name.encode(), (_Tensor * len(inputs))(*inputs), len(inputs),
            (_Tensor * len(results))(*results), len(results), scalars, message, ERROR_SIZE,
        )  # fmt: skip
        launches = tuple(self.launches)
        if self.error is not None:
            raise LaunchError(f"{self.spec.name}: {self.error}", launches) from self.error
        if failed:
            raise LaunchError(message.value.decode(), launches, self.refusal_reason)
        return launches

    def _tensor(self, value: torch.Tensor | None, name: str, writable: bool) -> _Tensor:
        """A tensor as the library sees it; kernels of this call may touch its memory."""
        if value is None:
            return _Tensor()
        if not value.is_contiguous():
            raise ValueError(f"{self.spec.name}: {name} is not contiguous; a route copies it before it calls a kernel")
        if value.numel():
            self.memory.add(value.data_ptr(), value.numel() * value.element_size(), name, writable=writable)
        sizes = (c_int64 * max(1, value.dim()))(*value.shape)
        return _Tensor(value.data_ptr(), sizes, value.dim(), value.numel(), self.dtype_code(value.dtype), 1)

    # What the library calls.

    def _kept_inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function without its exceptions, which must not cross C++: the first is raised when the call returns."""

        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                self.error = self.error or error
                return LAUNCH_FAILURE

        return call

    def _launch(self, symbol: bytes, dimensions: Any, arguments: Any, dynamic_shared: int) -> int:
        name = stable_names(symbol.decode())
        grid, block = tuple(dimensions[0:3]), tuple(dimensions[3:6])
        launch_request = Launched(name, grid, block, dynamic_shared, None, self.ptx, 0.0)
        if refusal := launch_refusal(self.resources[name], launch_request, self.device):
            self.refusal_reason = f"{name}: {refusal.reason}"
            return refusal.error
        if not self.run:
            self.launches.append(launch_request)
            return 0
        kernel = self.module.kernels[name]
        values = [ctypes.string_at(arguments[i], parameter.size) for i, parameter in enumerate(kernel.parameters)]
        start = time.perf_counter()
        launch = Launch(kernel, self.module, grid, block, values, self.memory, dynamic_shared, **self.options)
        report = launch.run()
        seconds = time.perf_counter() - start
        self.launches.append(Launched(name, grid, block, dynamic_shared, report, self.ptx, seconds))
        return 0

    def _device_attribute(self, number: int) -> int:
        return attribute(self.device, number)

    def _kernel_facts(self, name: bytes, facts: Any) -> None:
        kernel = self.resources[stable_names(name.decode())]
        facts[0], facts[1] = kernel.registers, kernel.static_shared
        facts[2] = kernel.max_threads or MAX_THREADS_PER_BLOCK

    def _blocks_of_a_multiprocessor(self, name: bytes, threads: int, dynamic_shared: int) -> int:
        return resident_blocks(self.resources[stable_names(name.decode())], threads, dynamic_shared, self.device)

    def _allocated(self, data: int, size: int) -> None:
        if size:
            self.memory.add(data, size, f"scratch of {size} bytes")

    def _freed(self, data: int) -> None:
        self.memory.remove(data)

    def _matmul(self, code: int, left: Any, right: Any, bias: int | None, product: Any) -> int:
        """The product that the bindings get from PyTorch, here on the CPU."""
        if not self.run:
            return 0
        dtype = next(d for d in (torch.float32, torch.bfloat16, torch.float16) if self.dtype_code(d) == code)
        a, b, out = (matrix(dtype, *values[0:5]) for values in (left, right, product))
        offset = matrix(dtype, bias, 1, out.shape[1], out.shape[1], 1)[0] if bias else None
        out.copy_(torch.nn.functional.linear(a, b.t(), offset))
        return 0


def matrix(dtype: torch.dtype, data: int, rows: int, columns: int, row_stride: int, column_stride: int) -> torch.Tensor:
    """A tensor over memory of the launch code; strides are in elements."""
    if not rows or not columns:
        return torch.empty((rows, columns), dtype=dtype)
    elements = (rows - 1) * row_stride + (columns - 1) * column_stride + 1
    memory = (ctypes.c_uint8 * (elements * dtype.itemsize)).from_address(data)
    return torch.frombuffer(memory, dtype=dtype).as_strided((rows, columns), (row_stride, column_stride))
