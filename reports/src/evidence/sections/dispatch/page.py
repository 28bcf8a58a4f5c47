"""What the page shows of calls: their cost, what it consists of, from which size on it matters, and thread pools."""

from __future__ import annotations

from collections.abc import Iterator

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.page.blocks import (
    Block,
    Details,
    Figure,
    Heading,
    Listing,
    Text,
    banner,
    noisy,
    prose,
    rows_details,
)
from evidence.page.common import ROUTE_NAMES, anchor, both_sides, by_name, finding, folded, interval_text, linked
from evidence.page.headline import RouteFigures
from evidence.page.table import MARKDOWN, PAGE, Cell, Column, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.dispatch.readings import (
    Piece,
    Waterfall,
    reaches,
    thread_advice,
    waterfalls,
    why_compiled,
)
from evidence.sections.dispatch.row import DispatchRow, ThreadsRow
from evidence.sections.dispatch.table import Dispatch, dispatch, plain

MODES = {"hot": "tight loop", "gap": "1 ms apart", "compiled": "in a compiled function"}
PATTERNS = {"alone": "alone", "alternating": "after the other pool"}


def content(pack: Pack) -> list[Block]:
    """Cost of a call; folded: its parts, break-even sizes and thread pools."""
    return [
        *finding(*_findings(pack)),
        *banner(pack, "dispatch", "Dispatch"),
        *_calls(pack),
        folded(pack, "waterfall", "What a call is made of", *_parts(pack)),
        folded(pack, "crossover", "Break-even sizes", *_break_even(pack)),
        folded(pack, "threads", "Thread pools", *_threads(pack)),
    ]


METHODS = {
    "dispatch": "Calls of 16 elements, so that the work is nothing and the call is all. “Tight loop”: call after "
    "call. “1 ms apart”: other work before each call, not timed. “In a compiled function”: inside torch.compile. "
    "With several threads: wall time over the calls of all threads. The bar is the 95% interval of the median.",
    "waterfall": "Each part is measured apart, in the same processes as the whole call, mostly as the difference "
    "of two calls that differ in that part alone; “not explained” is what the parts leave. A part below zero was "
    "dearer alone than within the call: it has no bar, and stands in the table. How each part was measured "
    "stands beside it there.",
    "ladder": "Each op on a ladder of sizes from 16 elements on, as called, routes interleaved as above, in fresh "
    "processes; a point is the median. A route keeps up from the size on from which its ratio reaches the mark at "
    "every larger size, interpolated in the logarithm of the size: at the earliest by the upper ends of the "
    "intervals, shown by the lower ones. Benchmark samples are the run-time rows, as called.",
    "threads": "Each setting in processes of its own; the factor is taken against the default's processes, so its "
    "interval is that of two time intervals.",
}


def by_route(pack: Pack) -> list[RouteFigures]:
    """The cost of a call in a tight loop, by route."""
    calls = {call.route: call.time.mid for call in plain(dispatch(pack)) if call.mode == "hot" and call.time}
    values = {call.route: text.micros(calls.get(call.route)) for call in pack.table(DispatchRow)}
    return [RouteFigures(values, "Call, 16 elements", True)]


def _findings(pack: Pack) -> Iterator[str]:
    """The cost of a call of the two sides and the engine."""
    calls = plain(dispatch(pack))
    times = {call.route: text.micros(call.time.mid) for call in calls if call.mode == "hot" and call.time}
    if figures := by_name(times):
        yield f"A call of 16 elements in a tight loop: {figures}."


def _calls(pack: Pack) -> list[Block]:
    if not pack.table(DispatchRow):
        return []
    conditions = "by tensors, gaps and threads"
    return [
        Figure("dispatch", table="rows-dispatch"),
        call_table(pack, PAGE),
        call_table(pack, MARKDOWN),
        Details("Every case", (case_table(pack),), conditions, classes="data"),
        rows_details("Every row with its interval", row_table(pack), True, "rows-dispatch"),
    ]


