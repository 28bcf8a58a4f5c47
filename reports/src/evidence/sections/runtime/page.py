"""What the page shows of run time: one line an op, every row, the noise of ratios and the limits of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from evidence.core import text
from evidence.core.interval import TOO_CLOSE, Spread, spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES, order
from evidence.core.thresholds import MATTERS
from evidence.judge.comparison import CPP_AHEAD, EQUAL, MOJO_AHEAD
from evidence.page.blocks import Block, Details, Figure, Text, banner, noisy, rows_details
from evidence.page.common import (
    Context,
    anchor,
    finding,
    folded,
    interval_text,
    listed,
    number_range,
    op_link,
    spread_range,
)
from evidence.page.table import BOTH, Cell, Column, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.runtime.cases import SIZE_CLASSES, Case, called, cases, crossovers, headline
from evidence.sections.runtime.row import NoiseRow, RooflineRow, RuntimeRow
from evidence.sections.runtime.samples import samples
from evidence.sections.runtime.summary import by_route as by_route


def content(pack: Pack) -> list[Block]:
    """Speed of both sides by op; folded: every row, break-even sizes among the samples, noise and roofline."""
    timed = cases(pack)
    ops = op_table(timed)
    shown: list[Block] = [Figure("ops", method="runtime"), ops] if ops.rows else []
    return [
        *finding(*_findings(timed)),
        *banner(pack, "runtime", "Run time", BOTH),
        *shown,
        *_by_row(timed),
        Details(
            "Noise between processes, and hardware limits of this machine",
            (
                folded(pack, "noise", "How much a ratio can differ by chance", *_noise(pack)),
                folded(pack, "roofline", "Hardware limits of this machine", *_roofline(pack)),
            ),
            classes="data",
        ),
    ]


def rounds(pack: Pack, folder: Path) -> Context:
    """The rounds behind every run-time row, from the raw samples beside the pack."""
    return samples(pack, folder)


def method(pack: Pack) -> str:
    """How run time was measured, with the numbers of rounds and processes of this run."""
    settings, rows = pack.facts("settings"), pack.table(RuntimeRow)
    requested = settings.get("processes")
    rounds = number_range([timed.pairs for timed in rows if timed.pairs])
    processes = number_range([timed.processes for timed in rows if timed.processes])
    counts = [f"{rounds} rounds a row"] if rounds else []
    if processes:
        counts.append(f"{processes} fresh processes a row")
    elif isinstance(requested, int):
        counts.append(f"{text.count(requested, 'process', 'processes')} asked for")
    sentences = [
        "All routes of a case are visited forward and backward in every round (A B B A) of one process; a "
        "ratio is taken within a round, and its median is shown with a 95% interval (over the rounds, and "
        "over the spread between processes). “As called” is the call from Python with a fresh output; “kernel alone” "
        "writes into ready outputs. Routes that were not paired have a ratio from two time intervals, which is wider. "
        "The shaded band is what the spread between processes alone can produce. A filled mark lies outside it with "
        f"an interval that excludes 1.0, a hollow one does not; below {MATTERS - 1:.0%} nothing is won. A pale mark "
        "with ~ is noisy and enters no mean."
    ]
    if any("in turn" in timed.sample for timed in rows):
        sentences.append(
            "Calls follow each other on the same arguments, which a cache may hold; samples “in turn” take the next "
            "of equal sets, together beyond every cache, as layers of a model find their weights while decoding."
        )
    if settings.get("device") == "cuda":
        sentences.append(
            "On the GPU “kernel alone” is the device's own time between two events, each call after a write that "
            "empties the second-level cache; “as called” is wall time until the device is done. No clock was set; "
            "those of the cards before and after stand in the settings."
        )
    if counts:
        sentences.append(f"In this run: {'; '.join(counts)}.")
    return " ".join(sentences)


METHODS = {"runtime": method}

FILTER_NOTE = (
    "Without a choice in the filter the charts show one dtype, as called; the tables show all. A click on a mark shows "
    "the rounds behind it; the tables have a button for that."
)
BAND_NOTE = "The spread between processes of each group of rows, and the band of ratios that it can produce by itself."


def _findings(timed: list[Case]) -> Iterator[str]:
    """Speed of both sides relative to PyTorch, Mojo relative to C++ by size, and where PyTorch stays faster."""
    as_called = [case for case in timed if case.mode == "call"]
    for device in dict.fromkeys(case.device for case in as_called):
        on_device = called(as_called, device)
        speeds = {side: mean for side in SIDES if (mean := headline(side, on_device).to_pytorch) is not None}
        if not speeds:
            continue
        means = ", ".join(f"{SIDE_NAMES[side]} {text.factor(mean.mean)}" for side, mean in speeds.items())
        rows = text.count(min(mean.count for mean in speeds.values()), "row")
        where = "" if device == "cpu" else f" on {device}"
        yield f"Speed relative to PyTorch{where}, geometric mean of {rows}: {means}."
        if by_size := _by_size(on_device):
            yield Markup("Mojo relative to C++: {}.").format(by_size)
        if slower := _slower_than_pytorch(on_device):
            of_rows = f"{len(slower)} of {text.count(len(on_device), 'row')}"
            yield f"PyTorch is faster than both in {of_rows}: {listed(case.op for case in slower)}."


def _by_size(on_device: list[Case]) -> str:
    """`1.04× on large tensors (0.85–1.57×), ...`: the quiet rows of each size, the largest first."""
    parts = []
    for size in reversed(SIZE_CLASSES):
        duels = [duel for case in on_device if case.size_class == size and (duel := case.duel()) and not duel.noisy]
        if (ratios := spread(duel.ratio.mid for duel in duels)) is not None:
            parts.append(Markup("{} on {} tensors").format(_mean_and_range(ratios), size))
    return Markup(", ").join(parts)


def _slower_than_pytorch(on_device: list[Case]) -> list[Case]:
    """The cases in which PyTorch is shown to be faster than the representatives of both sides, beyond the noise."""
    slower = []
    for case in on_device:
        base, routes = case.pytorch(), [case.representative(side) for side in SIDES]
        against = [case.compare(base, route) for route in routes if base and route]
        if against and all(comparison and comparison.better == base for comparison in against):
            slower.append(case)
    return slower


def _by_row(timed: list[Case]) -> list[Block]:
    tables = row_tables(timed)
    if not tables:
        return []
    note = (
        "Bar: 95% interval. Shaded: what the spread between processes alone can produce. Hollow: within it. "
        "Pale with ~: noisy."
    )
    blocks: list[Block] = [
        Details("Every route, op by op", (Text(FILTER_NOTE, "note"), Figure("runtime", note, "rows-runtime"))),
        Details(
            "Every row",
            (
                Text("A bar at the left marks the routes that represent their side.", "note"),
                *(rows_details(op, table, counted=True) for op, table in tables.items()),
            ),
            f"{sum(len(table.rows) for table in tables.values()):,} rows",
            "rows-runtime",
            "data",
        ),
        Details(
            "As the documentation shows it",
            (documented_table(timed),),
            "relative to eager and to each other",
            "",
            "data",
        ),
    ]
    overtaking = overtaking_table(timed)
    if overtaking.rows:
        note = "Benchmark samples, as called; one line a route."
        figure = Figure("size", note, method="runtime")
        aside = "smallest measured size from which a route stays faster"
        blocks.append(Details("Where a route overtakes eager", (figure, overtaking), aside, classes="data"))
    return blocks


def _noise(pack: Pack) -> list[Block]:
    if not pack.table(NoiseRow):
        return []
    return [Text(BAND_NOTE, "note"), noise_table(pack)]


def _roofline(pack: Pack) -> list[Block]:
    return [roofline_table(pack)] if pack.table(RooflineRow) else []


def op_table(timed: list[Case]) -> Table:
    """One line an op and device: both representatives relative to PyTorch, and Mojo to C++."""
    rows = (
        row(
            Cell(op_link(op), notes=() if device == "cpu" else (device,)),
            *(_to_pytorch(side, group) for side in SIDES),
            _mojo_to_cpp(group),
            data={"op": op, "device": device},
        )
        for (op, device), group in _by_op(timed).items()
    )
    heads = columns("Op", *numbers("C++ to PyTorch", "Mojo to PyTorch", "Mojo to C++"))
    caption = "Geometric mean (range) over all sizes and dtypes. PyTorch: the faster of eager and torch.compile."
    return Table("Run time by op", heads, tuple(rows), caption, "filtered dense", joint="; ", where=BOTH)


def _by_op(timed: list[Case]) -> dict[tuple[str, str], list[Case]]:
    """(op, device) -> its cases as called from Python."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in timed:
        if case.mode == "call":
            groups.setdefault((case.op, case.device), []).append(case)
    return groups


