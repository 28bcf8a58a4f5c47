"""The first screen as CSV: a link that saves it, without a script and without another file."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator

from evidence.judge.summary import COLUMNS, Summary

CSV_FILE = "summary.csv"
HEADS = ("kind", "name", "route", "value", "low", "high", "text")


def csv_link(shown: Summary) -> dict[str, str]:
    """The `name` of the file and the `url` that holds it."""
    content = base64.b64encode(summary_csv(shown).encode("utf-8")).decode()
    return {"name": CSV_FILE, "url": f"data:text/csv;charset=utf-8;base64,{content}"}


def summary_csv(shown: Summary) -> str:
    """A line for each figure and route, for each op to move or to leave, and for each question."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADS)
    writer.writerows(_lines(shown))
    return file.getvalue()


def _lines(shown: Summary) -> Iterator[tuple[str, ...]]:
    for figure in shown.figures:
        for route, _ in COLUMNS:
            yield "figure", figure.name, route, figure.values.get(route, ""), "", "", ""
    for kind, moves in (("move", shown.moves), ("leave", shown.leaves)):
        for move in moves:
            gain = (f"{value:.4g}" for value in (move.gain.mid, move.gain.low, move.gain.high))
            yield kind, move.op, move.route, *gain, move.size_class or "all sizes"
    for answer in shown.decisions:
        yield "question", answer.question, answer.favours or "", answer.strength, "", "", answer.sentence
