"""The roof over every kernel: what this machine can move and multiply at most, measured in the same processes.

A kernel row is held to the faster of several ways (`roof.cpp` on one and on all cores, with ordinary and with streaming
stores, and PyTorch's own `copy_` and `add` into ready memory) to move **the same bytes, in the same
working set, with the same share of reads**: small tensors live in a cache, and reading is cheaper than writing. It is
also held to the rate of PyTorch's matrix multiplication in its dtype or float32, or to that of fused multiplication and
addition of float32 in registers, whichever is fastest: MKL reached 234 GFLOP/s on two cores of an AMD processor whose
registers gave 541, and kernels with wider registers than MKL's were wrongly called impossible. The roof is the best of
all processes, so that a row above it is an error of measurement, not a discovery. How much of the bandwidth a row
reaches is told by the copy before and after it in the same processes, since memory's own rate changes between them.

Williams, Waterman and Patterson 2009, “Roofline: an insightful visual performance model”.
"""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from evidence.core.child import run_command
from evidence.core.device_clock import DeviceClock
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.timings import interval_keys
from evidence.sections.runtime.row import RooflineRow, RuntimeRow

SOURCE = Path(__file__).with_name("roof.cpp")
MOST_READS = 3  # arrays read for each one written, as in grayscale; more makes no difference
LARGEST = 128 << 20  # bytes; beyond the last-level cache the rate no longer depends on the working set
CACHED = 16 << 20  # bytes; a larger working set is no cache's of its own for long
LADDER = (32 << 10, 512 << 10, 8 << 20, LARGEST)  # a first, second and third cache, memory: shown, not needed
MATMUL = 1536
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
REGISTERS = "multiply and add in registers"
SLACK = 0.02  # of the roof: a row's own interval is not narrower

Row = dict[str, Any]


def build(folder: Path) -> tuple[str | None, str | None]:
    """Compile `roof.cpp` (2 s) into `folder`; the library, or why there is none: PyTorch's own passes are left then."""
    compiler = os.environ.get("CXX") or next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), None)
    if compiler is None:
        return None, "no C++ compiler"
    library = folder / "roof.so"
    options = [
        "-O3",
        "-march=native",
        "-funroll-loops",
        "-ffp-contract=fast",
        "-std=c++20",
        "-fPIC",
        "-shared",
        "-pthread",
        "-Wno-psabi",
    ]
    finished = run_command([*compiler.split(), *options, str(SOURCE), "-o", str(library)], folder, timeout=120)
    return (str(library), None) if finished.code == 0 else (None, finished.error)


def reads_per_write(read: int, written: int) -> float:
    """Bytes read for each one written, within what is measured: 1 to `MOST_READS`."""
    return min(max(read / max(written, 1), 1.0), float(MOST_READS))


