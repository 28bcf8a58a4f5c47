"""Statuses of the matrix of targets, and how compilers run beside each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psutil

from evidence.core.child import side_by_side
from evidence.core.row import Side
from evidence.sections.targets.processors import Target
from evidence.sections.targets.row import Status, TargetRow

T = TypeVar("T")

BUILT: Status = "built"
FAILED: Status = "failed"
NO_TOOLS: Status = "no tool chain"
NO_SOURCE: Status = "no source"
DID_NOT_RUN: Status = "did not run"
SIDES: tuple[Side, ...] = ("cpp", "mojo", "mojo_aot")
COMPILER_BYTES = 2 << 30  # the catalogue in one: MAX takes 1.6 GB, mojo build 1.1 GB


def same(ops: Sequence[str], side: Side, target: Target, status: Status, message: str) -> list[TargetRow]:
    """One answer for every op."""
    return [TargetRow(op=op, side=side, target=target.name, status=status, message=message) for op in ops]


def compile_all(calls: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Results of calls that wait for compilers, a core and COMPILER_BYTES each, as they come."""
    free = psutil.virtual_memory().available // COMPILER_BYTES
    return side_by_side(calls, min(os.cpu_count() or 1, max(1, free)))
