"""What the page shows of correctness: checks passed of those run, by route and op."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.page.blocks import Block, Details, banner
from evidence.page.common import by_name, finding, folded, listed, op_link
from evidence.page.headline import RouteFigures
from evidence.page.table import Cell, Table, columns, row
from evidence.sections.correctness.row import CorrectnessRow, SpecRow


def content(pack: Pack) -> list[Block]:
    """Checks passed of those run; folded: by route and op."""
    blocks: list[Block] = [*finding(*_findings(pack)), *banner(pack, "correctness", "Correctness")]
    if pack.table(CorrectnessRow):
        blocks.append(Details("Checks passed, by route and op", (check_table(pack),), "of those run"))
    specs = (spec_table(pack),) if pack.table(SpecRow) else ()
    return [*blocks, folded(pack, "specs", "What each op is", *specs)]


def _findings(pack: Pack) -> Iterator[str]:
    """Checks passed of the two sides and the engine, and the routes that failed one."""
    if not pack.table(CorrectnessRow):
        return
    (passed,) = by_route(pack)
    yield f"Checks passed: {by_name(passed.values)}."
    failures: dict[str, list[str]] = {}
    for check in pack.table(CorrectnessRow):
        if check.failed:
            failures.setdefault(check.route, []).append(check.op)
    if failures:
        routes = "; ".join(f"{route} ({listed(failures[route])})" for route in sorted(failures, key=order))
        yield f"Failed checks: {routes}."
    yield "A route that fails an op's checks gets no time for it."


def by_route(pack: Pack) -> list[RouteFigures]:
    """Checks passed of those run on the CPU, by route."""
    values = {}
    for route in {check.route for check in pack.table(CorrectnessRow)}:
        checks = [check for check in pack.table(CorrectnessRow) if (check.route, check.device) == (route, "cpu")]
        passed, failed = sum(check.passed for check in checks), sum(check.failed for check in checks)
        values[route] = f"{passed:,} of {passed + failed:,}" if passed + failed else "–"
    return [RouteFigures(values, "Checks passed", True)]


def spec_table(pack: Pack) -> Table:
    """Every spec in a line; the page of the op has the rest."""
    rows = (
        row(op_link(spec.op), spec.what, Markup("<code>{}</code>").format(spec.schema), id=f"specs-{index}")
        for index, spec in enumerate(pack.table(SpecRow))
    )
    return Table("Specs of the ops", columns("Op", "What it is", "Schema"), tuple(rows), classes="wrap")


def check_table(pack: Pack) -> Table:
    """Routes against ops: passed of run, with the messages of failures."""
    rows: dict[str, dict[str, dict[int, CorrectnessRow]]] = {}
    for index, check in enumerate(pack.table(CorrectnessRow)):
        rows.setdefault(check.route, {}).setdefault(check.op, {})[index] = check
    ops = list(dict.fromkeys(check.op for check in pack.table(CorrectnessRow)))
    lines = (row(route, *(_cell(rows[route].get(op, {})) for op in ops)) for route in sorted(rows, key=order))
    return Table("Correctness by route and op", columns("Route", *ops), tuple(lines))


def _cell(checks: dict[int, CorrectnessRow]) -> Cell:
    """The checks of one op on one route, in all its dtypes, by their place in the pack."""
    if not checks:
        return Cell("–")
    passed, failed, skipped = (
        sum(getattr(check, count) for check in checks.values()) for count in ("passed", "failed", "skipped")
    )
    return Cell(
        f"{passed} of {passed + failed}" + (f", {skipped} skipped" if skipped else ""),
        notes=tuple(f"{check.dtype}: {check.message}" for check in checks.values() if check.message),
        more=Markup("").join(Markup('<span id="correctness-{}"></span>').format(index) for index in checks),
        classes="bad" if failed else "",
    )