def call_table(pack: Pack, where: str) -> Table:
    """Routes against the conditions of a call of two tensors: median, with a link to the row.

    The page shows eager, the two sides and the engine; Markdown, which has no folds, every route.
    """
    calls = {(call.route, call.mode): call for call in plain(dispatch(pack))}
    modes = [mode for mode in MODES if any(key[1] == mode for key in calls)]
    measured = sorted({route for route, _ in calls}, key=order)
    shown = ["eager"] * ("eager" in measured) + both_sides(measured) if where == PAGE else measured
    rows = (
        row(
            ROUTE_NAMES.get(route, route) if where == PAGE else route,
            *(_median(calls.get((route, mode))) for mode in modes),
            data={"route": route},
        )
        for route in shown
    )
    heads = columns("Route", *numbers(*(text.upper_first(MODES[mode]) for mode in modes)))
    return Table("Cost of a call by route", heads, tuple(rows), classes="filtered", where=where)


def _median(call: Dispatch | None) -> Cell:
    if call is None:
        return Cell("–")
    if call.time is None:
        return Cell(linked(call.status, call.pointer), classes="bad")
    duration = linked(text.micros(call.time.mid), call.pointer)
    return Cell(noisy(duration) if call.noisy else duration)


def _parts(pack: Pack) -> list[Block]:
    calls = [call for call in waterfalls(pack) if call.whole is not None]
    if not calls:
        return []
    blocks: list[Block] = [
        Text(
            "Each part of a call with two 16-element tensors was measured separately. “Not explained” is the "
            "difference between the call and the sum of its parts; it is negative where a part takes longer alone than "
            "within the call. These processes alternate between the call and its parts, so compare calls by the figure "
            "above."
        ),
        Figure("waterfall", "Parts one after another; the thin line marks the whole call.", "rows-waterfall"),
    ]
    if explanation := why_compiled(pack):
        blocks.append(Text(explanation))
    if (forms := form_table(pack)) is not None:
        blocks += [
            Text(
                prose(
                    "One op can be called in several ways. The figure of a call is that of the typed function; "
                    "PyTorch's own `torch.add` stands beside it:"
                )
            ),
            forms,
        ]
    if (gaps := gap_table(pack)) is not None:
        blocks += [
            Text(
                "The engine's hand-off to its worker thread takes longer the longer the caller has done something else "
                "before:"
            ),
            gaps,
            *(Text(f"{call.route}, {piece.name}: {_gap(piece)}.", "note") for call, piece in _floors(pack)),
        ]
    tables = [block for call in calls for block in (_title(call), part_table(call))]
    return [*blocks, Heading("Every part, and how it was measured", id="rows-waterfall"), *tables]


def _break_even(pack: Pack) -> list[Block]:
    table = break_even_table(pack)
    if not table.rows:
        return []
    return [
        Text("Where lines cross, the choice changes. Both axes are logarithmic; a lower line is faster."),
        Figure("ladder", "As called; one line a route.", table.id),
        Text(
            prose(
                "The break-even size: from this size up to the largest one measured, a route is as fast as eager, or "
                "reaches 0.9 of the speed of `cpp`, as called. “From A to B on” is an interval: at A the route is no "
                "longer shown to be slower, from B on it is shown to keep up."
            )
        ),
        table,
    ]


def _threads(pack: Pack) -> list[Block]:
    table = thread_table(pack)
    advice = tuple(thread_advice(pack))
    if not table.rows:
        return []
    return [
        Text(
            prose(
                "PyTorch, the C++ routes and `mojo_aot` use OpenMP's threads, the other Mojo routes MAX's. A program "
                "that mixes them has twice as many threads as cores. Each setting was timed in separate processes and "
                "compared with the default setting there."
            )
        ),
        *([Listing(advice)] if advice else []),
        Figure("threads"),
        table,
    ]


def condition(row: Dispatch) -> tuple[str, int, str]:
    """What tells one block of calls from another: mode, threads, OpenMP."""
    return row.mode, row.row.threads, row.row.openmp


def condition_words(mode: str, threads: int, openmp: str) -> str:
    """`tight loop, 4 threads, OpenMP active`."""
    label = MODES[mode]
    if threads > 1:
        label += f", {threads} Python threads"
    return label + (", OpenMP active" if openmp == "active" else "")


