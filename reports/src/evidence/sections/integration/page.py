"""What the page shows of PyTorch's features: routes against features, and below what a cell cannot hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.core.status import MUTED, NO, NOT_IN_PACK, PART, YES, Status, status
from evidence.page.blocks import Block, Details, Legend, Text, banner
from evidence.page.common import ROUTE_NAMES, both_sides, by_name, finding, listed
from evidence.page.headline import RouteFigures
from evidence.page.table import BOTH, MARKDOWN, PAGE, Cell, Table, columns, row
from evidence.page.table import Row as Line
from evidence.sections.integration.row import IntegrationRow

NAMES = {
    "fake": "fake tensors",
    "autograd": "autograd",
    "func": "torch.func",
    "vmap": "vmap",
    "compile_fullgraph": "compile (fullgraph)",
    "compile_dynamic": "compile (dynamic)",
    "inductor_reuse": "Inductor reuses buffers",
    "export": "torch.export",
    "aot_inductor": "AOTInductor",
    "autocast": "autocast",
    "inference_mode": "inference mode",
    "non_contiguous": "non-contiguous",
    "zero_size": "zero size",
    "threads": "threads",
    "fork": "fork",
    "streams": "streams",
    "cuda_graphs": "CUDA graphs",
}
"""Features in the order of the page, with their names in plain English."""

CELLS = {
    "works": Status("✓", "works", YES),
    "refused": Status("!", "refused", PART),
    "fails": Status("✗", "fails", NO),
    "did not run": Status("–", "did not run", MUTED),
    "not applicable": Status("·", "not applicable", MUTED),
}
WORDS = (
    "Each route was called with each feature of PyTorch, on one op, in a process of its own. “Refused”: a Python error "
    "that names the reason. “Fails”: a wrong result, a crash, a hang, or an error that does not name it."
)
PROBED = ("works", "refused", "fails")
URGENCY = ("fails", "refused", "works")
"""The order of the messages about a feature."""


def content(pack: Pack) -> list[Block]:
    """The features on the routes of the two sides and the engine; folded: every route, and the messages."""
    state = banner(pack, "integration", "Integration with PyTorch", BOTH)
    rows = pack.table(IntegrationRow)
    if not rows:
        return state
    left_out = [route for route in _all_routes(rows) if route not in routes(rows)]
    remarks = (f"{route} has no column: {_first_message(rows, route)}" for route in left_out)
    blocks: list[Block] = [
        *finding(*_findings(pack)),
        *state,
        *([shown] if (shown := side_table(pack)).rows else []),
        replace(feature_table(pack), where=MARKDOWN),
        Details(
            "Every route",
            (
                Text(WORDS, "note"),
                Legend(tuple(CELLS.values()), " ".join(remarks)),
                feature_table(pack),
            ),
            text.count(len(routes(rows)), "route"),
        ),
    ]
    messages = message_table(pack)
    if messages.rows:
        summary = "What was refused, what failed, and remarks"
        blocks.append(Details(summary, (messages,), "message by feature and route", classes="data"))
    return blocks


def _findings(pack: Pack) -> Iterator[str]:
    """How many features work on the two sides and the engine, everywhere, and nowhere."""
    (features,) = by_route(pack)
    if shown := by_name(features.values):
        yield f"Features of PyTorch that work with an op: {shown}."
    for outcome, lead in (("works", "Everywhere"), ("did not run", "Did not run here")):
        if names := [NAMES.get(feature, feature) for feature in _everywhere(pack.table(IntegrationRow), outcome)]:
            yield f"{lead}: {listed(names, len(names))}."


def by_route(pack: Pack) -> list[RouteFigures]:
    """How many features work on each route, of those that were probed."""
    rows = pack.table(IntegrationRow)
    probed = {route: [probe.status for probe in rows if probe.route == route] for route in _all_routes(rows)}
    values = {
        route: f"{statuses.count('works')} of {count}" if (count := _probed(statuses)) else "–"
        for route, statuses in probed.items()
    }
    return [RouteFigures(values, "PyTorch features", True)]


def _probed(statuses: Sequence[str]) -> int:
    return sum(status in PROBED for status in statuses)


def _all_routes(rows: list[IntegrationRow]) -> list[str]:
    return sorted({probe.route for probe in rows}, key=order)


def routes(rows: list[IntegrationRow]) -> list[str]:
    """The routes to which a feature applies: those with a column."""
    applicable = {probe.route for probe in rows if probe.status != "not applicable"}
    return [route for route in _all_routes(rows) if route in applicable]


def _first_message(rows: list[IntegrationRow], route: str) -> str:
    return next(str(probe.message) for probe in rows if probe.route == route)


def _features(rows: list[IntegrationRow]) -> list[str]:
    known = {feature: place for place, feature in enumerate(NAMES)}
    return sorted({probe.feature for probe in rows}, key=lambda name: (known.get(name, len(known)), name))


def side_table(pack: Pack) -> Table:
    """The features that differ or fail as rows, the two sides and the engine as columns."""
    rows = pack.table(IntegrationRow)
    shown = both_sides(routes(rows))
    heads = columns("Feature", *(ROUTE_NAMES[route] for route in shown))
    same = {*_everywhere(rows, "works"), *_everywhere(rows, "did not run")}
    lines = _feature_lines(pack, [feature for feature in _features(rows) if feature not in same], shown)
    return Table("What does not work everywhere", heads, tuple(lines), classes="grid")


def _everywhere(rows: list[IntegrationRow], status: str) -> list[str]:
    """The features that have this status on both sides and in the engine."""
    shown = both_sides(routes(rows))
    probes = {(probe.feature, probe.route) for probe in rows if probe.status == status}
    return [feature for feature in _features(rows) if all((feature, route) in probes for route in shown)]


def feature_table(pack: Pack) -> Table:
    """Features as rows, every route as a column, and how many work on each route."""
    rows = pack.table(IntegrationRow)
    shown = routes(rows)
    lines = _feature_lines(pack, _features(rows), shown, with_anchors=True)
    if lines:
        lines.append(row("works, of those probed", *(_count(rows, route) for route in shown), where=PAGE))
    return Table("Integration of each route with PyTorch", columns("Feature", *shown), tuple(lines), classes="grid")


def _feature_lines(pack: Pack, features: Sequence[str], shown: Sequence[str], with_anchors: bool = False) -> list[Line]:
    rows = pack.table(IntegrationRow)
    cells = {(probe.feature, probe.route): _cell(index, probe, with_anchors) for index, probe in enumerate(rows)}
    absent = Cell(statuses=(NOT_IN_PACK,))
    return [
        row(NAMES.get(feature, feature), *(cells.get((feature, route), absent) for route in shown))
        for feature in features
    ]


def _cell(index: int, probe: IntegrationRow, is_anchor: bool) -> Cell:
    anchor = f"integration-{index}" if is_anchor else ""
    return Cell(statuses=(status(CELLS, probe.status),), id=anchor, title=probe.message or "")


def _count(rows: list[IntegrationRow], route: str) -> Cell:
    """How many features work of those that were probed, and how many fail."""
    statuses = [probe.status for probe in rows if probe.route == route]
    fails = statuses.count("fails")
    notes = (f"{fails} fail{'s' if fails == 1 else ''}",) if fails else ()
    return Cell(f"{statuses.count('works')} of {_probed(statuses)}", notes=notes)


def message_table(pack: Pack) -> Table:
    """Feature by feature what failed first, then what was refused, then remarks; equal messages are given once."""
    rows = pack.table(IntegrationRow)
    lines = []
    for feature in _features(rows):
        joined: dict[tuple[str, str], list[str]] = {}
        for probe in rows:
            if probe.feature == feature and probe.message and probe.status in URGENCY:
                joined.setdefault((probe.status, probe.message), []).append(probe.route)
        for (outcome, message), named in sorted(joined.items(), key=lambda item: URGENCY.index(item[0][0])):
            word = Cell(CELLS[outcome].word, classes=f"{CELLS[outcome].tone} word")
            lines.append(row(NAMES.get(feature, feature), word, ", ".join(sorted(named, key=order)), message))
    return Table("Messages by feature and route", columns("Feature", "Status", "Routes", "Message"), tuple(lines))
