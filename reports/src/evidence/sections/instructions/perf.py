"""The processor's own counter of user-space instructions, through perf_event_open(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTE_BYTES = 64  # PERF_ATTR_SIZE_VER0
_HARDWARE, _INSTRUCTIONS = 0, 1
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
_ENABLE, _DISABLE, _RESET = 0x2400, 0x2401, 0x2403
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


class Unavailable(RuntimeError):
    """This machine does not count instructions; the message says why."""


class Counter:
    """Counts what the calling thread executes in user space between `start` and `stop`.

    Raises:
        Unavailable: the system has no counter, or does not allow its use.
    """

    def __init__(self) -> None:
        number = _SYSCALL.get(platform.machine())
        if platform.system() != "Linux" or number is None:
            raise Unavailable(f"perf_event_open is not known on {platform.system()} {platform.machine()}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = _DISABLED | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
        # type, size, config, period, sample_type, read_format, flags; the rest stays 0
        fields = struct.pack("=IIQQQQQ", _HARDWARE, _ATTRIBUTE_BYTES, _INSTRUCTIONS, 0, 0, 0, flags)
        attribute = ctypes.create_string_buffer(fields, _ATTRIBUTE_BYTES)
        self._file = self._libc.syscall(number, attribute, 0, -1, -1, 0)
        if self._file < 0:
            raise Unavailable(explained(ctypes.get_errno()))

    def start(self) -> None:
        """Count from 0."""
        self._control(_RESET)
        self._control(_ENABLE)

    def stop(self) -> int:
        """The count since `start`."""
        self._control(_DISABLE)
        return int.from_bytes(os.read(self._file, 8), "little")

    def _control(self, request: int) -> None:
        if self._libc.ioctl(self._file, request, 0):
            raise Unavailable(f"the counter of perf failed: {os.strerror(ctypes.get_errno())}")


def explained(error: int) -> str:
    """Why perf_event_open(2) failed, by its error number."""
    if error in (errno.EACCES, errno.EPERM):
        level = _PARANOID.read_text().strip() if _PARANOID.exists() else "unknown"
        return f"perf is not permitted here (kernel.perf_event_paranoid is {level}; 2 or less allows it)"
    if error in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
        return "this machine has no counter of instructions (virtual machines often have none)"
    return f"perf_event_open: {os.strerror(error)}"