def case_table(pack: Pack) -> Table:
    """Routes against numbers of tensors, one group of rows a condition."""
    calls = dispatch(pack)
    tensors = sorted({call.row.tensors for call in calls})
    lines: dict[tuple[tuple[str, int, str], str], dict[int, Dispatch]] = {}
    for case in dict.fromkeys(map(condition, calls)):
        chosen = [call for call in calls if condition(call) == case]
        for call in sorted(chosen, key=lambda call: order(call.route)):
            lines.setdefault((case, call.route), {})[call.row.tensors] = call
    rows = (
        row(
            route,
            *(_call(by_tensors.get(number)) for number in tensors),
            group=text.upper_first(condition_words(*case)),
            data={"route": route, "mode": case[0]},
        )
        for (case, route), by_tensors in lines.items()
    )
    heads = columns("Route", *(text.count(number, "tensor") for number in tensors))
    return Table("Cost of a call, case by case", heads, tuple(rows), classes="filtered", header=False)


def _call(call: Dispatch | None) -> Cell:
    if call is None:
        return Cell("–")
    if call.time is None:
        return Cell(call.status, notes=(call.message,) if call.message else (), classes="bad")
    ratio = interval(call.row.ratio_to_eager, call.row.ratio_low, call.row.ratio_high)
    duration = text.micros(call.time.mid)
    notes = () if ratio is None else (f"{text.factor(ratio.mid)} eager",)
    return Cell(noisy(duration) if call.noisy else duration, notes=notes)


def row_table(pack: Pack) -> Table:
    """Every dispatch row."""
    heads = columns("Route", "Mode", *numbers("Tensors", "Threads"), "OpenMP", "Median (interval)", "To eager")
    return Table("Dispatch rows", heads, tuple(map(_row, dispatch(pack))), classes="filtered", header=False)


def _row(call: Dispatch) -> Line:
    duration = interval_text(call.time) if call.time else call.message or call.status
    ratio = interval(call.row.ratio_to_eager, call.row.ratio_low, call.row.ratio_high)
    return row(
        call.route,
        MODES[call.mode],
        call.row.tensors,
        call.row.threads,
        call.row.openmp,
        noisy(duration) if call.noisy else duration,
        text.ratio(ratio),
        id=anchor(call.pointer),
        data={"route": call.route, "mode": call.mode},
    )


def _title(call: Waterfall) -> Heading:
    title = call.route if call.context == "call" else f"{call.route} in a compiled function"
    return Heading(title, 4, note=_explained(call.explained))


def _explained(share: float | None) -> str:
    """How much of a call its parts explain; they were measured apart, so that they may add up to more."""
    if share is None:
        return ""
    return f"{max(share, 0.0):.0%} of the call explained" if share <= 1 else "the parts add up to more than the call"


def part_table(call: Waterfall) -> Table:
    """The whole call, then its parts, with how each was measured."""
    pieces = [call.whole, *call.pieces] if call.whole else call.pieces
    rows = (
        row(
            Cell(piece.name, strong=piece is call.whole),
            Cell(_signed(piece.time)) if piece.time else Cell(piece.message or "was not timed", classes="bad"),
            piece.how,
            id=anchor(piece.pointer),
        )
        for piece in pieces
    )
    heads = columns("Part", "Time (interval)", "How")
    return Table(f"Parts of {_title(call).text}", heads, tuple(rows), header=False)


def _signed(value: Interval) -> str:
    def micros(number: float) -> str:
        return ("−" if number < 0 else "") + text.micros(abs(number))

    if abs(value.mid) < 0.005:
        return "under 0.005\u00a0µs"
    return f"{micros(value.mid)} ({micros(value.low)} to {micros(value.high)})"


def form_table(pack: Pack) -> Table | None:
    """Routes against the ways to call one op: typed function, op with its formula, overload without gradient."""
    forms = {call.route: {piece.name: piece for piece in call.forms} for call in waterfalls(pack) if call.forms}
    if not forms:
        return None
    names = max((list(pieces) for pieces in forms.values()), key=len)
    rows = (row(route, *(_form(pieces.get(name)) for name in names)) for route, pieces in forms.items())
    return Table("Ways to call an op", columns("Route", *numbers(*names)), tuple(rows))


