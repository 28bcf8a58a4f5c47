"""Memory requests of the lanes of a chunk, performed and checked by memory.c."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from shared_tests.emulator.lanes import WARP, Lanes
from shared_tests.emulator.memory import Buffer
from shared_tests.emulator.native import library
from shared_tests.emulator.problems import MEMORY_KINDS, STOPPING, EmulationError, Problems
from shared_tests.emulator.values import UNDEFINED, UNSIGNED, Value

SPACES = {"global": 0, "const": 0, "shared": 1, "local": 2, "param": 3, "generic": 4}
WINDOWS = {"global": 0, "const": 0, "shared": 1 << 60, "local": 2 << 60, "param": 3 << 60}
_OPERATIONS = ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec")
OPERATIONS = {name: number for number, name in enumerate(_OPERATIONS)}
ATOMIC_TYPES = {"u32": 0, "b32": 0, "s32": 1, "u64": 2, "b64": 2, "s64": 3, "f32": 4, "f64": 5}
ISSUE, COMPLETE = 1, 2  # the two halves of an asynchronous copy

_Pointer, _Integer, _Time = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint32
CELL_BYTES = 16
COUNTS = ("sectors", "least_sectors", "wavefronts", "least_wavefronts")


def _fields(**groups: Any) -> list[tuple[str, Any]]:
    return [(name, kind) for names, kind in groups.values() for name in names.split()]


class _Buffer(ctypes.Structure):
    _fields_ = [("start", ctypes.c_uint64), ("size", ctypes.c_uint64), ("cells", _Pointer), ("writable", _Integer)]


class _Finding(ctypes.Structure):
    _fields_ = [*((name, _Integer) for name in ("hits", "lane", "other", "buffer")), ("address", ctypes.c_uint64)]


class _State(ctypes.Structure):
    _fields_ = _fields(
        buffers=("buffers", _Pointer),
        buffer_count=("buffer_count", _Integer),
        spaces=("shared local param", _Pointer),
        sizes=("shared_size shared_stride local_size local_stride param_size", _Integer),
        shared_cells=("shared_cells", _Pointer),
        shared_cell_stride=("shared_cell_stride", _Integer),
        times=("barrier_time warp_time fence_time counts", _Pointer),
        settings=("lanes block_lanes first_block cell_shift counters", _Integer),
    )


class _Request(ctypes.Structure):
    _fields_ = [
        *_fields(
            arrays=("mask addresses data", _Pointer),
            settings=("space element_size elements write tracked counted issue position", _Integer),
        ),
        ("time", _Time),
        ("has_findings", _Time),
        ("findings", _Finding * len(MEMORY_KINDS)),
    ]


def _address(array: Any) -> int:
    return int(array.ctypes.data)


class GlobalMemory:
    """The buffers of a launch, with a record of accesses for each cell.

    cell_shift: log2 of the bytes of a cell, which is as wide as the kernel's narrowest access.
    """

    def __init__(self, buffers: Sequence[Buffer], cell_shift: int, checks: bool):
        self.buffers = buffers
        self.cell_shift = cell_shift
        self.table = (_Buffer * max(1, len(buffers)))()
        self._cells = []
        for entry, buffer in zip(self.table, buffers, strict=False):
            first, last = buffer.address >> cell_shift, (buffer.end - 1) >> cell_shift
            cells = np.zeros((last - first + 1) * CELL_BYTES if checks else 0, np.uint8)
            self._cells.append(cells)
            entry.start, entry.size, entry.writable = buffer.address, buffer.size, buffer.writable
            entry.cells = _address(cells) if checks else None


class Requests:
    """Performs the memory requests of one chunk of blocks.

    shared, local: bytes per block and per lane. param: the launch's parameters, uint8.
    counts: int64 [instructions, 4], in the order of COUNTS; the requests add to it.
    fence_time: uint32 [blocks of the grid].
    """

    def __init__(
        self,
        memory: GlobalMemory,
        problems: Problems,
        *,
        lanes: int,
        block_lanes: int,
        first_block: int,
        shared: int,
        local: int,
        param: Any,
        counts: Any,
        fence_time: Any,
        checks: bool,
        counters: bool,
    ):
        blocks, shift = lanes // block_lanes, memory.cell_shift
        self.memory, self.problems = memory, problems
        self.lanes, self.block_lanes, self.first_block = lanes, block_lanes, first_block
        self.time = 0
        # Uninitialised memory is not zero, so that a missing initialisation shows in the values.
        shared_stride, local_stride = (-(-size // 16) * 16 for size in (shared, local))
        self._shared = np.full(blocks * shared_stride, UNDEFINED, np.uint8)
        self._local = np.full(lanes * local_stride, UNDEFINED, np.uint8)
        cell_stride = shared_stride >> shift
        self._cells = np.zeros(blocks * cell_stride * CELL_BYTES, np.uint8)
        self.barrier_time = np.zeros(blocks, np.uint32)
        self.warp_time = np.zeros(lanes // WARP, np.uint32)
        self.fence_time = fence_time
        self._keep = param, counts
        self._state = _State(
            ctypes.addressof(memory.table), len(memory.buffers),
            _address(self._shared), _address(self._local), _address(param),
            shared, shared_stride, local, local_stride, len(param),
            _address(self._cells) if checks else None, cell_stride,
            _address(self.barrier_time), _address(self.warp_time), _address(fence_time), _address(counts),
            lanes, block_lanes, first_block, shift, counters,
        )  # fmt: skip
        self._request = _Request()
        self._pointers = ctypes.byref(self._state), ctypes.byref(self._request)
        self._perform = library().request
        self._perform_atomic = library().atomic_request
        self._perform_atomic.argtypes = [_Pointer, _Pointer, _Pointer, _Integer, ctypes.c_int, ctypes.c_int]

    def load(self, position: int, lanes: Lanes, space: str, addresses: Value, element: int, elements: int, *,
             tracked: bool = True, counted: bool = True) -> Any:  # fmt: skip
        """Reads `elements` values of `element` bytes; unsigned [elements, lanes], undefined for other lanes."""
        data = np.empty((elements, self.lanes), UNSIGNED[8 * element])
        self._run(position, lanes, space, addresses, data, write=False, tracked=tracked, counted=counted)
        return data

    def store(self, position: int, lanes: Lanes, space: str, addresses: Value, values: Sequence[Value], element: int, *,
              tracked: bool = True, counted: bool = True, issue: int = 0) -> None:  # fmt: skip
        """Writes values of `element` bytes per lane, each an array of the lanes or a scalar.

        issue: ISSUE marks the destination of an asynchronous copy without writing it, COMPLETE writes it.
        """
        data = np.empty((len(values), self.lanes), UNSIGNED[8 * element])
        for row, value in zip(data, values, strict=True):
            row[...] = value.view(data.dtype)
        self._run(position, lanes, space, addresses, data, write=True, tracked=tracked, counted=counted, issue=issue)

    def atomic(self, position: int, lanes: Lanes, space: str, addresses: Value, operation: str, kind: str,
               operands: Sequence[Value], order: Any) -> Any:  # fmt: skip
        """Performs a read-modify-write of each lane in the order of lane numbers given; returns the old values."""
        width = int(kind[1:])
        data = np.empty((len(operands), self.lanes), UNSIGNED[width])
        for row, value in zip(data, operands, strict=True):
            row[...] = value.view(data.dtype)
        self._prepare(position, lanes, space, addresses, data[:1], write=True, tracked=True, counted=False, issue=0)
        order = np.ascontiguousarray(order, np.int64)
        self._perform_atomic(*self._pointers, _address(order), len(order), OPERATIONS[operation], ATOMIC_TYPES[kind])
        self._report(position)
        return data[0]

    def _prepare(self, position: int, lanes: Lanes, space: str, addresses: Value, data: Any, *,
                 write: bool, tracked: bool, counted: bool, issue: int) -> None:  # fmt: skip
        if addresses.shape != (self.lanes,) or addresses.dtype != np.uint64 or not addresses.flags.c_contiguous:
            full = np.empty(self.lanes, np.uint64)
            full[...] = addresses
            addresses = full
        request = self._request
        request.mask, request.addresses, request.data = _address(lanes.mask), _address(addresses), _address(data)
        request.elements, request.element_size = data.shape[0], data.dtype.itemsize
        request.space, request.position, request.time = SPACES[space], position, self.time
        request.write, request.tracked, request.counted, request.issue = write, tracked, counted, issue
        self._arrays = lanes.mask, addresses, data  # alive until the request has been performed

    def _run(self, position: int, lanes: Lanes, space: str, addresses: Value, data: Any, *,
             write: bool, tracked: bool, counted: bool, issue: int = 0) -> None:  # fmt: skip
        self._prepare(
            position, lanes, space, addresses, data, write=write, tracked=tracked, counted=counted, issue=issue
        )
        self._perform(*self._pointers)
        self._report(position)

    def _report(self, position: int) -> None:
        """Passes the findings of a request on. Raises EmulationError for an access that cannot be performed."""
        if not self._request.has_findings:
            return
        stop = None
        for kind, finding in zip(MEMORY_KINDS, self._request.findings, strict=True):
            if finding.hits:
                problem = self.problems.add(kind, position, self._detail(finding))
                finding.hits = 0
                stop = problem if kind in STOPPING else stop
        self._request.has_findings = 0
        if stop is not None:
            raise EmulationError(stop.message)

    def _detail(self, finding: _Finding) -> str:
        thread, block = finding.lane % self.block_lanes, finding.lane // self.block_lanes + self.first_block
        parts = [f"thread {thread} of block {block}"]
        if finding.other >= 0:
            other_thread = divmod(finding.other, self.block_lanes)
            parts.append(f"and thread {other_thread[1]} of block {other_thread[0]}")
        if finding.buffer >= 0:
            buffer = self.memory.buffers[finding.buffer]
            parts.append(f"byte {finding.address - buffer.address} of the {buffer.size} of {buffer.name}")
        else:
            parts.append(f"address {finding.address:#x}")
        return ", ".join(parts).replace(", and", " and")
