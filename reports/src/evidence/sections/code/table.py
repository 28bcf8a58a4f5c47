"""Code size: sums over the code rows, and what one op takes, route against route."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median_low

from evidence.core import text
from evidence.core.interval import Interval, spread
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.sections.code.row import CodeRow

BUCKETS = ("kernel", "binding", "build", "glue")


@dataclass(frozen=True)
class CodeSum:
    """Lines, tokens and gzip bytes of a set of code rows, with the rows they stand on."""

    lines: int
    tokens: int
    gzip_bytes: int | None
    files: int
    pointers: tuple[str, ...]

    @property
    def figures(self) -> dict[str, int | None]:
        """The three sizes by name."""
        return {"tokens": self.tokens, "gzip_bytes": self.gzip_bytes, "lines": self.lines}


def code(
    pack: Pack,
    route: str,
    op: str | None = None,
    bucket: str | None = None,
    shared: bool | None = None,
    device: str | None = None,
) -> CodeSum:
    """Sum of the code rows of a route; `None` leaves a column open. Every route's rows are complete for that route.

    With device "cpu" the code that only GPUs need is left out: of lines and tokens where every row tells it apart, else
    nothing is left out; of gzip bytes likewise, which are None where the rows tell only lines and tokens apart.
    """
    chosen = [
        pointed
        for pointed in pack.pointed(CodeRow)
        if pointed.row.route == route
        and (op is None or pointed.row.op == op)
        and (bucket is None or pointed.row.bucket == bucket)
        and (shared is None or pointed.row.shared == shared)
    ]
    rows = [pointed.row for pointed in chosen]
    lines, tokens = sum(row.lines for row in rows), sum(row.tokens for row in rows)
    size: int | None = sum(row.gzip_bytes for row in rows)
    if device == "cpu" and tells_devices_apart(rows):
        lines, tokens = (
            lines - sum(row.gpu_lines or 0 for row in rows),
            tokens - sum(row.gpu_tokens or 0 for row in rows),
        )
        packed = [row.gzip_bytes - row.gpu_gzip_bytes for row in rows if row.gpu_gzip_bytes is not None]
        size = sum(packed) if len(packed) == len(rows) else None
    files = {name for row in rows for name in row.files}  # a file may be in two buckets
    return CodeSum(lines, tokens, size, len(files), tuple(pointed.pointer for pointed in chosen))


def tells_devices_apart(rows: Iterable[CodeRow]) -> bool:
    """Whether every row says how much of it only GPUs need."""
    return all(row.gpu_lines is not None and row.gpu_tokens is not None for row in rows)


def size_ratio(base: CodeSum, other: CodeSum) -> Interval | None:
    """Size of `base` over that of `other` by tokens and gzip bytes; above 1, `other` is smaller.

    The middle is the geometric mean of both measures, the ends are the measures themselves: they mean the same thing,
    and where they disagree nothing is shown. A measure that a side lacks is left out; None without any.
    """
    pairs = ((base.tokens, other.tokens), (base.gzip_bytes, other.gzip_bytes))
    ratios = [a / b for a, b in pairs if a and b]
    mean = spread(ratios)
    return None if mean is None else Interval(mean.mean, mean.low, mean.high)


def size_words(base: CodeSum, other: CodeSum) -> str:
    """`58,180 to 56,721 tokens, 66.9 kB to 61.7 kB gzip (4,062 to 5,607 lines)`."""
    known = base.gzip_bytes is not None and other.gzip_bytes is not None
    packed = f"{text.size(base.gzip_bytes)} to {text.size(other.gzip_bytes)} gzip" if known else "gzip not measured"
    return f"{base.tokens:,} to {other.tokens:,} tokens, {packed} ({base.lines:,} to {other.lines:,} lines)"


@dataclass(frozen=True)
class Effort:
    """What one op takes on a route, beside what the ops share: medians over the ops of the pack.

    `files` are those that are written anew, none is edited; `complexity` is None where a row was not parsed; of the
    lines, `gpu_lines` are needed on a GPU only. `shared_lines` is what the first op takes on top. Of an even number of
    ops the lower of the two middle values counts, so that nobody reads of half a file.
    """

    route: str
    ops: int
    files: int
    languages: tuple[str, ...]
    lines: int
    gpu_lines: int
    tokens: int
    complexity: int | None
    api_names: int
    shared_lines: int
    pointers: tuple[str, ...]


def effort(pack: Pack) -> list[Effort]:
    """One row a route: files, languages, lines and names of other interfaces that adding an op takes.

    Languages are those of any op; names are distinct ones over all of an op's files.
    """
    efforts = []
    for route in code_routes(pack):
        by_op: dict[str, list[CodeRow]] = {}
        for row in pack.table(CodeRow):
            if row.route == route and not row.shared and row.op:
                by_op.setdefault(row.op, []).append(row)
        if not by_op:
            continue
        ops = list(by_op.values())
        complexities = [_complexity(rows) for rows in ops]
        efforts.append(
            Effort(
                route,
                len(ops),
                median_low(len({name for row in rows for name in row.files}) for rows in ops),
                tuple(sorted({name for rows in ops for row in rows for name in row.languages})),
                median_low(sum(row.lines for row in rows) for rows in ops),
                median_low(sum(row.gpu_lines or 0 for row in rows) for rows in ops),
                median_low(sum(row.tokens for row in rows) for rows in ops),
                None if None in complexities else median_low(value for value in complexities if value is not None),
                median_low(len({name for row in rows for name in row.api_names or ()}) for rows in ops),
                code(pack, route, shared=True).lines,
                code(pack, route).pointers,
            )
        )
    return efforts


def _complexity(rows: list[CodeRow]) -> int | None:
    values = [row.complexity for row in rows]
    return sum(value for value in values if value is not None) if None not in values else None


def code_routes(pack: Pack) -> list[str]:
    """Routes with code rows, in report order."""
    return sorted({row.route for row in pack.table(CodeRow)}, key=order)


def code_ops(pack: Pack) -> list[str]:
    """Ops with code of their own, in pack order."""
    return list(dict.fromkeys(row.op for row in pack.table(CodeRow) if row.op and not row.shared))