def _to_pytorch(side: str, group: list[Case]) -> str:
    speed = headline(side, group)
    return _mean_and_range(speed.to_pytorch or speed.everything)


def _mojo_to_cpp(group: list[Case]) -> Cell:
    """Mean and range of the ratios, and how many rows each side wins, where it wins any."""
    duels = [duel for case in group if (duel := case.duel()) and duel.decides]
    wins = {side: sum(duel.won == side for duel in duels) for side in SIDES}
    notes = [f"{SIDE_NAMES[side]} wins {number} of {len(duels)}" for side, number in wins.items() if number]
    return Cell(_mean_and_range(spread(duel.ratio.mid for duel in duels)), notes=(", ".join(notes),) if notes else ())


def _mean_and_range(ratios: Spread | None) -> str:
    """`1.2× (0.9–1.3×)`, whose range stays on one line."""
    if ratios is None:
        return "–"
    if ratios.count == 1:
        return text.factor(ratios.mean)
    ends = f"({text.short(ratios.low)}–{text.factor(ratios.high)})"
    return Markup('{} <span class="range">{}</span>').format(text.factor(ratios.mean), ends)


def documented_table(timed: list[Case]) -> Table:
    """One line an op and device: both representatives against eager and each other, each documented route against the
    representative of its side."""
    heads = columns(
        "Op",
        "C++ to eager",
        "C++ as documented, to its representative",
        "Mojo to eager",
        "Mojo as documented, to its representative",
        "Mojo to C++",
    )
    rows = (
        row(
            Cell(op, notes=() if device == "cpu" else (device,)),
            *(cell for side in SIDES for cell in _against_eager(side, group)),
            _duel(group),
            data={"op": op, "device": device},
        )
        for (op, device), group in _by_op(timed).items()
    )
    caption = (
        "Ranges over the rows of all sizes and dtypes that both sides timed, as called from Python; documented routes "
        "over the rows that timed both of them"
    )
    return Table("Documented routes by op", heads, tuple(rows), caption, "filtered short")


