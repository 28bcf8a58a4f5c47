"""Which pictures a report has, and what each one shows. Pictures are drawn from findings, never from raw rows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.judge.losses import LossGroup, loss_groups
from evidence.page.picture import WIDTH, Panel, Picture
from evidence.page.rows import LEFT, RIGHT, ROW, Group, Mark, draw_rows, height, left_for, size_axes, spaced
from evidence.page.style import SIDE_COLOURS, Ink, colour, known, marker, tint
from evidence.sections.build.table import KIND_NAMES, build
from evidence.sections.code.table import BUCKETS, code, code_ops, code_routes
from evidence.sections.dispatch.figures import lab_pictures
from evidence.sections.dispatch.table import Dispatch, dispatch, plain
from evidence.sections.models.figures import models_picture
from evidence.sections.runtime.cases import Case, Headline, called, cases, first_dtype, headline

HOLLOW = "A hollow mark means “no difference shown” (the interval holds 1.0). A pale mark with ~ is noisy."
TINTS = (0.0, 0.28, 0.5, 0.68, 0.86)
DARK = ("cpp", "cpp_classic", "mojo_aot")
OPS_LEFT = 1.75  # inches, for names of ops
SEGMENTS = (*BUCKETS, "shared")


def pictures(pack: Pack) -> dict[str, Picture]:
    """Name -> picture, for those that the pack has rows for."""
    all_cases = cases(pack)
    found = [
        ops_picture(all_cases),
        runtime_picture(all_cases),
        size_picture(all_cases),
        dispatch_picture(dispatch(pack)),
        *lab_pictures(pack),
        build_picture(pack),
        code_picture(pack),
        models_picture(pack),
        losses_picture(pack),
    ]
    return {picture.name: picture for picture in found if picture is not None and picture.panels}


def _ops(some: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(case.op for case in some))


def _devices(some: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(case.device for case in some))


def ops_picture(all_cases: Sequence[Case]) -> Picture | None:
    """The whole catalogue at a glance: per side and device one panel, per op one line."""
    panels = []
    for device in _devices(all_cases):
        some = called(all_cases, device)
        panels += [_ops_panel(side, device, some) for side in SIDES if headline(side, some).everything]
    note = "Mark: geometric mean over samples and dtypes, as called; bar: from the slowest to the fastest of them."
    return Picture("ops", "Speed relative to eager, by op", note, tuple(panels)) if panels else None


def _ops_panel(side: str, device: str, some: Sequence[Case]) -> Panel:
    found = {op: headline(side, [case for case in some if case.op == op]) for op in _ops(some)}
    routes = known(list({one.route for one in found.values() if one.route}))
    marks = tuple(_ops_mark(op, one) for op, one in found.items())

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, (Group("", marks),), "speed relative to eager, right is faster", text.factor, "eager",
                  left=OPS_LEFT)  # fmt: skip

    place = "" if device == "cpu" else f", {device}"
    said = "; ".join(f"{mark.label} {mark.text}" for mark in marks)
    return Panel(
        f"{SIDE_NAMES[side]}{place}",
        f"Speed of {SIDE_NAMES[side]}{place} ({', '.join(routes)}) relative to eager, geometric mean by op: {said}.",
        height((Group("", marks),)),
        OPS_LEFT,
        RIGHT / 2,
        draw,
    )


def _ops_mark(op: str, found: Headline) -> Mark:
    mean, whole = found.to_eager, found.everything
    if mean is None or whole is None:
        return Mark(op, None, "no time" if whole is None else "too noisy", SIDE_COLOURS[found.side], "o")
    low, high = min(whole.low, mean.mean), max(whole.high, mean.mean)
    return Mark(op, Interval(mean.mean, low, high), text.factor(mean.mean), SIDE_COLOURS[found.side], "o")


def runtime_picture(all_cases: Sequence[Case]) -> Picture | None:
    """Speed relative to eager, as called: per op one panel, per sample one group, per route one line."""
    panels = []
    for device in _devices(all_cases):
        some = called(all_cases, device)
        for op in _ops(some):
            wanted = first_dtype(some, op)
            chosen = [case for case in some if case.op == op and case.dtype == wanted]
            if chosen:
                panels.append(_runtime_panel(op, wanted or "", device, chosen))
    if not panels:
        return None
    return Picture("runtime", "Speed relative to eager", HOLLOW, tuple(panels))


def _runtime_panel(op: str, dtype: str, device: str, chosen: Sequence[Case]) -> Panel:
    groups = tuple(
        Group(case.label, tuple(_runtime_mark(case, r) for r in known(list(case.cells)) if r != "eager"))
        for case in chosen
    )

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "speed relative to eager, right is faster", text.factor, one="eager")

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    place = "" if device == "cpu" else f", {device}"
    return Panel(
        f"{op}, {dtype}{place}",
        f"Speed of {op} ({dtype}{place}) relative to eager. {said}.",
        height(groups),
        LEFT,
        RIGHT,
        draw,
    )


def _runtime_mark(case: Case, route: str) -> Mark:
    cell = case.cells[route]
    ratio = case.speedup(route, "eager")
    if ratio is None:
        words = cell.row["status"] if not cell.ok else "no eager time"
        return Mark(route, None, words, colour(route), marker(route))
    noisy = case.noisy(route, "eager")
    # Both at once do not fit beside the longest factor; the mark is hollow all the same.
    words = f"{text.factor(ratio.mid)}{' ~' if noisy else ' no diff.' if ratio.holds_one else ''}"
    return Mark(route, ratio, words, colour(route), marker(route), ratio.holds_one, noisy)


def size_picture(all_cases: Sequence[Case]) -> Picture | None:
    """Time against size, as called, one line a route: where lines cross, the choice changes."""
    panels = []
    for device in _devices(all_cases):
        some = called(all_cases, device)
        for op in _ops(some):
            dtype = first_dtype(some, op)
            chosen = [case for case in some if case.op == op and case.dtype == dtype]
            if len({case.elements for case in chosen}) > 1:
                panels.append(_size_panel(op, dtype or "", device, chosen))
    return (
        Picture("size", "Time against size", "Both axes logarithmic; a lower line is faster.", tuple(panels))
        if panels
        else None
    )


def _size_panel(op: str, dtype: str, device: str, chosen: Sequence[Case]) -> Panel:
    lines: dict[str, list[tuple[int, float]]] = {}
    for case in sorted(chosen, key=lambda one: one.elements):
        for route in known(list(case.cells)):
            time = case.cells[route].time
            if time is not None:
                lines.setdefault(route, []).append((case.elements, time.mid))
    high = 2.35

    def draw(axes: Axes, ink: Ink) -> None:
        size_axes(axes, ink, lines.values(), text.elements)
        for route, line in lines.items():
            width = 1.3 if route in ("eager", "compile") else 1.7
            axes.plot(
                *zip(*line, strict=True),
                color=colour(route),
                marker=marker(route),
                markersize=4.4,
                linewidth=width,
                alpha=0.92,
            )
        ends = {
            route: axes.transAxes.inverted().transform(axes.transData.transform(line[-1]))[1]
            for route, line in lines.items()
        }
        for route, spot in spaced(ends, 0.165 / high).items():
            axes.plot(
                [1.04],
                [spot],
                transform=axes.transAxes,
                marker=marker(route),
                markersize=4.6,
                color=colour(route),
                clip_on=False,
                linestyle="none",
            )
            axes.text(1.08, spot, route, transform=axes.transAxes, va="center", color=ink.text)

    place = "" if device == "cpu" else f", {device}"
    said = "; ".join(
        f"{route} from {text.micros(line[0][1])} to {text.micros(line[-1][1])}" for route, line in lines.items()
    )
    alt = f"Time of {op} ({dtype}{place}) against size, from {chosen[0].sample} to {chosen[-1].sample}: {said}."
    return Panel(f"{op}, {dtype}{place}", alt, high, 0.72, 1.12, draw)


def dispatch_picture(rows: Sequence[Dispatch]) -> Picture | None:
    """What one call of 16 elements costs, hot, after a gap and in a compiled function."""
    titles = {"hot": "calls in a tight loop", "gap": "a gap before each call", "compiled": "in a compiled function"}
    groups = []
    for mode, title in titles.items():
        marks = tuple(
            Mark(row.route, row.time, _call_words(row), colour(row.route), marker(row.route), faint=row.noisy)
            for row in plain(rows)
            if row.mode == mode
        )
        if marks:
            groups.append(Group(title, marks))
    if not groups:
        return None

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "time of one call, left is cheaper", text.micros, stems=True)

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    panel = Panel(
        "Call of a 16-element op", f"Cost of one call at 16 elements. {said}.", height(groups), LEFT, RIGHT, draw
    )
    return Picture("dispatch", "Cost of a call", "Logarithmic axis.", (panel,))


def _call_words(row: Dispatch) -> str:
    if row.time is None:
        return row.status
    return f"{text.micros(row.time.mid)} ~" if row.noisy else text.micros(row.time.mid)


def build_picture(pack: Pack) -> Picture | None:
    """Seconds of each build stage, corresponding stages together."""
    table = build(pack)
    groups = []
    for kind, stages in table.items():
        marks = []
        for route, stage in stages.items():
            words = text.seconds(stage.time.mid) if stage.time else stage.status
            marks.append(Mark(route, stage.time, words, colour(route), marker(route)))
        groups.append(Group(KIND_NAMES.get(kind, kind), tuple(marks)))
    if not groups:
        return None

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "logarithmic time, left is quicker", text.seconds, stems=True)

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    panel = Panel("Build stages", f"Time of build stages. {said}.", height(groups), LEFT, RIGHT, draw)
    return Picture("build", "Build time", "Mark: median; bar: range over the repeats. Logarithmic axis.", (panel,))


def code_picture(pack: Pack) -> Picture | None:
    """Tokens in stacked buckets, per route: the whole, and each op's own."""
    routes = code_routes(pack)
    if not routes:
        return None
    whole = []
    for route in routes:
        own = [code(pack, route, bucket=bucket, shared=False).tokens for bucket in BUCKETS]
        whole.append((route, (*own, code(pack, route, shared=True).tokens)))
    panels = [_code_panel("All ops and what they share", whole, whole, legend=True)]
    by_op = {}
    for op in code_ops(pack):
        rows = [
            (route, tuple(code(pack, route, op=op, bucket=bucket, shared=False).tokens for bucket in BUCKETS))
            for route in routes
        ]
        by_op[op] = [(route, parts) for route, parts in rows if sum(parts)]
    scale = [row for rows in by_op.values() for row in rows]
    panels += [_code_panel(f"{op}, its own code", rows, scale) for op, rows in by_op.items()]
    note = (
        "Tokens without comments, for all devices, from dark to light: kernel, binding, build, glue, shared by all ops."
    )
    return Picture("code", "Code size", note, tuple(panels))


