"""What correctness says of an op on its page: the spec, and the checks that were held against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.page.blocks import Block, Layout, Text
from evidence.page.common import row_links
from evidence.page.highlight import highlighted
from evidence.page.op_part import OpColumn, OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.correctness.row import CorrectnessRow, SpecRow

TOLERANCE = (
    "A result passes when its error against the reference in float64 is at most twice that of eager PyTorch in the "
    "same dtype, plus one rounding step of that dtype at the scale of the output."
)
NO_SPEC = "This pack carries no specs: the release that made it did not record them."


def specs(pack: Pack) -> dict[str, SpecRow]:
    """Op -> its spec."""
    return {spec.op: spec for spec in pack.table(SpecRow)}


def spec(pack: Pack, op: str) -> list[Block]:
    """Schema, reference, dtypes, tolerance and samples."""
    recorded = specs(pack).get(op)
    if recorded is None:
        return [Text(NO_SPEC, "note")]
    blocks: list[Block] = [
        Text(text.upper_first(recorded.what)),
        Table(f"Spec of {op}", columns("Property", "Value"), tuple(_facts(recorded)), classes="facts wrap"),
    ]
    if recorded.reference:
        code = highlighted(recorded.reference, "reference.py")
        values = {"title": "Reference, which also runs in float64", "label": f"Reference of {op}", "html": code}
        blocks.append(Layout("op_reference.html", values))
    return blocks


def _facts(spec: SpecRow) -> Iterator[Line]:
    def fact(name: str, value: str) -> Line:
        return row(name, value)

    yield fact("Schema", Markup("<code>{}</code>").format(spec.schema))
    if spec.out_schema:
        yield fact("With outputs", Markup("<code>{}</code>").format(spec.out_schema))
    yield fact("Dtypes", ", ".join(spec.dtypes))
    yield fact("Gradient", f"for {', '.join(spec.gradients)}" if spec.gradients else "none")
    yield fact("Autocast", f"casts to {spec.autocast}" if spec.autocast else "casts nothing")
    yield fact("Same bits again", spec.deterministic)
    yield fact("Tolerance", TOLERANCE)
    yield fact("Samples checked", f"{len(spec.samples)} in each dtype: {'; '.join(spec.samples)}")
    yield fact("Bad calls refused", f"{len(spec.errors)}: {'; '.join(spec.errors)}")
    yield fact("Samples timed", "; ".join(spec.timed))
    for skip in spec.skips:
        yield fact("Known gap", skip)


def checks(pack: Pack, op: str) -> list[Block]:
    """Checks passed of those run, by route, over all dtypes."""
    by_route: dict[str, list[CorrectnessRow]] = {}
    pointers: dict[str, list[str]] = {}
    for pointed in pack.pointed(CorrectnessRow):
        if pointed.row.op == op:
            by_route.setdefault(pointed.row.route, []).append(pointed.row)
            pointers.setdefault(pointed.row.route, []).append(pointed.pointer)
    if not by_route:
        return []
    rows = (_checked(route, by_route[route], pointers[route]) for route in sorted(by_route, key=order))
    heads = columns("Route", *numbers("Checks passed", "Skipped"), "First message", "Rows")
    return [Table(f"Checks of {op}", heads, tuple(rows), classes="wrap")]


def _checked(route: str, rows: list[CorrectnessRow], pointers: list[str]) -> Line:
    passed, failed = sum(check.passed for check in rows), sum(check.failed for check in rows)
    message = next((check.message for check in rows if check.message), "")
    counts = Cell(f"{passed:,} of {passed + failed:,}", classes="bad" if failed else "")
    return row(route, counts, sum(check.skipped for check in rows), message, Cell(row_links(pointers)))


def _what(pack: Pack) -> Mapping[str, str]:
    return {op: recorded.what for op, recorded in specs(pack).items()}


OP_PARTS = (OpPart(10, "What it is", spec), OpPart(80, "Checks", checks))
OP_COLUMNS = (OpColumn(90, "What it is", _what),)