def _against_eager(side: str, group: list[Case]) -> tuple[Cell, Cell]:
    speed = headline(side, group)
    return (
        Cell(spread_range(speed.everything), details=(speed.route,) if speed.route else ()),
        Cell(spread_range(speed.documented_to_route), details=(speed.documented,) if speed.documented else ()),
    )


def _duel(group: list[Case]) -> Cell:
    """Mojo against C++: the range of the ratios, and how many rows each side wins."""
    duels = [duel for case in group if (duel := case.duel())]
    counted = [duel for duel in duels if duel.decides]
    ratios = [duel.ratio.mid for duel in duels]
    wins = {
        "C++ wins": sum(duel.verdict == CPP_AHEAD for duel in counted),
        "Mojo wins": sum(duel.verdict == MOJO_AHEAD for duel in counted),
        "equal:": sum(duel.verdict == EQUAL for duel in counted),
        "too close to call:": sum(duel.verdict == TOO_CLOSE for duel in counted),
    }
    score = ", ".join(f"{outcome} {number}" for outcome, number in wins.items() if number)
    noisy_rows = sum(duel.noisy for duel in duels)
    return Cell(
        f"{text.factor(min(ratios))} to {text.factor(max(ratios))}" if ratios else "–",
        notes=(score,) if score else (),
        details=(Markup('<span class="noisy">{} noisy</span>').format(noisy_rows),) if noisy_rows else (),
    )


def overtaking_table(timed: list[Case]) -> Table:
    """Ops against routes: from which measured size a route is faster than eager (the dtype of the pictures)."""
    sizes = crossovers(timed)
    routes = sorted({size.route for size in sizes}, key=order)
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for size in sizes:
        lines.setdefault((size.op, size.device, size.dtype), {})[size.route] = size.text
    rows = (
        row(
            Cell(op, notes=(dtype if device == "cpu" else f"{dtype}, {device}",)),
            *(cells.get(route, "–") for route in routes),
            data={"op": op, "dtype": dtype, "device": device},
        )
        for (op, device, dtype), cells in lines.items()
    )
    heads = columns("Op", *(Column(route, route=route) for route in routes))
    return Table("Crossover among the benchmark samples", heads, tuple(rows), classes="filtered")


