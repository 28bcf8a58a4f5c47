"""The emulated CUDA driver below MAX's DeviceContext: one of a process, made of `cuda_driver.c` and these callbacks."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass, field
from typing import Any

from shared_tests.emulator import mojo_build, mojo_cublas, ptx
from shared_tests.emulator.devices import MAX_THREADS_PER_BLOCK, STATIC_SHARED, Device, attribute
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.machine import Launch, Memory
from shared_tests.emulator.resources import OUT_OF_RESOURCES, Resources, launch_refusal, resident_blocks, resources

# CUresult. A wrong configuration, which the runtime tells apart, is an invalid value here.
SUCCESS, INVALID_VALUE, LAUNCH_FAILED = 0, 1, 719
BLAS_FAILED = 13  # CUBLAS_STATUS_EXECUTION_FAILED
_ERRORS = {
    INVALID_VALUE: ("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    OUT_OF_RESOURCES: ("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"),
    LAUNCH_FAILED: ("CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    801: ("CUDA_ERROR_NOT_SUPPORTED", "operation not supported"),
}
_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

_CALLBACKS = {
    "device_attribute": ctypes.CFUNCTYPE(c_int, c_int),
    "load": ctypes.CFUNCTYPE(c_int, c_char_p),
    "function": ctypes.CFUNCTYPE(c_int, c_int, c_char_p),
    "function_attribute": ctypes.CFUNCTYPE(c_int, c_int, c_int),
    "set_function_attribute": ctypes.CFUNCTYPE(c_int, c_int, c_int, c_int),
    "resident_blocks": ctypes.CFUNCTYPE(c_int, c_int, c_int, c_size_t),
    "launch": ctypes.CFUNCTYPE(c_int, c_int, POINTER(c_uint), POINTER(c_void_p), c_uint),
    "allocated": ctypes.CFUNCTYPE(None, c_uint64, c_size_t),
    "freed": ctypes.CFUNCTYPE(None, c_uint64),
    "error_name": ctypes.CFUNCTYPE(c_void_p, c_int),
    "error_string": ctypes.CFUNCTYPE(c_void_p, c_int),
}


class _Emulator(ctypes.Structure):
    """`struct Emulator` of cuda_driver.c."""

    _fields_ = (("device_name", c_char_p), *_CALLBACKS.items())


@dataclass
class Call:
    """What happens while an op is called.

    device: what launches are checked against.
    memory: that kernels may touch.
    run: whether kernels are executed, not only recorded.
    options: of `machine.Launch`.
    launches: so far.
    error: the exception that ended a kernel; it must not pass through MAX.
    refusal_reason: why a launch was refused.
    """

    device: Device
    memory: Memory
    run: bool
    options: dict[str, Any]
    launches: list[Launched] = field(default_factory=list)
    error: Exception | None = None
    refusal_reason: str | None = None


@dataclass
class _Function:
    module: str
    name: str
    max_dynamic_shared: int = STATIC_SHARED


class Driver:
    """Gets what MAX asks of the driver; see `driver`."""

    def __init__(self) -> None:
        # With a memory manager MAX maps memory by itself, and a buffer has no bounds to check accesses against.
        os.environ["MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE"] = "0"
        library, management, blas = mojo_build.driver()
        self._library = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self._management = ctypes.CDLL(str(management), mode=ctypes.RTLD_GLOBAL)
        self._blas = ctypes.CDLL(str(blas), mode=ctypes.RTLD_GLOBAL)
        self._multiply = mojo_cublas.Multiply(self._multiplied)
        self._blas.emulate_cublas_with(self._multiply)
        if ctypes.CDLL(mojo_build.DRIVER)._handle != self._library._handle:
            raise RuntimeError("this process has loaded NVIDIA's driver; kernels are emulated in a process without it")
        self._modules: list[str] = []
        self._functions: list[_Function] = []
        self._call: Call | None = None
        self._callbacks: _Emulator | None = None
        self._texts = {
            error: tuple(ctypes.create_string_buffer(text.encode()) for text in texts)
            for error, texts in _ERRORS.items()
        }

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """Within, launches belong to `call`; one at a time."""
        self._call = call
        if self._callbacks is None:
            functions = {name: kind(getattr(self, f"_{name}")) for name, kind in _CALLBACKS.items()}
            self._callbacks = _Emulator(device_name=call.device.name.encode(), **functions)
            self._library.emulate_driver_with(ctypes.byref(self._callbacks))
        self._callbacks.device_name = call.device.name.encode()
        try:
            yield
        finally:
            self._call = None

    @property
    def call(self) -> Call:
        """The call that goes on."""
        assert self._call is not None
        return self._call

    # What cuda_driver.c calls. Exceptions cannot pass through it: they are kept, and raised when the op returns.

    def _device_attribute(self, number: int) -> int:
        return attribute(self.call.device, number)

    def _load(self, text: bytes) -> int:
        module = text.decode()
        if module not in self._modules:
            self._modules.append(module)
        return self._modules.index(module) + 1

    def _function(self, module: int, name: bytes) -> int:
        self._functions.append(_Function(self._modules[module - 1], name.decode()))
        return len(self._functions)

    def _needs(self, number: int) -> Resources:
        function = self._functions[number - 1]
        return resources(function.module, self.call.device.target)[function.name]

    def _function_attribute(self, number: int, attribute: int) -> int:
        kernel = self._needs(number)
        bound = kernel.max_threads or MAX_THREADS_PER_BLOCK
        return {0: bound, 1: kernel.static_shared, 4: kernel.registers}.get(attribute, 0)

    def _set_function_attribute(self, number: int, attribute: int, value: int) -> int:
        if attribute == _MAX_DYNAMIC_SHARED:
            if value + self._needs(number).static_shared > self.call.device.block_shared:
                return INVALID_VALUE
            self._functions[number - 1].max_dynamic_shared = value
        return SUCCESS

    def _resident_blocks(self, number: int, threads: int, dynamic_shared: int) -> int:
        return resident_blocks(self._needs(number), threads, dynamic_shared, self.call.device)

    def _launch(self, number: int, dimensions: Any, arguments: Any, dynamic_shared: int) -> int:
        try:
            return self._launched(self._functions[number - 1], dimensions, arguments, dynamic_shared)
        except Exception as error:
            self.call.error = error
            return LAUNCH_FAILED

    def _launched(self, function: _Function, dimensions: Any, arguments: Any, dynamic_shared: int) -> int:
        call, name = self.call, function.name
        grid, block = tuple(dimensions[0:3]), tuple(dimensions[3:6])
        launch = Launched(name, grid, block, dynamic_shared, None, function.module, 0.0)
        kernel_resources = resources(function.module, call.device.target)[name]
        if refusal := launch_refusal(kernel_resources, launch, call.device):
            call.refusal_reason = f"{name}: {refusal.reason}"
            return refusal.error if refusal.error == OUT_OF_RESOURCES else INVALID_VALUE
        if dynamic_shared > function.max_dynamic_shared:
            call.refusal_reason = f"{name}: {dynamic_shared} bytes of dynamic shared memory were not asked for before"
            return INVALID_VALUE
        if not call.run:
            call.launches.append(launch)
            return SUCCESS
        module = _parsed(function.module)
        kernel = module.kernels[name]
        values = [ctypes.string_at(arguments[i], parameter.size) for i, parameter in enumerate(kernel.parameters)]
        start = time.perf_counter()
        report = Launch(kernel, module, grid, block, values, call.memory, dynamic_shared, **call.options).run()
        seconds = time.perf_counter() - start
        call.launches.append(Launched(name, grid, block, dynamic_shared, report, function.module, seconds))
        return SUCCESS

    def _multiplied(self, product: Any) -> int:
        try:
            if self.call.run:
                mojo_cublas.multiply(product.contents, self.call.memory)
            return SUCCESS
        except Exception as error:
            self.call.error = error
            return BLAS_FAILED

    def _allocated(self, data: int, size: int) -> None:
        if size:
            self.call.memory.add(data, size, f"scratch of {size} bytes")

    def _freed(self, data: int) -> None:
        if self._call is not None:  # MAX may free what it holds when the process ends
            self._call.memory.remove(data)

    def _error_name(self, error: int) -> int:
        return ctypes.addressof(self._texts[error][0])

    def _error_string(self, error: int) -> int:
        return ctypes.addressof(self._texts[error][1])


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> ptx.Module:
    return ptx.parse(text)


@functools.cache
def driver() -> Driver:
    """The driver of this process; loaded when it is first asked for, and then in the place of NVIDIA's for good.

    Raises:
        RuntimeError: this process has loaded NVIDIA's own.
        ToolkitError: it could not be compiled.
    """
    return Driver()
