"""The forms that figures take, as Vega-Lite specifications without data: rows of marks, bars, lines and boxes.

Names stand beside their marks, so that no legend is needed and every form reads on a phone. The columns of words at
both sides have fixed widths, which `padding` holds; the page sets `width` to what its column leaves.
"""

from __future__ import annotations

from typing import Any

from evidence.page.style import (
    BAND,
    BUCKET_COLOURS,
    GROUND,
    MUTED,
    ON_BAR,
    TEXT,
    by_route,
)

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 422
"""Pixels of a panel that is drawn for print and for Markdown."""

LABELS = 100
OP_LABELS = 190
VALUES = 92
ROW = 17
GAP = 8
"""Pixels: the column of names at the left, the same for longer names, the column of figures, a line, a gap."""

MEASURED, ABSENT = {"filter": "isValid(datum.mid)"}, {"filter": "!isValid(datum.mid)"}
PALE = {"condition": {"test": "datum.noisy", "value": 0.45}, "value": 1}

# An axis in words: a Vega expression of the value, and the powers of ten that it may reach.
UNITS = {
    "ratio": ("format(datum.value, ',~r') + '×'", (-4, 5)),
    "us": (
        "datum.value < 1e3 ? format(datum.value, '~r') + '\u00a0µs' : datum.value < 1e6 "
        "? format(datum.value / 1e3, '~r') + '\u00a0ms' : format(datum.value / 1e6, '~r') + '\u00a0s'",
        (-3, 9),
    ),
    "s": (
        "datum.value < 1e-3 ? format(datum.value * 1e6, '~r') + '\u00a0µs' : datum.value < 1 "
        "? format(datum.value * 1e3, '~r') + '\u00a0ms' : format(datum.value, '~r') + '\u00a0s'",
        (-6, 5),
    ),
    "elements": (
        "datum.value < 1e3 ? format(datum.value, '~r') : datum.value < 1e6 ? format(datum.value / 1e3, '~r') + 'k' "
        ": datum.value < 1e9 ? format(datum.value / 1e6, '~r') + 'M' : format(datum.value / 1e9, '~r') + 'G'",
        (0, 12),
    ),
    "share": ("format(datum.value, '.0%')", (0, 0)),
    "seconds": ("format(datum.value, ',~r') + '\u00a0s'", (0, 0)),
    "mb": ("format(datum.value, ',~r') + '\u00a0MB'", (0, 0)),
}


def log_axis(channel: str, unit: str, title: str | None) -> Spec:
    """A logarithmic axis with plain figures, as densely labelled as the space allows."""
    label_expression, (low, high) = UNITS[unit]
    first, last = (f"domain('{channel}')[{end}]" for end in (0, 1))
    decade = f"{'width' if channel == 'x' else 'height'} / (log({last} / {first}) / LN10)"
    steps = {400: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 8), 110: (1, 2, 5), 62: (1, 3), 0: (1,)}
    # Vega leaves out what lies outside of the axis.
    ticks = {
        pixels: [float(f"{step}e{power}") for power in range(low, high) for step in each]
        for pixels, each in steps.items()
    }
    chosen = " : ".join(f"{decade} > {pixels} ? {values}" for pixels, values in ticks.items())
    return {**_axis(label_expression, title), "values": {"expr": f"{chosen} : []"}}


def _axis(label_expression: str, title: str | None) -> Spec:
    return {"title": title, "titleAnchor": "end", "titleAlign": "right", "labelExpr": label_expression, "grid": True,
            "labelOverlap": "greedy", "labelSeparation": 5}  # fmt: skip


def _value(name: str, scale: Spec | None = None, axis: Spec | None = None) -> Spec:
    return {"field": name, "type": "quantitative", **({"scale": scale} if scale else {}), "axis": axis or {}}


def _frame(layers: list[Spec], labels: int, values: int, top: int = GAP, step: int = ROW) -> Spec:
    """Lines of `step` pixels, by the field `line`, with words at both sides."""
    line = {"field": "line", "type": "ordinal", "axis": None,
            "scale": {"type": "band", "paddingInner": 0, "paddingOuter": 0}}  # fmt: skip
    return {
        "$schema": SCHEMA,
        "data": {"name": "rows"},
        "width": WIDTH - labels - values,
        "height": {"step": step},
        "autosize": {"type": "none"},
        "padding": {"left": labels, "right": values, "top": top, "bottom": 42},
        "encoding": {"y": line},
        "layer": [*_headings(labels, values), *layers],
    }


def _text(field: str, **mark: Any) -> Spec:
    return {"mark": {"type": "text", **mark}, "encoding": {"text": {"field": field, "type": "nominal"}}}


