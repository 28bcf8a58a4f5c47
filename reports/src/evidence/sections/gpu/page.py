"""What the page shows of the GPU kernels: what ran on a device, what was emulated, what only built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import SIDE_NAMES, SIDES, representative
from evidence.core.section import declarations
from evidence.core.status import PARTLY, RIGHT, UNKNOWN, WRONG, Status
from evidence.judge.judgement import pointed
from evidence.judge.questions import AMD, NVIDIA
from evidence.page.blocks import Block, Details, Method, Text, banner, rows_details
from evidence.page.common import anchor, commit_note, finding, op_link
from evidence.page.table import BOTH, Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.gpu import readings as gpu
from evidence.sections.gpu.row import GpuRow

WARP = 32


def content(pack: Pack) -> list[Block]:
    """How far the kernels came by vendor; folded: the emulation by op, and every counter."""
    blocks: list[Block] = [
        *finding(*_findings(pack)),
        *banner(pack, "gpu", "Emulation", BOTH),
        vendor_table(pack),
        Method("gpu"),
    ]
    if not pack.table(GpuRow):
        return blocks
    return [
        *blocks,
        Details(
            "Emulation op by op",
            (*_commit(pack), op_table(pack)),
            id="gpu-by-op",
            classes="data",
        ),
        rows_details("Counters of every op and dtype", counter_table(pack)),
        rows_details("Registers and occupancy of every kernel by target", kernel_table(pack)),
    ]


def _commit(pack: Pack) -> list[Block]:
    commit = other_commit(pack)
    return [Text(commit, "note")] if commit else []


def _findings(pack: Pack) -> Iterator[str]:
    """What ran on a device, what emulation showed, and what the three words mean."""
    if not any(_ran_on_device(pack, vendor, side) for vendor in (NVIDIA, AMD) for side in SIDES):
        yield "No GPU kernel was run on a device here, so nothing is said of its speed."
    if summary := gpu.summary(pack):
        yield text.upper_first(summary) + "."
    yield (
        "Built: a compiler accepts it. Emulated: executed on the CPU, which shows results and memory accesses but no "
        "time. Run: executed on a device."
    )


METHODS = {
    "gpu": "Both compilers emit PTX, and the emulator of shared_tests executes it on the CPU: the launch code of "
    "each side runs unmodified, every memory access is checked for bounds, alignment, races and initialisation, "
    "results are held to the tolerance of the op's spec, and a launch that needs more registers, threads or shared "
    "memory than one of the targets has is a problem. Counted are memory sectors of 32 bytes (relative to the "
    "fewest that hold the bytes requested; what is read twice counts twice, and the sectors of the op's data, read "
    "and written once, stand beside them), wavefronts of shared memory (relative to an access "
    "without bank conflicts) and warp instructions. Registers, spills and occupancy are those of ptxas. Emulation "
    "shows no time, no machine code (ptxas reorders and merges instructions), no AMD GPU, no TMA or wgmma, and no "
    "weak memory ordering; products of a vendor's library are PyTorch's.",
}


def other_commit(pack: Pack) -> str | None:
    """A sentence where the emulation and the rest of a pack are of different commits."""
    return commit_note(pack, "gpu_commit", "The emulation")


def vendor_table(pack: Pack) -> Table:
    """How far the kernels of each side came on the GPUs of each vendor: on a device, emulated, built."""
    rows = (row(vendor, *(_reached(pack, vendor, side) for side in SIDES)) for vendor in (NVIDIA, AMD))
    heads = columns("GPU", *(SIDE_NAMES[side] for side in SIDES))
    return Table("How far the kernels came, by vendor", heads, tuple(rows), classes="grid wrap", where=BOTH)


def _reached(pack: Pack, vendor: str, side: str) -> Cell:
    steps = (_on_device(pack, vendor, side), _under_emulation(pack, vendor, side), _built(pack, vendor, side))
    return Cell(statuses=steps)


def _ran_on_device(pack: Pack, vendor: str, side: str) -> list[Any]:
    """The checks that a side's representative was put to on a GPU of this vendor."""
    is_amd = bool(pack.facts("versions").get("torch_hip"))
    return [
        entry.row
        for entry in pointed(pack, "correctness")
        if entry.row.device == "cuda" and is_amd == (vendor == AMD) and entry.row.route == representative(side, "cuda")
    ]


def _on_device(pack: Pack, vendor: str, side: str) -> Status:
    rows = _ran_on_device(pack, vendor, side)
    if not rows:
        return UNKNOWN.called("not run on a device")
    passed, failed = sum(check.passed for check in rows), sum(check.failed for check in rows)
    word = f"run on a device: {passed:,} of {text.count(passed + failed, 'check')} passed"
    return WRONG.called(word) if failed else RIGHT.called(word)


def _under_emulation(pack: Pack, vendor: str, side: str) -> Status:
    if vendor == AMD:
        return UNKNOWN.called("cannot be emulated")
    shown = gpu.emulated(pack).get(side)
    if shown is None:
        return UNKNOWN.called("not emulated")
    right = len(shown.ops) - len(shown.faulty)
    word = f"emulated: {right} of {text.count(len(shown.ops), 'op')} right, {text.count(shown.cases, 'call')}"
    return RIGHT.called(word) if shown.right else WRONG.called(word)


def _built(pack: Pack, vendor: str, side: str) -> Status:
    covered = next((coverage(pack, side).get(vendor) for _, coverage in declarations("judge", "coverage")), None)
    if covered is None:
        return UNKNOWN.called("not built")
    targets = len(covered.built) + len(covered.failed) + len(covered.untried)
    word = f"built for {len(covered.built)} of {text.count(targets, 'target')}"
    if covered.complete:
        return RIGHT.called(word)
    if covered.failed:
        return WRONG.called(word)
    return PARTLY.called(word) if covered.built else UNKNOWN.called(word)


