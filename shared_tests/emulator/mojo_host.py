"""Runs an op's Mojo side: the binding that MAX calls, on MAX's DeviceContext over an emulated driver."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shared_tests.emulator import mojo_build, mojo_entries
from shared_tests.emulator.devices import DEVICES, EMULATED
from shared_tests.emulator.launches import Launched, LaunchError
from shared_tests.emulator.machine import Memory
from shared_tests.emulator.mojo_bindings import KERNELS, binding
from shared_tests.emulator.mojo_driver import Call, driver
from shared_tests.spec import OpSpec

if TYPE_CHECKING:
    from mojo_ops.kernel import Kernel

MESSAGE_SIZE = 4000


class MojoHost:
    """Calls ops on an emulated GPU.

    The op's own Python prepares the launch, as it does for the MAX engine; its products of matrices are PyTorch's.

    Args:
        target: the GPU that the launch code finds; kernels are compiled for it.
        kernels: the sources, `mojo_ops/kernels` or a copy of it.
    """

    def __init__(self, target: str = EMULATED, kernels: Path = KERNELS):
        self.device = DEVICES[target]
        self.kernels = kernels
        self._libraries: dict[str, ctypes.CDLL] = {}

    def call(
        self, spec: OpSpec, args: Sequence[Any], outputs: Sequence[Tensor], *, run: bool = True, **options: Any
    ) -> tuple[Launched, ...]:
        """Call the op; `outputs` are filled, and arguments that the op writes are changed.

        Args:
            spec: of the op.
            args: in schema order; tensors on the CPU.
            outputs: in schema order; empty for an op that writes its arguments.
            run: False records the launches and runs no kernel.
            options: of `machine.Launch`: checks, counters, noise, seed.

        Raises:
            LaunchError: the call raised, or the emulator stopped one of its kernels.
            ToolkitError: the op does not compile.
        """
        entry = binding(spec.name, self.kernels)
        library = self._library(spec.name)
        names = {t.data_ptr(): a.name for a, t in zip(spec.parsed.arguments, args, strict=False) if _has_memory(t)}
        names |= {t.data_ptr(): name for t, name in zip(outputs, spec.out_names, strict=False)}
        call = Call(self.device, Memory(), run, options)

        def launch(kernel: Kernel, tensors: list[Tensor], scalars: Sequence[float]) -> None:
            output_pointers = {t.data_ptr() for t in tensors[: len(kernel.outputs)]}
            views = {t.data_ptr(): t for t in tensors if t.numel()}
            for data, view in views.items():
                size = view.numel() * view.element_size()
                call.memory.add(
                    data, size, names.get(data, f"temporary of {size} bytes"), writable=data in output_pointers
                )
            try:
                self._enter(library, kernel, tensors, scalars, call)
            finally:
                for data in views:
                    call.memory.remove(data)

        with driver().calling(call):
            entry.call(args, outputs, launch)
        return tuple(call.launches)

    def _library(self, op: str) -> ctypes.CDLL:
        if op not in self._libraries:
            driver()  # before MAX's libraries, which look for a driver when they are first used
            self._libraries[op] = ctypes.CDLL(str(mojo_build.build(op, self.device.target, self.kernels)))
        return self._libraries[op]

    @staticmethod
    def _enter(
        library: ctypes.CDLL, kernel: Kernel, tensors: list[Tensor], scalars: Sequence[float], call: Call
    ) -> None:
        dtype = str(tensors[kernel.lead].dtype).removeprefix("torch.")
        numbers = [number for t in tensors for number in (t.data_ptr() if t.numel() else 0, *t.shape)]
        for value, name in zip(scalars, kernel.scalar_types, strict=True):
            is_float = name == "float32"
            numbers.append(struct.unpack("q", struct.pack("d", value))[0] if is_float else int(value))
        arguments = (ctypes.c_int64 * len(numbers))(*numbers)
        message = ctypes.create_string_buffer(MESSAGE_SIZE)
        function = library[mojo_entries.symbol(kernel.name, dtype)]
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        failed = function(arguments, message, MESSAGE_SIZE)
        launches = tuple(call.launches)
        if call.error is not None:
            raise LaunchError(f"{kernel.name}: {call.error}", launches) from call.error
        if failed:
            raise LaunchError(message.value.decode(), launches, call.refusal_reason)


def _has_memory(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() > 0