def _form(piece: Piece | None) -> Cell:
    if piece is None:
        return Cell("–")
    duration = text.micros(piece.time.mid) if piece.time else piece.message or "was not timed"
    return Cell(duration, id=anchor(piece.pointer), title=piece.how)


def gap_table(pack: Pack) -> Table | None:
    """The engine's hand-off, and a C++ op beside it, after other work of a given length.

    A length that a route was not timed at is a dash.
    """
    lines: dict[str, dict[str, Piece]] = {}
    for call in waterfalls(pack):
        for piece in call.details:
            name, after, length = piece.name.partition(" after ")
            if after:
                lines.setdefault(f"{call.route}: {name}", {})[length.removesuffix(" of other work")] = piece
    if not lines:
        return None
    lengths = list(dict.fromkeys(length for pieces in lines.values() for length in pieces))
    rows = (row(name, *(_gap(pieces.get(length)) for length in lengths)) for name, pieces in lines.items())
    return Table("Hand-off after other work", columns("Other work before the call", *numbers(*lengths)), tuple(rows))


def _floors(pack: Pack) -> Iterator[tuple[Waterfall, Piece]]:
    """Further timings of a call that no other work precedes."""
    for call in waterfalls(pack):
        yield from ((call, piece) for piece in call.details if " after " not in piece.name)


def _gap(piece: Piece | None) -> str:
    return text.micros(piece.time.mid) if piece and piece.time else "–"


def break_even_table(pack: Pack) -> Table:
    """Ops against routes, each op with the questions that were asked of it."""
    sizes = reaches(pack)
    routes = sorted({size.route for size in sizes}, key=order)
    lines: dict[tuple[str, str], dict[str, Cell]] = {}
    for op in dict.fromkeys(size.op for size in sizes):
        for against, factor in dict.fromkeys((size.against, size.factor) for size in sizes):
            question = "no slower than eager" if against == "eager" else f"{text.factor(factor)} of {against}"
            for size in sizes:
                if (size.op, size.against, size.factor) == (op, against, factor):
                    lines.setdefault((op, question), {})[size.route] = Cell(size.text, id=anchor(size.pointer))
    rows = (
        row(op, question, *(cells.get(route, Cell("–")) for route in routes), data={"op": op})
        for (op, question), cells in lines.items()
    )
    heads = columns("Op", "From which size on", *(Column(route, route=route) for route in routes))
    return Table("Crossover sizes", heads, tuple(rows), classes="filtered", id="rows-crossover")


def thread_table(pack: Pack) -> Table:
    """Calls against settings of the thread pools."""
    settings = list(dict.fromkeys(timed.setting for timed in pack.table(ThreadsRow)))
    lines: dict[tuple[int, str, str], dict[str, Cell]] = {}
    for index, timed in enumerate(pack.table(ThreadsRow)):
        key = (timed.elements, timed.pattern or "", timed.route)
        lines.setdefault(key, {})[timed.setting] = _setting(timed, f"threads-{index}")
    rows = (
        row(
            route,
            text.elements(size),
            PATTERNS.get(pattern, pattern),
            *(cells.get(setting, Cell("–")) for setting in settings),
        )
        for (size, pattern, route), cells in sorted(lines.items(), key=lambda line: (*line[0][:2], order(line[0][2])))
    )
    return Table("Thread settings", columns("Route", "Elements", "When", *settings), tuple(rows))


def _setting(timed: ThreadsRow, identity: str) -> Cell:
    if timed.median_us is None:
        notes = (timed.message,) if timed.message else ()
        return Cell(timed.status, notes=notes, id=identity, classes="bad")
    ratio = interval(timed.ratio_to_default, timed.ratio_low, timed.ratio_high)
    notes = () if ratio is None else ("too close" if ratio.holds_one else text.factor(ratio.mid),)
    return Cell(text.micros(timed.median_us), notes=notes, id=identity)