_Stack = tuple[str, tuple[int, ...]]


def _code_panel(title: str, rows: Sequence[_Stack], scale: Sequence[_Stack], legend: bool = False) -> Panel:
    top = 0.28 if legend else 0.04
    thick = ROW * 1.15
    high = top + thick * len(rows) + 0.06
    longest = max((sum(parts) for _, parts in scale), default=1) or 1
    right = 0.72

    def draw(axes: Axes, ink: Ink) -> None:
        inches = WIDTH - LEFT - right
        across = axes.get_yaxis_transform()
        axes.set_xlim(0, longest * 1.02)
        axes.set_ylim(high, 0)
        axes.yaxis.set_major_locator(NullLocator())
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.grid(axis="x", color=ink.grid, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.elements(value)))
        axes.set_xlabel("tokens", color=ink.muted, labelpad=3)
        for number, name in enumerate(SEGMENTS if legend else ()):
            x = (number * 0.66 - 0.55) / inches
            axes.add_patch(
                Rectangle(
                    (x, 0.05),
                    0.1 / inches,
                    0.1,
                    transform=across,
                    clip_on=False,
                    linewidth=0,
                    facecolor=tint("#555555", TINTS[number]),
                )
            )
            axes.text(x + 0.14 / inches, 0.1, name, transform=across, va="center", color=ink.muted, size="small")
        for line, (route, parts) in enumerate(rows):
            middle = top + thick * (line + 0.5)
            axes.text(-0.08 / inches, middle, route, transform=across, ha="right", va="center", color=ink.text)
            start = 0
            for number, part in enumerate(parts):
                axes.barh(middle, part, left=start, height=thick * 0.78, color=tint(colour(route), TINTS[number]))
                if part / longest * inches > 0.32:
                    # White reads on the darkest bucket of the dark routes only.
                    shade = "#ffffff" if number == 0 and route in DARK else "#14181c"
                    axes.text(
                        start + part / 2,
                        middle + 0.004,
                        text.elements(part),
                        ha="center",
                        va="center",
                        color=shade,
                        size=7,
                    )
                start += part
            axes.text(start + longest * 0.015, middle, f"{start:,}", va="center", color=ink.text, weight="bold")

    said = ", ".join(f"{route} {sum(parts)}" for route, parts in rows)
    return Panel(title, f"Tokens, {title}: {said}.", high, LEFT, right, draw)