def row_tables(timed: list[Case]) -> dict[str, Table]:
    """Every run-time row, one table an op."""
    heads = columns(
        *("Sample", "Dtype", "Mode", "Route", "Median (interval)", "To eager", "To cpp"),
        *numbers("Rate", "Of roofline", "Rounds", "Processes"),
        "Samples",
    )
    ops: dict[str, list[Line]] = {}
    for case in timed:
        ops.setdefault(case.op, []).extend(_row(case, route) for route in sorted(case.cells, key=order))
    return {
        op: Table(f"Run time of {op}", heads, tuple(rows), classes="filtered", header=False) for op, rows in ops.items()
    }


def _row(case: Case, route: str) -> Line:
    cell = case.cells[route]
    timed = cell.row
    represents = cell.ok and route in (case.representative(CPP), case.representative(MOJO))
    return row(
        case.label,
        case.dtype if case.device == "cpu" else f"{case.dtype}, {case.device}",
        case.mode,
        route,
        _median(case, route),
        "1" if route == "eager" else text.ratio_words(cell.to_eager),
        "1" if route == "cpp" else text.ratio_words(cell.to_cpp),
        f"{text.short(timed.gb_per_s)} GB/s" if timed.gb_per_s is not None else "–",
        _of_roofline(case, route),
        timed.pairs or "–",
        timed.processes or "–",
        Cell("–", rounds=f"show the rounds of {route}, {case.op}, {case.label}, {case.dtype}, {case.mode}"),
        id=anchor(cell.pointer),
        classes="case-row best" if represents else "case-row",
        data={
            "op": case.op,
            "dtype": case.dtype,
            "size": case.size_class,
            "device": case.device,
            "route": route,
            "mode": case.mode,
        },
    )


def _median(case: Case, route: str) -> Cell:
    cell = case.cells[route]
    duration = interval_text(cell.time) if cell.ok else cell.row.status
    reasons = (cell.row.noisy_because if cell.noisy else None, cell.row.message)
    return Cell(
        noisy(duration) if cell.noisy else duration,
        details=tuple(reason for reason in reasons if reason),
        classes="" if cell.ok else "bad",
    )


def _of_roofline(case: Case, route: str) -> Cell:
    timed = case.cells[route].row
    share = timed.roofline_share
    return Cell("–" if share is None else f"{share:.0%}", details=(timed.bound,) if timed.bound else ())


def noise_table(pack: Pack) -> Table:
    """The band of every group of rows: what the spread between processes alone can produce."""
    heads = columns(
        *("Route", "Against", "Mode", "Size", "Device"), *numbers("Rows", "Degrees of freedom", "Spread"), "Band"
    )
    rows = (
        row(
            group.route,
            group.base,
            group.mode,
            group.size_class,
            group.device,
            group.rows,
            "–" if group.dof is None else text.short(group.dof),
            "–" if group.sd is None else f"{group.sd:.1%}",
            "–" if group.band is None else f"{text.short(1 / group.band)} to {text.factor(group.band)}",
            id=f"noise-{index}",
            data={
                "route": group.route,
                "mode": group.mode,
                "size": group.size_class,
                "device": group.device,
            },
        )
        for index, group in enumerate(pack.table(NoiseRow))
    )
    return Table("Noise bands", heads, tuple(rows), classes="filtered", header=False)


def roofline_table(pack: Pack) -> Table:
    """Copy bandwidth and matmul rate of this machine, measured in the same run."""
    heads = columns("What", "Dtype", "Device", *numbers("Threads", "Bytes", "Rate"), "Range")
    rows = (
        row(
            limit.kind,
            limit.dtype,
            limit.device,
            "–" if limit.threads is None else limit.threads,
            text.size(limit.bytes),
            "–" if limit.value is None else f"{text.short(limit.value)} {limit.unit}",
            Cell(
                "–"
                if limit.low is None or limit.high is None
                else f"{text.short(limit.low)} to {text.short(limit.high)}",
                notes=(limit.message,) if limit.message else (),
            ),
            id=f"roofline-{index}",
        )
        for index, limit in enumerate(pack.table(RooflineRow))
    )
    caption = "What this machine can do, measured in the same run; a row above it is an error"
    return Table("Roofline of this machine", heads, tuple(rows), caption)