def _headings(labels: int, values: int) -> list[Spec]:
    """The name of each group on a line of its own above the group's first line, which a filter may have moved."""
    above = [
        {"filter": "isValid(datum.group)"},
        {"aggregate": [{"op": "min", "field": "line", "as": "first"}], "groupby": ["group"]},
        {"calculate": "datum.first - 0.5", "as": "line"},
    ]
    return [
        {"transform": above, **_text("group", align="left", fontWeight="bold", x=GAP - labels,
                                     limit={"expr": f"width + {labels + values - 2 * GAP}"})},
    ]  # fmt: skip


def _labels(labels: int, *transform: Spec) -> Spec:
    return {"transform": [*transform, {"calculate": "datum.label || datum.route", "as": "name"}],
            **_text("name", align="right", x=-GAP, limit=labels - 2 * GAP)}  # fmt: skip


def _right(values: int, field: str = "text", *transform: Spec) -> Spec:
    return {"transform": list(transform),
            **_text(field, align="left", x={"expr": f"width + {GAP}"}, limit=values - GAP)}  # fmt: skip


def marks(
    axis: str, unit: str, baseline_label: str = "", stems: bool = False, labels: int = LABELS, values: int = VALUES
) -> Spec:
    """One line a mark: its name, the mark with its interval on a logarithmic axis, its figure.

    Reads `line`, `route`, `label` (else the route), `text`, and `mid`, `low` and `high` or nothing where `text` says
    why; `group` is a heading, `hollow` means that the interval holds 1.0, `noisy` is pale, `band` is a factor that
    noise alone can produce, `tip` is shown under the pointer.

    Args:
        axis: title of the axis.
        unit: of `UNITS`; `share` and `seconds` make the axis linear, the others logarithmic.
        baseline_label: label of a line at 1.0; empty for no line.
        stems: a thin line from the left edge to each mark.
        labels: pixels for names.
        values: pixels for figures.
    """
    if unit == "share":
        scale: Spec = {"domain": [0, 1], "nice": False}
        x_axis = {**_axis(UNITS[unit][0], axis), "values": [0, 0.25, 0.5, 0.75, 1]}
    elif unit == "seconds":
        scale = {"zero": True, "nice": True}
        x_axis = {**_axis(UNITS[unit][0], axis), "tickCount": {"expr": "width > 300 ? 6 : 3"}}
    else:
        scale = {"type": "log", "padding": 10, "nice": False}
        x_axis = log_axis("x", unit, axis)
    layers: list[Spec] = []
    if baseline_label:
        # The ends keep noise from filling the axis, and are not drawn.
        baseline, shown = {"data": {"values": [{"x": 0.8}, {"x": 1}, {"x": 1.25}]}}, {"expr": "datum.x == 1 ? 1 : 0"}
        layers += [
            {"transform": [{"filter": "isValid(datum.band)"}, {"calculate": "1 / datum.band", "as": "least"}],
             "mark": {"type": "bar", "color": BAND, "height": {"band": 1}},
             "encoding": {"x": _value("least"), "x2": {"field": "band"}}},
            {**baseline, "mark": {"type": "rule", "opacity": shown}, "encoding": {"x": _value("x"), "y": None}},
            {**baseline, "mark": {"type": "text", "text": baseline_label, "color": MUTED, "y": -9, "opacity": shown},
             "encoding": {"x": _value("x"), "y": None}},
        ]  # fmt: skip
    if stems:
        layers.append({"transform": [MEASURED], "mark": {"type": "rule", "strokeWidth": 1.1, "opacity": 0.4},
                       "encoding": {"x": _value("mid"), "x2": {"value": 0}, "color": by_route("color")}})  # fmt: skip
    colour = by_route("color")
    layers += [
        {"transform": [MEASURED], "mark": {"type": "rule", "strokeWidth": 2.2},
         "encoding": {"x": _value("low"), "x2": {"field": "high"}, "color": colour, "opacity": PALE}},
        {"transform": [MEASURED], "mark": {"type": "point", "size": 55, "strokeWidth": 1.4},
         "encoding": {"x": _value("mid", scale, x_axis), "color": colour, "shape": by_route("shape"),
                      "fill": {"condition": {"test": "datum.hollow", "value": GROUND}, **colour}, "opacity": PALE,
                      "tooltip": {"field": "tip", "type": "nominal"}}},
        _labels(labels),
        _right(values, "text", MEASURED),
        {"transform": [ABSENT], **_text("text", align="left", x=4, fontStyle="italic", color=MUTED,
                                        limit={"expr": f"width + {values - GAP}"})},
    ]  # fmt: skip
    return _frame(layers, labels, values, top=20 if baseline_label else GAP)