class Bandwidth:
    """Measures bandwidth in this process."""

    def __init__(self, library: str | None, device: str, sync: Callable[[], object], events: DeviceClock | None = None):
        """`library`: what `build` gave; on a GPU PyTorch's passes are the way, timed by `events` as the ops are."""
        self.device, self.sync, self.events = device, sync, events
        self.rates = None
        if library is not None and device == "cpu":
            roof = ctypes.CDLL(library)
            self.rates = roof.roof_rates
            self.rates.restype = ctypes.c_bool
            self.rates.argtypes = [ctypes.c_int] * 3 + [ctypes.c_size_t, ctypes.c_int, ctypes.c_double, ctypes.c_void_p]
            self.flops = roof.roof_flops
            self.flops.restype = ctypes.c_double
            self.flops.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_double]
        self.known: dict[tuple[int, int], Row] = {}

    def registers(self) -> list[Row]:
        """GFLOP/s of float32 in registers, as rows beside those of `matmul`; none on a GPU or without a compiler."""
        if self.rates is None:
            return []
        threads = torch.get_num_threads()
        # One thread's rate times their number too: beside another program the threads wait for each other.
        best = max(self.flops(threads, 5, 0.02), threads * self.flops(1, 5, 0.02))
        return [{"dtype": "float32", "gflops": best / 1e9, "threads": threads, "way": REGISTERS}]

    def measure(self, moved: int, reads: float) -> Row:
        """The rate for a working set of `moved` bytes with `reads` bytes read for each one written.

        `gb_per_s` is the best repeat of all ways, `typical` the median repeat of the way where that is highest. A set
        within the caches is measured once; beyond, memory's rate follows what the machine's other tenants do, by a
        factor of two within minutes, and is measured again each time. Reads are rounded up to whole arrays, since
        reading more can only raise the roof.
        """
        key = (min(moved, LARGEST), math.ceil(reads - 0.05))
        if moved > CACHED or key not in self.known:
            ways = {**self._native(*key), **self._torch(*key)}
            best = max(ways, key=lambda way: max(ways[way]))
            threads = 1 if "one thread" in best else torch.get_num_threads()
            self.known[key] = {
                "bytes": key[0], "reads": key[1], "threads": threads, "way": best, "gb_per_s": max(ways[best]),
                "typical": max(map(statistics.median, ways.values())),
                "ways": {way: max(rates) for way, rates in ways.items()},
            }  # fmt: skip
        return self.known[key]

    def _native(self, moved: int, reads: int) -> dict[str, list[float]]:
        if self.rates is None:
            return {}
        large = moved > CACHED
        cores = torch.get_num_threads()
        repeats = 5 if large else 7
        bytes_per_second = (ctypes.c_double * repeats)()
        ways: dict[str, list[float]] = {}
        for threads in sorted({1, cores} if not large else {cores}):
            for streaming in (0, 1):
                if streaming and moved < 1 << 20:
                    continue  # past the caches is never the way where they hold everything
                if self.rates(reads, streaming, threads, moved, repeats, 0.02 if large else 0.003, bytes_per_second):
                    who = "one thread" if threads == 1 else "all threads"
                    name = f"{who}, {'streaming' if streaming else 'ordinary'} stores"
                    ways[name] = [rate / 1e9 for rate in bytes_per_second]
        return ways

    def _torch(self, moved: int, reads: int) -> dict[str, list[float]]:
        if self.rates is not None and moved < 1 << 20:
            return {}  # the call would be most of it
        count = max(moved // (reads + 1) // 4, 1)
        arrays = [torch.ones(count, dtype=torch.float32, device=self.device) for _ in range(min(reads, 2))]
        out = torch.empty_like(arrays[0])
        touched = (len(arrays) + 1) * count * 4
        name, call = ("torch copy_", lambda: out.copy_(arrays[0]))
        if len(arrays) > 1:
            name, call = ("torch add", lambda: torch.add(*arrays, out=out))
        call()
        if self.events:
            visit = self.events.visit(call)
            return {name: [touched / visit() / 1e3 for _ in range(5)]}
        calls = max(1, min(50, int(4e6 // touched)))
        rates = []
        for _ in range(5):
            self.sync()
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            self.sync()
            rates.append(touched * calls / (time.perf_counter() - begin) / 1e9)
        return {name: rates}


def matmul(device: str, sync: Callable[[], object]) -> list[Row]:
    """GFLOP/s of PyTorch's matrix multiplication, best of five, by dtype."""
    rows: list[Row] = []
    size = MATMUL if device == "cpu" else 4 * MATMUL
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        try:
            rate = _product_rate(size // 6, dtype, device, sync)
            if 2 * size**3 / rate < 0.2:  # else a dtype without a fast path here, for which float32 is the roof
                rate = max(rate, _product_rate(size, dtype, device, sync))
            rows.append({"dtype": name, "gflops": rate / 1e9, "threads": torch.get_num_threads()})
        except RuntimeError as error:
            rows.append({"dtype": name, "gflops": None, "message": f"{type(error).__name__}: {error}"[:200]})
    return rows


def _product_rate(size: int, dtype: torch.dtype, device: str, sync: Callable[[], object]) -> float:
    """Flops a second, the best of two ways: on all threads, and what one thread does times their number.

    Beside another program OpenMP's threads wait for each other, and a product of 10 ms then took seconds.
    """
    cores = torch.get_num_threads()
    best = _fastest_product(size, dtype, device, sync)
    if device == "cpu" and cores > 1:
        torch.set_num_threads(1)
        try:
            best = max(best, cores * _fastest_product(size, dtype, device, sync))
        finally:
            torch.set_num_threads(cores)
    return best


def _fastest_product(size: int, dtype: torch.dtype, device: str, sync: Callable[[], object]) -> float:
    a, b, out = (torch.ones((size, size), dtype=dtype, device=device) for _ in range(3))
    best = math.inf
    for _ in range(6):
        sync()
        begin = time.perf_counter()
        torch.mm(a, b, out=out)
        sync()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


class Roof:
    """The roof of a run: the best of its processes' readings."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.copies: dict[tuple[int, int], list[Row]] = {}
        self.products: dict[tuple[str, str], list[Row]] = {}  # by way and dtype
        self.message: str | None = None

    def add(self, copies: Iterable[Row], products: Iterable[Row] = ()) -> None:
        """What one process measured."""
        for row in copies:
            self.copies.setdefault((row["bytes"], row["reads"]), []).append(row)
        for row in products:
            self.products.setdefault((row.get("way", "matmul"), row["dtype"]), []).append(row)

    def bandwidth(self, moved: int, reads: float) -> Interval | None:
        """GB/s for a working set. What a larger one, or one with a smaller share of reads, reaches, it reaches too."""
        size, most = min(moved, LARGEST), math.ceil(reads - 0.05)
        rates = [[row["gb_per_s"] for row in rows] for (bytes_, r), rows in self.copies.items()
                 if bytes_ >= size and r <= most]  # fmt: skip
        return max(map(_best, rates), key=lambda interval: interval.mid, default=None)

    def product(self, dtype: str) -> Interval | None:
        """GFLOP/s: the fastest of the dtype's and float32's products and of registers; none for integers."""
        if dtype not in {str(d).removeprefix("torch.") for d in DTYPES}:
            return None
        rates = [
            [row["gflops"] for row in rows if row["gflops"]]
            for (_, name), rows in self.products.items()
            if name in (dtype, "float32")
        ]
        return max((_best(values) for values in rates if values), key=lambda interval: interval.mid, default=None)

    def hold(
        self,
        time: Interval,
        moved: int,
        reads: float,
        flops: int,
        dtype: str,
        working_set: int | None = None,
        of_copy: float | None = None,
    ) -> Row:
        """Keys of a kernel row: its share of the roof, the share that it may not pass, what bounds it, and its failure.

        `working_set`: bytes, where it is not what one call moves. `of_copy`: the share of the copy timed beside the
        row in its own processes, which is shown where bandwidth bounds it: what memory gives differs between processes
        more than kernels differ (two cores of a virtual machine copied 67 MB at 52 GB/s in one and at 98 in the next).

        A row fails when even the slow end of its time is above the roof by more than the roof's own uncertainty.
        """
        bandwidth, product = self.bandwidth(working_set or moved, reads), self.product(dtype)
        if bandwidth is None:
            return {}
        least, roof, bound = moved / bandwidth.mid / 1e3, bandwidth, "bandwidth"  # microseconds
        if product and flops / product.mid / 1e3 > least:
            least, roof, bound = flops / product.mid / 1e3, product, "flops"
        limit = roof.high / roof.mid + SLACK
        share = least / time.mid
        if bound == "bandwidth" and of_copy is not None:
            share = of_copy
        keys: Row = {"roofline_share": share, "roofline_limit": limit, "bound": bound}
        if least / time.high > limit:
            unit = "GB/s" if bound == "bandwidth" else "GFLOP/s"
            keys |= {"status": "error", "message": (
                f"above the roof: {least / time.mid:.2f} of the {roof.mid:.0f} {unit} that the fastest way "
                f"reaches here; at most {limit:.2f} can be real, so this time was not measured right"
            )}  # fmt: skip
        return keys

    def rows(self) -> list[RooflineRow]:
        """The rows of the table `roofline`."""
        rows = []
        for (moved, reads), copies in sorted(self.copies.items()):
            best = max(copies, key=lambda copy: copy["gb_per_s"])
            rates = _rates([copy["gb_per_s"] for copy in copies])
            rows.append(
                RooflineRow(
                    device=self.device,
                    kind="copy",
                    dtype="any",
                    threads=best["threads"],
                    unit="GB/s",
                    **rates,
                    bytes=moved,
                    message=self.message,
                    reads_per_write=reads,
                    way=best["way"],
                )
            )
        for (way, dtype), products in self.products.items():
            rates = _rates([product["gflops"] for product in products if product["gflops"]])
            rows.append(
                RooflineRow(
                    device=self.device,
                    kind="matmul" if way == "matmul" else "registers",
                    dtype=dtype,
                    threads=products[0].get("threads"),
                    unit="GFLOP/s",
                    **rates,
                    elements=MATMUL**2 if way == "matmul" else None,
                    message=next((product["message"] for product in products if product.get("message")), None),
                )
            )
        return rows


def _rates(rates: list[float]) -> dict[str, Any]:
    return interval_keys(_best(rates) if rates else None, "value", "low", "high")


def _best(rates: list[float]) -> Interval:
    """The best process, down to the worst one, and above it by as much as the two best differ at the most."""
    best, worst = max(rates), min(rates)
    return Interval(best, worst, best + (best - worst))


def above_roof(pack: Pack) -> list[str]:
    """One sentence for each run-time row that is above the roof by more than the roof's uncertainty."""
    return [
        f"{row.op} {row.sample} {row.dtype}, {row.route} ({row.mode}): {row.message}"
        for row in pack.table(RuntimeRow)
        if (row.message or "").startswith("above the roof")
    ]
