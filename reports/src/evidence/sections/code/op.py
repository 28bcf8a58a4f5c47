"""What code size says of an op on its page: the sources of both sides, and how much code they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, SIDES
from evidence.page.blocks import Block, Layout, Text
from evidence.page.common import ROUTE_NAMES, Context, row_links
from evidence.page.highlight import highlighted
from evidence.page.op_part import OpPart
from evidence.page.table import Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.code.row import CodeRow, SourceRow
from evidence.sections.code.table import code_ops, code_routes

NO_SOURCES = "This pack carries no sources: the release that made it did not record them."
FOLDED = {"binding": "Binding", "glue": "Python: registration, shapes, gradients"}


def ops(pack: Pack) -> list[str]:
    """Ops with code of their own."""
    return code_ops(pack)


def sources(pack: Pack, op: str) -> list[Block]:
    """The kernels of both sides side by side; binding and Python files folded."""
    files = [source for source in pack.table(SourceRow) if source.op == op]
    if not files:
        return [Text(NO_SOURCES, "note")]
    sides = [_side(side, [source for source in files if source.side == side]) for side in SIDES]
    return [Layout("op_sources.html", {"sides": sides})]


def _side(side: str, files: Sequence[SourceRow]) -> Context:
    folds = {title: [source for source in files if source.bucket == bucket] for bucket, title in FOLDED.items()}
    return {
        "name": SIDE_NAMES[side],
        "tone": side,
        "kernels": _files(source for source in files if source.bucket == "kernel"),
        "folds": [
            {"title": title, "note": text.count(_lines(chosen), "line"), "files": _files(chosen)}
            for title, chosen in folds.items()
            if chosen
        ],
    }


def _files(files: Iterable[SourceRow]) -> list[Context]:
    return [
        {
            "path": source.path,
            "note": text.count(_lines([source]), "line"),
            "label": f"{source.path}, {source.bucket}",
            "html": highlighted(source.text.strip("\n"), source.path),
        }
        for source in files
    ]


def _lines(files: Iterable[SourceRow]) -> int:
    return sum(len(source.text.strip("\n").splitlines()) for source in files)


def size(pack: Pack, op: str) -> list[Block]:
    """Files, lines, tokens, complexity and API names of the op's own code on both sides."""
    rows = [_size(pack, op, route) for route in code_routes(pack) if route in ROUTE_NAMES]
    heads = columns(
        "Side", *numbers("Files", "Lines", "for GPUs only", "Tokens", "Gzip", "Complexity", "API names"), "Rows"
    )
    shown = tuple(line for line in rows if line is not None)
    note = "Code lines and tokens without comments; what all ops share is not counted here."
    return [Table(f"Code of {op}", heads, shown), Text(note, "note")] if shown else []


def _size(pack: Pack, op: str, route: str) -> Line | None:
    pointed = [each for each in pack.pointed(CodeRow) if each.row.op == op and each.row.route == route]
    rows = [each.row for each in pointed]
    if not rows:
        return None
    gpu = [line.gpu_lines for line in rows if line.gpu_lines is not None]
    complexity = [line.complexity for line in rows if line.complexity is not None]
    return row(
        ROUTE_NAMES[route],
        len({path for line in rows for path in line.files}),
        f"{sum(line.lines for line in rows):,}",
        f"{sum(gpu):,}" if gpu else "–",
        f"{sum(line.tokens for line in rows):,}",
        text.size(sum(line.gzip_bytes for line in rows)),
        f"{sum(complexity):,}" if complexity else "–",
        len({name for line in rows for name in line.api_names or ()}),
        Cell(row_links(each.pointer for each in pointed)),
    )


OP_PARTS = (OpPart(20, "Sources", sources), OpPart(50, "Code size", size))