def compared(axis: str, baseline_label: str, names: dict[str, str], labels: int = 150, column: int = 48) -> Spec:
    """One line a subject, with the marks of several routes and their intervals below each other in it.

    Reads `line`, `route`, `label` in the first row of a line, `text`, `mid`, `low`, `high`, `place` of the mark within
    its line from -1 to 1, `column` of its figure at the right where it has one, and `tip`.

    Args:
        axis: title of the logarithmic axis.
        baseline_label: label of the line at 1.0.
        names: route -> its name in the key above the marks; the first two have a column of figures each.
        labels: pixels for the names of the subjects.
        column: pixels of a column of figures.
    """
    step, values, heads = 24, 2 * column + GAP, list(names.items())
    colour, shift = by_route("color"), {"expr": "7 * datum.place"}
    key = [{"route": route, "name": name, "at": place} for place, (route, name) in enumerate(heads)]
    spot = f"{GAP - labels} + datum.at * (width + {labels + values - 2 * GAP}) / {len(key)}"
    baseline = {"data": {"values": [{"x": 0.8}, {"x": 1}, {"x": 1.25}]}}
    shown = {"expr": "datum.x == 1 ? 1 : 0"}
    layers: list[Spec] = [
        {**baseline, "mark": {"type": "rule", "opacity": shown}, "encoding": {"x": _value("x"), "y": None}},
        {**baseline, "mark": {"type": "text", "text": baseline_label, "color": MUTED, "y": -9, "opacity": shown},
         "encoding": {"x": _value("x"), "y": None}},
        {"transform": [MEASURED], "mark": {"type": "rule", "strokeWidth": 1.8, "yOffset": shift},
         "encoding": {"x": _value("low"), "x2": {"field": "high"}, "color": colour}},
        {"transform": [MEASURED], "mark": {"type": "point", "size": 38, "filled": True, "opacity": 1, "yOffset": shift},
         "encoding": {"x": _value("mid", {"type": "log", "padding": 10, "nice": False}, log_axis("x", "ratio", axis)),
                      "color": colour, "shape": by_route("shape"), "tooltip": {"field": "tip", "type": "nominal"}}},
        _labels(labels, {"filter": "isValid(datum.label)"}),
        {"transform": [{"filter": "isValid(datum.column)"}],
         **_text("text", align="right", limit=column, x={"expr": f"width + {column} * (datum.column + 1)"})},
        {"data": {"values": key}, "mark": {"type": "point", "size": 55, "filled": True, "opacity": 1,
                                           "x": {"expr": f"{spot} + 4"}, "y": -30},
         "encoding": {"y": None, "color": colour, "shape": by_route("shape")}},
        {"data": {"values": key}, "mark": {"type": "text", "align": "left", "fontSize": 11, "color": MUTED,
                                           "x": {"expr": f"{spot} + 13"}, "y": -30},
         "encoding": {"y": None, "text": {"field": "name", "type": "nominal"}}},
        {"data": {"values": key[:2]}, "mark": {"type": "text", "align": "right", "fontSize": 11, "color": MUTED,
                                               "x": {"expr": f"width + {column} * (datum.at + 1)"}, "y": -9},
         "encoding": {"y": None, "text": {"field": "name", "type": "nominal"}}},
    ]  # fmt: skip
    return _frame(layers, labels, values, top=44, step=step)


def parts(axis: str, unit: str, labels: int = OP_LABELS, values: int = VALUES) -> Spec:
    """One bar a part, each from where the part before it ends, with its name and its figure beside it.

    Reads `line`, `route`, `label`, `text`, `group`, `start` and `end` of the bar, and `whole` of a thin line.
    """
    x = _value("start", {"nice": False, "zero": True}, {**_axis(UNITS[unit][0], axis), "tickCount": 4})
    layers: list[Spec] = [
        {"mark": {"type": "bar", "height": 11},
         "encoding": {"x": x, "x2": {"field": "end"}, "color": by_route("color"),
                      "tooltip": {"field": "tip", "type": "nominal"}}},
        {"transform": [{"filter": "isValid(datum.whole)"}], "mark": {"type": "rule", "strokeWidth": 1},
         "encoding": {"x": _value("whole"), "y": {"field": "line", "type": "ordinal", "bandPosition": 0},
                      "y2": {"field": "line", "bandPosition": 1}}},
        _labels(labels),
        _right(values),
    ]  # fmt: skip
    return _frame(layers, labels, values)