def op_table(pack: Pack) -> Table:
    """Ops as rows with their emulation on each side."""
    ops: dict[str, dict[str, list[GpuRow]]] = {}
    for emulated in pack.table(GpuRow):
        ops.setdefault(emulated.op, {}).setdefault(emulated.side, []).append(emulated)
    rows = (row(Cell(op_link(op)), *(_cell(sides.get(side, [])) for side in SIDES)) for op, sides in ops.items())
    heads = columns("Op, emulated", *(SIDE_NAMES[side] for side in SIDES))
    return Table("Emulation op by op", heads, tuple(rows), classes="grid wrap")


def _cell(rows: Sequence[GpuRow]) -> Cell:
    """One op on one side: whether its results are right in every dtype, and its counters."""
    tried = [emulated for emulated in rows if gpu.tried(emulated)]
    if not tried:
        message = next((emulated.message for emulated in rows if emulated.message), None)
        return Cell(statuses=(UNKNOWN.called("not emulated"),), notes=(message,) if message else ())
    wrong, problems = (sum(emulated.wrong for emulated in tried), sum(emulated.problems for emulated in tried))
    cases = sum(emulated.cases for emulated in tried)
    if wrong or problems:
        word = f"{wrong} of {text.count(cases, 'call')} wrong, {text.count(problems, 'problem')}"
        messages = [f"{emulated.dtype}: {emulated.message}" for emulated in tried if emulated.message]
        return Cell(statuses=(WRONG.called(word),), notes=tuple(messages[:2]))
    return Cell(statuses=(RIGHT.called(text.count(cases, "call")),), notes=tuple(_counters(tried)))


def _counters(rows: Sequence[GpuRow]) -> Iterator[str]:
    """Memory sectors, wavefronts, instructions and registers over the dtypes of an op on a side."""
    notes = (
        _share("memory sectors", (gpu.traffic_share(counted) for counted in rows)),
        _share(
            "shared memory wavefronts",
            (_ratio(counted.wavefronts, counted.least_wavefronts) for counted in rows),
        ),
        _instructions(rows),
        _registers(rows),
    )
    return (note for note in notes if note)


def _ratio(value: int | None, least: int | None) -> float | None:
    return value / least if value is not None and least else None


def _share(name: str, shares: Iterable[float | None]) -> str | None:
    """`memory sectors 1.0–1.1× the least`, over the dtypes."""
    numbers = [share for share in shares if share is not None]
    return f"{name} {gpu.span(min(numbers), max(numbers))}× the least" if numbers else None


def _instructions(rows: Sequence[GpuRow]) -> str | None:
    shares = [per_warp for counted in rows if (per_warp := _per_warp(counted)) is not None]
    return f"{gpu.span(min(shares), max(shares))} warp instructions per {WARP} elements" if shares else None


def _per_warp(counted: GpuRow) -> float | None:
    if not counted.warp_instructions or not counted.elements:
        return None
    return WARP * float(counted.warp_instructions) / counted.elements


def _registers(rows: Sequence[GpuRow]) -> str | None:
    kernels = [kernel for counted in rows for kernel in counted.kernels]
    occupancies = [kernel.occupancy for kernel in kernels if kernel.occupancy is not None]
    if not kernels:
        return None
    registers = [kernel.registers for kernel in kernels]
    label = f"{gpu.span(min(registers), max(registers))} registers"
    return label + (f", occupancy at least {min(occupancies):.0%}" if occupancies else "")


def counter_table(pack: Pack) -> Table:
    """Every row of the emulation."""
    heads = columns(
        "Op",
        "Side",
        "dtype",
        *numbers("Calls", "Wrong", "Problems"),
        "Counted on",
        *numbers("Sectors loaded", "stored", "least of both", "op's data once", "Wavefronts", "least"),
        *numbers(f"Warp instructions per {WARP} elements"),
        "First message",
        "Tool",
    )
    return Table("Counters", heads, tuple(map(_counter_row, pack.pointed(GpuRow))), header=False)


def _counter_row(pointed: Pointed[GpuRow]) -> Line:
    counted = pointed.row
    sectors = (
        counted.load_sectors,
        counted.store_sectors,
        counted.least_sectors,
        counted.op_sectors,
        counted.wavefronts,
        counted.least_wavefronts,
    )
    per_warp = _per_warp(counted)
    return row(
        counted.op,
        SIDE_NAMES[counted.side],
        counted.dtype,
        counted.cases,
        counted.wrong,
        counted.problems,
        counted.sample or "–",
        *("–" if number is None else f"{number:,}" for number in sectors),
        "–" if per_warp is None else text.short(per_warp),
        counted.message or "",
        counted.tool or "",
        id=anchor(pointed.pointer),
    )


def kernel_table(pack: Pack) -> Table:
    """Registers, spills and occupancy of every kernel on every target."""
    heads = columns(
        "Op", "Side", "dtype", "Kernel", "Target", *numbers("Threads", "Registers", "Spilled bytes", "Occupancy")
    )
    names = {name: label for _, labels in declarations("page", "TARGET_NAMES") for name, label in labels.items()}
    rows = (
        row(
            counted.op,
            SIDE_NAMES[counted.side],
            counted.dtype,
            Markup("<code>{}</code>").format(kernel.kernel),
            names.get(kernel.target, kernel.target),
            kernel.threads,
            kernel.registers,
            kernel.spill_bytes,
            "–" if kernel.occupancy is None else f"{kernel.occupancy:.0%}",
        )
        for counted in pack.table(GpuRow)
        for kernel in counted.kernels
    )
    return Table("Registers and occupancy", heads, tuple(rows), header=False)
