"""The dispatch lab's static pictures: for print, Markdown and readers without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from evidence.core import text
from evidence.core.interval import interval
from evidence.core.pack import Pack, Row
from evidence.page.picture import WIDTH, Panel, Picture
from evidence.page.rows import LEFT, RIGHT, Group, Mark, draw_rows, height, size_axes, spaced
from evidence.page.style import PART_COLOURS, Ink, colour, known, marker
from evidence.sections.dispatch.readings import CONTEXTS, Waterfall, ladders, waterfalls


def lab_pictures(pack: Pack) -> list[Picture]:
    """The lab's pictures, those that the pack has rows for."""
    found = [waterfall_picture(pack), ladder_picture(pack), threads_picture(pack)]
    return [picture for picture in found if picture is not None and picture.panels]


def waterfall_picture(pack: Pack) -> Picture | None:
    """One stacked bar a route: cheap routes share a panel, dear ones have panels, and scales, of their own."""
    some = [one for one in waterfalls(pack) if one.whole and one.whole.time]
    panels = []
    for context, title in CONTEXTS.items():
        bars = [one for one in some if one.context == context]
        cheap = [one for one in bars if one.whole and one.whole.time and one.whole.time.mid < 10]
        for chosen in (cheap, *([one] for one in bars if one not in cheap)):
            if chosen:
                names = ", ".join(one.route for one in chosen)
                panels.append(_waterfall_panel(f"{names}: {title}", chosen))
    if not panels:
        return None
    note = (
        "Stacked parts of a call of two tensors, each measured apart; a thin line marks the whole call, timed beside "
        "its parts. What a call costs is the figure of “Cost of a call”."
    )
    return Picture("waterfall", "What a call is made of", note, tuple(panels))