def stacks(axis: str, unit: str, labels: int = LABELS, values: int = 64) -> Spec:
    """One stacked bar a line, in the colours of the buckets of code, with the whole at the right.

    Reads `line`, `route`, `part`, `start`, `end`, `inside`, written in the bar where it fits, and `whole` in words.
    """
    fits = "scale('x', datum.end) - scale('x', datum.start) > 7 * length(datum.inside) ? datum.inside : ''"
    colour = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": list(BUCKET_COLOURS), "range": list(BUCKET_COLOURS.values())},
        "legend": None,
    }
    x = _value("start", {"nice": False, "zero": True}, {**_axis(UNITS[unit][0], axis), "tickCount": 5})
    first = {"filter": "datum.start == 0"}
    # The parts by name, above the bars, at places of their own.
    key = [{"name": name, "colour": shade, "at": place} for place, (name, shade) in enumerate(BUCKET_COLOURS.items())]
    spot = f"datum.at * (width + {labels + values - 2 * GAP}) / {len(key)} + {GAP - labels}"
    layers: list[Spec] = [
        {"mark": {"type": "bar", "height": 13, "stroke": GROUND, "strokeWidth": 0.6},
         "encoding": {"x": x, "x2": {"field": "end"}, "color": colour, "tooltip": {"field": "tip", "type": "nominal"}}},
        {"transform": [{"calculate": "(datum.start + datum.end) / 2", "as": "middle"}],
         "mark": {"type": "text", "fontSize": 10, "color": ON_BAR, "text": {"expr": fits}},
         "encoding": {"x": _value("middle")}},
        _labels(labels, first),
        _right(values, "whole", first),
        {"data": {"values": key}, "mark": {"type": "point", "shape": "square", "size": 70, "filled": True, "opacity": 1,
                                           "x": {"expr": f"{spot} + 4"}, "y": -12},
         "encoding": {"y": None, "color": {"field": "colour", "type": "nominal", "scale": None}}},
        {"data": {"values": key}, "mark": {"type": "text", "align": "left", "color": MUTED, "fontSize": 11,
                                           "x": {"expr": f"{spot} + 12"}, "y": -12},
         "encoding": {"y": None, "text": {"field": "name", "type": "nominal"}}},
    ]  # fmt: skip
    return _frame(layers, labels, values, top=24)


def lines() -> Spec:
    """Time against size, both axes logarithmic, one line a route; the routes stand at the right, the slowest on top.

    Reads `route`, `x` in elements, `y` in microseconds and `tip`.
    """
    log = {"type": "log", "padding": 8, "nice": False}
    last = [
        {"joinaggregate": [{"op": "max", "field": "x", "as": "end"}], "groupby": ["route"]},
        {"filter": "datum.x == datum.end"},
        {"window": [{"op": "row_number", "as": "place"}], "sort": [{"field": "y", "order": "descending"}]},
    ]
    at = {"expr": "datum.place * 17 - 8"}
    none = {"x": None, "y": None}
    colour, shape = by_route("color"), by_route("shape")
    return {
        "$schema": SCHEMA,
        "data": {"name": "rows"},
        "width": WIDTH - 58 - 112,
        "height": 240,
        "autosize": {"type": "none"},
        "padding": {"left": 58, "right": 112, "top": GAP, "bottom": 42},
        "encoding": {"x": _value("x", log, log_axis("x", "elements", "elements")),
                     "y": _value("y", log, log_axis("y", "us", None)), "color": colour},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 1.6}},
            {"mark": {"type": "point", "filled": True, "size": 42, "opacity": 1},
             "encoding": {"shape": shape, "tooltip": {"field": "tip", "type": "nominal"}}},
            {"transform": last, "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1, "y": at,
                                         "x": {"expr": "width + 16"}}, "encoding": {**none, "shape": shape}},
            {"transform": last, "mark": {"type": "text", "align": "left", "y": at, "x": {"expr": "width + 26"},
                                         "limit": 112 - 28},
             "encoding": {**none, "color": {"value": TEXT}, "text": {"field": "route", "type": "nominal"}}},
        ],
    }  # fmt: skip


def boxes() -> Spec:
    """The rounds of each process as a box with every round beside it. Reads `process`, `us`, `place` and `route`."""
    return {
        "$schema": SCHEMA,
        "data": {"name": "rows"},
        "width": WIDTH - 62,
        "height": 250,
        "autosize": {"type": "none"},
        "padding": {"left": 62, "right": GAP, "top": GAP, "bottom": 28},
        "transform": [{"calculate": "(datum.place * 7 % 11 - 5) / 24", "as": "aside"}],
        "encoding": {
            "x": {"field": "process", "type": "nominal", "axis": {"title": None, "labelAngle": 0}},
            "y": {"field": "us", "type": "quantitative", "scale": {"zero": False},
                  "axis": {"title": None, "grid": True, "labelExpr": "format(datum.value, ',~r') + '\u00a0µs'"}},
        },
        "layer": [
            {"mark": {"type": "boxplot", "outliers": False, "color": MUTED, "size": 70, "box": {"fillOpacity": 0.15},
                      "median": {"color": TEXT}}},
            {"mark": {"type": "point", "filled": True, "size": 16, "opacity": 0.65},
             "encoding": {"xOffset": {"field": "aside", "type": "quantitative", "scale": {"domain": [-0.5, 0.5]}},
                          "color": by_route("color"), "shape": by_route("shape")}},
        ],
    }  # fmt: skip
