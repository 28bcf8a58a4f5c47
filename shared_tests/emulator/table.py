"""The results of an emulation as a table, its problems as a list, and a note on what they do not show."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from shared_tests.emulator.devices import DEVICES
from shared_tests.emulator.run import CaseResult, Need

NOTE = (
    "Emulated: PTX for sm_90, executed on this CPU. Registers, spills and occupancy are those of each target's "
    "machine code. Sectors and wavefronts are relative to the least for what each instruction of a warp accesses, so "
    "data that is read twice does not show; instructions are PTX instructions of a warp; all are of the rows of whole "
    "vectors. Not shown: time, caches and scheduling; the order and number of SASS instructions; AMD GPUs; TMA, wgmma "
    "and clusters; weak memory order, except where it is a race."
)
NO_VALUE = "–"
SHORT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "uint8": "u8"}
WRONG = "wrong"
SHOWN = 3  # problems of one op, side and dtype


def results_table(results: Sequence[CaseResult]) -> Table:
    """One row for each op, side and dtype."""
    targets = "/".join(name.removeprefix("sm_") for name in DEVICES)
    table = Table(title="GPU kernels, emulated", title_justify="left", box=SIMPLE_HEAD)
    for name in ("op", "side", "dtype"):
        table.add_column(name, no_wrap=True)
    for name in (
        "cases", "wrong", "problems", "load\nsectors", "store\nsectors", "wave-\nfronts", "instructions\nper 32",
        f"registers\n{targets}", f"occupancy, %\n{targets}", "spills,\nbytes",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for (op, side, dtype), group in itertools.groupby(sorted(results, key=key), key):
        table.add_row(op, side, SHORT.get(dtype, dtype), *row(list(group)))
    return table


def key(result: CaseResult) -> tuple[str, str, str]:
    """What a row of the table stands for."""
    return result.op, result.side, result.dtype


def row(results: list[CaseResult]) -> Iterable[str]:
    """The figures of one row. Sectors, wavefronts and instructions are relative: to the least, and to 32 elements."""
    wrong_count = sum(result.wrong is not None for result in results)
    problem_count = sum(bool(result.problems) for result in results)
    whole_row_results = [result for result in results if result.whole_rows]
    counters = [launch.counters for result in whole_row_results for launch in result.launches]
    elements = sum(result.elements for result in whole_row_results if result.launches)

    def share(requested: Callable[..., int], least: Callable[..., int]) -> str:
        total = sum(map(least, counters))
        return f"{sum(map(requested, counters)) / total:.2f}" if total else NO_VALUE

    yield str(len(results))
    yield flagged(wrong_count)
    yield flagged(problem_count)
    yield share(lambda c: c.load_sectors, lambda c: c.least_load_sectors)
    yield share(lambda c: c.store_sectors, lambda c: c.least_store_sectors)
    yield share(lambda c: c.wavefronts, lambda c: c.least_wavefronts)
    yield f"{32 * sum(c.warp_instructions for c in counters) / elements:.0f}" if elements else NO_VALUE
    yield by_target(results, lambda need: need.registers, max)
    yield by_target(results, lambda need: round(100 * need.occupancy), min)
    spills = [need.spill_stores for result in results for needs in result.needs.values() for need in needs]
    yield str(max(spills, default=0) or NO_VALUE)


def flagged(count: int) -> str:
    """A number that should be 0."""
    return f"[bold red]{count}[/]" if count else "0"


def by_target(results: list[CaseResult], value: Callable[[Need], int], worst: Callable[..., int]) -> str:
    """The worst value over all launches, for each target."""
    cells = []
    for target in DEVICES:
        values = [value(need) for result in results for need in result.needs.get(target, ())]
        cells.append(str(worst(values)) if values else NO_VALUE)
    return "/".join(cells) if any(cell != NO_VALUE for cell in cells) else NO_VALUE


def failures(results: Sequence[CaseResult]) -> Iterable[str]:
    """A line for each kind of failure of an op, side and dtype: how many cases, the first of them, and what it is."""
    for (op, side, dtype), group in itertools.groupby(sorted(results, key=key), key):
        counts: Counter[str] = Counter()
        first: dict[str, str] = {}
        for result in group:
            texts = [*([f"{WRONG}: {result.wrong}"] if result.wrong else []), *result.problems]
            for text in texts:
                # The same failure has other numbers at another place or size.
                kind = WRONG if text.startswith(WRONG) else re.sub(r"\d[\d.e+-]*", "#", text)
                counts[kind] += 1
                first.setdefault(kind, f"{result.case}: {text}")
        for kind, count in counts.most_common(SHOWN):
            yield f"{op}, {side}, {dtype}, {times(count)} {demangled(first[kind])}"
        if len(counts) > SHOWN:
            yield f"{op}, {side}, {dtype}: {len(counts) - SHOWN} more kinds"


def times(count: int) -> str:
    """In how many cases, as the beginning of a description of the first of them."""
    return "1 case:" if count == 1 else f"{count} cases, first"


def demangled(text: str) -> str:
    """The text with readable names of C++ kernels, where the compiler's c++filt is there."""
    if "_Z" not in text or not shutil.which("c++filt"):
        return text
    # Without --no-params the name of a template has its return type in front.
    process = subprocess.run(["c++filt", "--no-params"], input=text, capture_output=True, text=True, check=False)
    return process.stdout.rstrip("\n").replace("cpp_ext::", "") if process.returncode == 0 else text