def _waterfall_panel(title: str, bars: Sequence[Waterfall]) -> Panel:
    names = list(dict.fromkeys(piece.name for one in bars for piece in one.pieces if piece.time and piece.time.mid > 0))
    thick, legend = 0.3, 0.16
    high = thick * len(bars) + legend * len(names) + 0.4
    longest = max(max(one.whole.time.mid if one.whole and one.whole.time else 0.0, _stack(one)) for one in bars)

    def draw(axes: Axes, ink: Ink) -> None:
        inches = WIDTH - LEFT - RIGHT
        axes.set_xlim(0, longest * 1.02)
        axes.set_ylim(thick * len(bars) + 0.05, 0)
        box = axes.get_position()
        whole = box.height
        share = (thick * len(bars) + 0.05) / high
        axes.set_position((box.x0, box.y0 + whole * (1 - share), box.width, whole * share))
        axes.yaxis.set_major_locator(NullLocator())
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.grid(axis="x", color=ink.grid, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("µs", color=ink.muted, labelpad=2)
        across = axes.get_yaxis_transform()
        for line, one in enumerate(bars):
            middle = thick * (line + 0.5)
            axes.text(-0.08 / inches, middle, one.route, transform=across, ha="right", va="center", color=ink.text)
            start = 0.0
            for piece in one.pieces:
                if piece.time and piece.time.mid > 0:
                    shade = PART_COLOURS.get(piece.name, "#8c8c3f")
                    axes.barh(middle, piece.time.mid, left=start, height=thick * 0.66, color=shade, linewidth=0)
                    start += piece.time.mid
            if one.whole and one.whole.time:
                end = one.whole.time.mid
                axes.plot([end, end], [middle - thick * 0.45, middle + thick * 0.45], color=ink.text, linewidth=1.2)
                words = text.micros(end)
                axes.text(1 + 0.08 / inches, middle, words, transform=across, va="center", color=ink.text)
        base = thick * len(bars) + 0.05 + 0.5
        edge = -(LEFT - 0.08) / inches
        for number, name in enumerate(names):
            y = base + legend * number
            values = ", ".join(
                (f"{one.route} " if len(bars) > 1 else "") + _part(piece.time.mid)
                for one in bars
                for piece in one.pieces
                if piece.name == name and piece.time
            )
            axes.add_patch(
                Rectangle((edge, y - 0.05), 0.1 / inches, 0.1, transform=across, clip_on=False, linewidth=0,
                          facecolor=PART_COLOURS.get(name, "#8c8c3f"))
            )  # fmt: skip
            axes.text(
                edge + 0.16 / inches, y, f"{name}: {values}", transform=across, va="center", color=ink.muted, size=7.4
            )

    said = "; ".join(
        f"{one.route} {text.micros(one.whole.time.mid) if one.whole and one.whole.time else ''}: "
        + ", ".join(f"{piece.name} {_part(piece.time.mid)}" for piece in one.pieces if piece.time)
        for one in bars
    )
    return Panel(title, f"{title}. {said}.", high, LEFT, RIGHT, draw)


def _part(micros: float) -> str:
    """A part's time; one that was dearer alone than within the call has none."""
    return text.micros(micros) if micros > 0 else "below zero"


def _stack(one: Waterfall) -> float:
    return sum(piece.time.mid for piece in one.pieces if piece.time and piece.time.mid > 0)


def ladder_picture(pack: Pack) -> Picture | None:
    """Time against size for every route that compiles nothing, one panel an op."""
    panels = [_ladder_panel(op, lines) for op, lines in ladders(pack).items() if lines]
    if not panels:
        return None
    note = "As called, both axes logarithmic; a lower line is faster. Where lines cross, the choice changes."
    return Picture("ladder", "Time against size, from 16 elements on", note, tuple(panels))


def _ladder_panel(op: str, lines: dict[str, list[tuple[int, float]]]) -> Panel:
    high = 2.35

    def draw(axes: Axes, ink: Ink) -> None:
        size_axes(axes, ink, lines.values(), text.elements)
        for route in known(list(lines)):
            axes.plot(*zip(*lines[route], strict=True), color=colour(route), marker=marker(route), markersize=3,
                      linewidth=1.3, alpha=0.92)  # fmt: skip
        ends = {
            route: float(axes.transAxes.inverted().transform(axes.transData.transform(line[-1]))[1])
            for route, line in lines.items()
        }
        for route, spot in spaced(ends, 0.165 / high).items():
            axes.plot([1.04], [spot], transform=axes.transAxes, marker=marker(route), markersize=4.6,
                      color=colour(route), clip_on=False, linestyle="none")  # fmt: skip
            axes.text(1.08, spot, route, transform=axes.transAxes, va="center", color=ink.text)

    said = "; ".join(
        f"{route} from {text.micros(line[0][1])} to {text.micros(line[-1][1])}" for route, line in lines.items()
    )
    return Panel(op, f"Time of {op} against size: {said}.", high, 0.72, 1.12, draw)


def threads_picture(pack: Pack) -> Picture | None:
    """Each call under each setting, as a factor of the default: right of the line is faster."""
    rows = [row for row in pack.rows("threads") if row["ratio_to_default"] is not None]
    panels = []
    for size in sorted({row["elements"] for row in rows}):
        for pattern in dict.fromkeys(row.get("pattern") for row in rows):
            some = [row for row in rows if row["elements"] == size and row.get("pattern") == pattern]
            groups = tuple(
                Group(setting, tuple(_thread_mark(row) for row in some if row["setting"] == setting))
                for setting in dict.fromkeys(row["setting"] for row in some)
            )
            if groups:
                words = "alone" if pattern == "alone" else "after a call that used the other pool"
                panels.append(_threads_panel(f"{text.elements(size)} elements, {words}", groups))
    if not panels:
        return None
    note = "Speed relative to the default settings, right is faster; a hollow mark means “no difference shown”."
    return Picture("threads", "Thread settings", note, tuple(panels))


def _thread_mark(row: Row) -> Mark:
    ratio = interval(row["ratio_to_default"], row["ratio_low"], row["ratio_high"])
    assert ratio is not None
    route = row["route"]
    return Mark(route, ratio, text.factor(ratio.mid), colour(route), marker(route), ratio.holds_one)


def _threads_panel(title: str, groups: tuple[Group, ...]) -> Panel:
    def draw(axes: Axes, ink: Ink) -> None:
        draw_rows(axes, ink, groups, "speed relative to the default", text.factor, one="default")

    said = "; ".join(f"{group.title}: " + ", ".join(f"{m.label} {m.text}" for m in group.marks) for group in groups)
    return Panel(title, f"{title}, relative to the default: {said}.", height(groups), LEFT, RIGHT, draw)
