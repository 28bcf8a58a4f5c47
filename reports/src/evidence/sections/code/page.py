"""What the page shows of code size: tokens of routes against buckets, what one op takes, and every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES
from evidence.page.blocks import Block, Details, Figure, Text, banner, rows_details
from evidence.page.common import ROUTE_NAMES, both_sides, by_name, finding, folded, op_link
from evidence.page.headline import RouteFigures
from evidence.page.table import BOTH, MARKDOWN, PAGE, Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.code.row import CodeRow, SourceRow
from evidence.sections.code.table import BUCKETS, Effort, code, code_routes, effort


def content(pack: Pack) -> list[Block]:
    """Code size by route; folded: what one op takes, and every row."""
    blocks: list[Block] = [*finding(*_findings(pack)), *banner(pack, "code", "Code size", BOTH)]
    listed_sources = (source_table(pack),) if pack.table(SourceRow) else ()
    sources = folded(pack, "sources", "Sources of every op", *listed_sources)
    if not pack.table(CodeRow):
        return [*blocks, sources]
    routes = code_routes(pack)
    return [
        *blocks,
        Figure("code", table="rows-code"),
        size_table(pack, both_sides(routes), PAGE),
        size_table(pack, routes, MARKDOWN),
        Details("Every route", (size_table(pack, routes, PAGE, "rows-code"),), text.count(len(routes), "route")),
        Details(
            "To add one op",
            (
                effort_table(pack),
                Text(
                    "A new op needs new files only. Figures are medians over the ops (the lower middle value for an "
                    "even number of ops). Languages are those that any op uses.",
                    "note",
                ),
            ),
            id="code-effort",
        ),
        Details(
            "Complexity and API names",
            (
                complexity_table(pack),
                Text(
                    "Complexity is cyclomatic, summed over functions, where the language could be parsed. API names "
                    "are the distinct names of the framework's interface that a route's own code uses.",
                    "note",
                ),
            ),
        ),
        rows_details("Every code row", row_table(pack)),
        sources,
    ]


def _findings(pack: Pack) -> Iterator[str]:
    """Tokens of the two sides and the engine, and what one op takes."""
    if shown := by_name({route: f"{code(pack, route).tokens:,}" for route in code_routes(pack)}):
        yield f"Tokens of all ops with what they share, for all devices: {shown}."
    efforts = {op.route: f"{text.count(op.files, 'file')} with {op.lines:,} lines" for op in effort(pack)}
    if shown := by_name(efforts):
        yield f"A median op takes: {shown}."


def method(pack: Pack) -> str:
    """How code was counted: the rule as recorded by the run."""
    return str(pack.facts("settings").get("code_rule") or "") or (
        "Code lines by pygount, without comments and blanks. A file that several ops need counts once, as shared."
    )


METHODS = {"code": method}


def by_route(pack: Pack) -> list[RouteFigures]:
    """Tokens of every route, with what its ops share."""
    values = {route: f"{code(pack, route).tokens:,}" for route in code_routes(pack)}
    return [RouteFigures(values, "Tokens", True)]


def size_table(pack: Pack, routes: Sequence[str], where: str, id: str = "") -> Table:
    """Tokens of routes against buckets, own and shared, with gzip bytes and lines; with an id, of every route."""
    heads = columns(
        "Route",
        *numbers(*(text.upper_first(bucket) for bucket in BUCKETS)),
        *numbers("Shared", "All tokens", "Gzip", "Lines"),
    )
    is_whole = bool(id) or where == MARKDOWN
    rows = (_sizes(pack, route, route if is_whole else ROUTE_NAMES[route]) for route in routes)
    caption = "Tokens without comments. Lines depend on the formatter."
    label = "Code size by route" if is_whole else "Code size"
    return Table(label, heads, tuple(rows), caption, id=id, where=where)


def _sizes(pack: Pack, route: str, name: str) -> Line:
    whole = code(pack, route)
    own = [code(pack, route, bucket=bucket, shared=False).tokens for bucket in BUCKETS]
    return row(
        name,
        *(f"{tokens:,}" for tokens in own),
        f"{code(pack, route, shared=True).tokens:,}",
        f"{whole.tokens:,}",
        text.size(whole.gzip_bytes),
        f"{whole.lines:,}",
    )


def complexity_table(pack: Pack) -> Table:
    """Functions, complexity, names of the framework's API and languages of every route."""
    heads = columns("Route", *numbers("Functions", "Complexity", "API names"), "Languages")
    rows = (
        row(route, *_complexity([line for line in pack.table(CodeRow) if line.route == route]))
        for route in code_routes(pack)
    )
    return Table("Complexity by route", heads, tuple(rows))


def _complexity(rows: list[CodeRow]) -> tuple[str, str, str, str]:
    languages = sorted({name for line in rows for name in line.languages or []})
    names = {name for line in rows for name in line.api_names or []}
    functions = [line.functions for line in rows if line.functions is not None]
    complexity = [line.complexity for line in rows if line.complexity is not None]
    return (
        f"{sum(functions):,}" if functions else "–",
        f"{sum(complexity):,}" if complexity else "–",
        f"{len(names):,}" if any(line.api_names is not None for line in rows) else "–",
        ", ".join(languages) or "–",
    )


def effort_table(pack: Pack) -> Table:
    """What adding an op takes on each route: medians over the ops."""
    heads = columns(
        "Route",
        *numbers("files"),
        "languages",
        *numbers("lines", "for GPUs only", "tokens", "complexity", "API names", "shared lines, once"),
    )
    return Table("What one op takes, by route", heads, tuple(map(_effort, effort(pack))))


def _effort(op: Effort) -> Line:
    return row(
        op.route,
        f"{op.files:,}",
        ", ".join(op.languages) or "–",
        f"{op.lines:,}",
        f"{op.gpu_lines:,}",
        f"{op.tokens:,}",
        "–" if op.complexity is None else f"{op.complexity:,}",
        f"{op.api_names:,}",
        f"{op.shared_lines:,}",
    )


def source_table(pack: Pack) -> Table:
    """Every source by its path; the page of its op shows it."""
    rows = (
        row(
            op_link(source.op),
            SIDE_NAMES[source.side],
            source.bucket,
            Cell(source.path, classes="files"),
            len(source.text.splitlines()),
            id=f"sources-{index}",
        )
        for index, source in enumerate(pack.table(SourceRow))
    )
    return Table("Sources of every op", columns("Op", "Side", "Bucket", "Path", *numbers("Lines")), tuple(rows))


def row_table(pack: Pack) -> Table:
    """Every code row."""
    heads = columns(
        "Op", "Route", "Bucket", *numbers("Lines", "Tokens", "Gzip bytes", "Complexity"), "Languages", "Files"
    )
    rows = (
        row(
            Cell(line.op or "shared", aside="shared by all ops" if line.shared else ""),
            line.route,
            line.bucket,
            line.lines,
            line.tokens,
            line.gzip_bytes,
            "–" if line.complexity is None else line.complexity,
            ", ".join(line.languages or []) or "–",
            Cell(", ".join(line.files), classes="files"),
            id=f"code-{index}",
        )
        for index, line in enumerate(pack.table(CodeRow))
    )
    return Table("Code rows", heads, tuple(rows), header=False)
