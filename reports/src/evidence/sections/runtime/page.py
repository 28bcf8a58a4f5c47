"""What the page shows of run time: one line an op, every row, the noise of ratios and the limits of the machine."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDES, order
from evidence.core.thresholds import MATTERS
from evidence.page.blocks import Block, Details, Figure, Heading, Text, banner, noisy, prose, rows_details
from evidence.page.common import Context, anchor, interval_text, number_range, spread_range
from evidence.page.table import BOTH, MARKDOWN, Cell, Column, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.runtime.cases import Case, cases, crossovers, headline
from evidence.sections.runtime.row import NoiseRow, RooflineRow, RuntimeRow
from evidence.sections.runtime.samples import samples
from evidence.sections.runtime.summary import by_route as by_route
from evidence.sections.runtime.summary import card as card


def content(pack: Pack) -> list[Block]:
    """Run time by op and row by row, break-even sizes among the samples, noise and roofline."""
    timed = cases(pack)
    return [
        Text(
            prose(
                "A ratio above 1 means faster. One route represents a side, the same on every row: `cpp`, and "
                "`mojo_aot` on the CPU or `mojo` on a GPU. The route that a side's documentation shows stands beside "
                "it, relative to the representative on the rows that timed both."
            )
        ),
        *banner(pack, "runtime", "Run time", BOTH),
        *_by_op(timed),
        *_by_row(timed),
        Heading("How much a ratio can differ by chance", id="noise"),
        *banner(pack, "noise", "Noise"),
        *_noise(pack),
        Heading("The roof", id="roofline"),
        *banner(pack, "roofline", "Roofline"),
        *_roofline(pack),
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
        "ratio is taken within a round, and its median is shown with a 95 % interval (over the rounds, and "
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


def _by_op(timed: list[Case]) -> list[Block]:
    picture = Figure("ops", method="runtime")
    ops = op_table(timed)
    if not ops.rows:
        return [picture]
    short = (
        "Ranges over the rows that both sides timed; documented routes relative to the representative of their side."
    )
    return [picture, Text(short, where=MARKDOWN), ops]


def _by_row(timed: list[Case]) -> list[Block]:
    tables = row_tables(timed)
    if not tables:
        return []
    note = (
        "Bar: 95 % interval. Shaded: what the spread between processes alone can produce. Hollow: no difference shown. "
        "Pale with ~: noisy."
    )
    blocks: list[Block] = [
        Heading("Route by route"),
        Text(
            "Without a choice in the filter the charts show one dtype, as called; the tables show all. A click on a "
            "mark shows the rounds behind it; the tables have a button for that.",
            "note",
        ),
        Figure("runtime", note, "rows-runtime"),
        Heading("Every run-time row", id="rows-runtime"),
        Text("A bar at the left marks the routes that represent their side.", "note"),
        *(rows_details(op, table, counted=True) for op, table in tables.items()),
    ]
    overtaking = overtaking_table(timed)
    if overtaking.rows:
        summary = "Where a route overtakes eager among the benchmark samples"
        aside = "smallest measured size from which it stays faster"
        note = "Benchmark samples, as called; one line a route."
        blocks += [Figure("size", note, method="runtime"), Details(summary, (overtaking,), aside)]
    return blocks


def _noise(pack: Pack) -> list[Block]:
    if not pack.table(NoiseRow):
        return []
    return [rows_details("Spread between processes, and the band that it gives", noise_table(pack), counted=True)]


def _roofline(pack: Pack) -> list[Block]:
    return [roofline_table(pack)] if pack.table(RooflineRow) else []


def op_table(timed: list[Case]) -> Table:
    """One line an op and device: both representatives against eager and each other, each documented route against the
    representative of its side."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in timed:
        if case.mode == "call":
            groups.setdefault((case.op, case.device), []).append(case)
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
        for (op, device), group in groups.items()
    )
    caption = (
        "Ranges over the rows of all sizes and dtypes that both sides timed, as called from Python; documented routes "
        "over the rows that timed both of them"
    )
    return Table("Run time by op", heads, tuple(rows), caption, "filtered short", joint="; ", where=BOTH)


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
        "C++ wins": sum(duel.ratio.below_one for duel in counted),
        "Mojo wins": sum(duel.ratio.above_one for duel in counted),
    }
    wins["no difference shown:"] = len(counted) - sum(wins.values())
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
