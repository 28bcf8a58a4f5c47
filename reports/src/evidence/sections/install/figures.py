"""The figure of what has to be installed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.page.figure import Figure, Row, mark, rounded, single
from evidence.page.plots import parts
from evidence.sections.install.row import FootprintRow

MOST_PACKAGES = 5
ABI_TAG = re.compile(r"\.(?:cpython-[^.]+|abi3)(?=\.so$)")
"""What the name of a library says of Python and platform: too long for a figure, whole in the table and the tip."""

PURPOSES = {"build": "To build, as declared, on top of PyTorch", "run": "To run, on top of PyTorch"}


def figures(pack: Pack) -> list[Figure]:
    """Bytes installed on top of PyTorch, to build and to run, per route, largest packages first."""
    table = pack.table(FootprintRow)
    base = {row.package for row in table if row.route == "eager"}
    added = [row for row in table if row.bytes and row.package not in base]
    rows: list[Row] = []
    for purpose, panel in PURPOSES.items():
        for route in sorted({row.route for row in added}, key=order):
            needed = [row for row in added if (row.route, row.purpose) == (route, purpose)]
            packages = [(row.package, row.bytes or 0) for row in needed]
            rows += _packages(panel, len(rows), route, packages)
    note = "Largest entries by name, the rest together."
    return [single("footprint", "What has to be installed", note, parts("installed size", "mb"), rows)]


def _packages(panel: str, line: int, route: str, packages: Sequence[tuple[str, int]]) -> list[Row]:
    ranked = sorted(packages, key=lambda package: -package[1])
    shown = ranked[:MOST_PACKAGES]
    if rest := ranked[MOST_PACKAGES:]:
        shown.append((text.count(len(rest), "further entry", "further entries"), sum(size for _, size in rest)))
    group = f"{route}: {text.size(sum(size for _, size in packages))}"
    rows, start = [], 0
    for place, (name, size) in enumerate(shown):
        tip = f"{route}\n{name}: {text.size(size)}"
        label = ABI_TAG.sub("", name)
        row = mark(panel, line + place, route, None, text.size(size), label=label, group=group, tip=tip)
        rows.append({**row, "start": rounded(start / 1e6), "end": rounded((start + size) / 1e6)})
        start += size
    return rows