def losses_picture(pack: Pack) -> Picture | None:
    """For each side, how many times worse it is, wherever it is worse."""
    panels = []
    for side, groups in loss_groups(pack).items():
        if groups:
            panels.append(_loss_panel(side, groups))
    if not panels:
        return None
    note = "How many times worse; for run time the mark is the geometric mean of the rows lost and the bar their range."
    return Picture("losses", "Where each side loses", note, tuple(panels))


def _loss_panel(side: str, found: Sequence[LossGroup]) -> Panel:
    assert side in SIDES
    kinds = list(dict.fromkeys(group.kind for group in found))
    groups = []
    for kind in kinds:
        marks = []
        for group in (one for one in found if one.kind == kind):
            share = f" {group.lost} of {group.of}" if group.of > 1 else ""
            factor = group.factor if group.of > 1 else Interval(group.factor.mid, group.factor.mid, group.factor.mid)
            marks.append(Mark(_brief(group.name) + share, factor, text.factor(factor.mid), SIDE_COLOURS[side], "o"))
        groups.append(Group(kind, tuple(marks)))
    left = left_for(mark.label for group in groups for mark in group.marks)

    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "times worse", text.factor, stems=True, left=left)

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    alt = f"Where {SIDE_NAMES[side]} loses, times worse. {said}."
    return Panel(f"Where {SIDE_NAMES[side]} loses", alt, height(groups), left, 0.62, draw)


def _brief(name: str) -> str:
    brief = {
        "call of 16 elements": "tight loop",
        "call of 16 elements after a gap": "after a gap",
        KIND_NAMES["edit"]: "edit to result",
        KIND_NAMES["noop"]: "nothing changed",
        KIND_NAMES.get("prerequisites", ""): "prerequisites",
        KIND_NAMES.get("binding_edit", ""): "binding edit",
        KIND_NAMES.get("add_op", ""): "new op",
        KIND_NAMES.get("add_arch", ""): "one GPU more",
        KIND_NAMES.get("add_cpu", ""): "another CPU",
        KIND_NAMES["first_call_new_shape"]: "first call, new shape",
    }
    return brief.get(name, name.split(",")[0])
