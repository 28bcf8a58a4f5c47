"""Growth of a process's resident memory over many calls."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from typing import Any

import psutil


def growth(run: Callable[[], Any], calls: int) -> float:
    """Bytes by which `calls` calls of `run` increase resident memory, after calls that warm up the allocators.

    Call it in a fresh process: where much memory has been freed before, a leak reuses it and does not show.
    """
    process = psutil.Process()
    for _ in range(2_000):
        run()
    baseline = _resident_bytes(process)
    for _ in range(calls):
        run()
    return _resident_bytes(process) - baseline


def _resident_bytes(process: psutil.Process) -> float:
    gc.collect()
    # Only glibc can return memory that the allocator keeps; with other libraries it counts as growth.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    return float(process.memory_info().rss)
