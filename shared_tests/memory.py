"""Growth of a process's resident memory over many calls."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from typing import Any

import psutil


def growth(run: Callable[[], Any], calls: int) -> float:
    """Bytes of resident memory that `calls` calls of `run` leave behind, after enough of them to settle the allocators.

    Ask it in a fresh process: in one that has freed much before, a leak fills the holes and nothing is seen.
    """
    process = psutil.Process()
    for _ in range(2_000):
        run()
    before = _settled(process)
    for _ in range(calls):
        run()
    return _settled(process) - before


def _settled(process: psutil.Process) -> float:
    gc.collect()
    # Elsewhere than in glibc, what an allocator keeps for later is counted as growth.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    return float(process.memory_info().rss)
