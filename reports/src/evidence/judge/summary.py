"""A pack in one screen: three sentences, figures of both sides, which ops to move, and the decisions.

The terminal, the first screen of the page, “copy summary”, the PDF and the index of a site show the same summary.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from evidence.core import text
from evidence.core.pack import COMPLETE, Pack, mode
from evidence.core.routes import SIDE_NAMES
from evidence.judge.busy import warnings
from evidence.judge.conclude import recorded_weights
from evidence.judge.decisions import decisions
from evidence.judge.headline import TOPICS, Clause, Figure, Move, clauses, moves, ordered
from evidence.judge.row import DecisionRow, Side

TITLE = "C++ or Mojo for custom PyTorch ops"
COLUMNS = (("cpp", "C++"), ("mojo_aot", "Mojo, shared library"), ("mojo", "Mojo in the MAX engine"))
"""Route -> what it is called: both sides, and Mojo's other way to run."""

NOTHING = {"CPU": "not measured", "work": "building, code and mistakes were not measured", "GPU": "not measured"}
"""Topic -> what its sentence says without a clause."""

LISTED_MOVES = 6
"""Ops of each list that the text form names."""


@dataclass(frozen=True)
class SummaryFigure:
    """A figure of the table: route -> text; `section` is where its rows are."""

    name: str
    values: Mapping[str, str]
    section: str


@dataclass(frozen=True)
class Answer:
    """The answer to a decision question.

    Attributes:
        sentence: what the evidence says.
        strength: `clear`, `slight`, `tie` or `not measured`.
        favours: the side that is favoured, if any.
        outcomes: what it rests on, in natural units.
    """

    id: str
    question: str
    sentence: str
    strength: str
    favours: Side | None
    outcomes: tuple[str, ...]


@dataclass(frozen=True)
class Sentence:
    """One of the three sentences, with pointers to the rows of each of its clauses."""

    topic: str
    clauses: tuple[Clause, ...]

    def __str__(self) -> str:
        paragraphs = "; ".join(clause.text for clause in self.clauses)
        return f"{self.topic}: {paragraphs}." if self.topic != "work" else f"{text.upper_first(paragraphs)}."


@dataclass(frozen=True)
class Summary:
    """What the first screen shows.

    Attributes:
        machine: machine, versions, date and mode of the run.
        warnings: why the figures may be less certain than they look.
        sentences: CPU; building, reading and mistakes; GPUs.
        moves: ops that are shown to be faster than PyTorch, the largest gain first.
        leaves: ops that are shown to be faster on few samples or none: PyTorch serves as well.
        depends: the others, which pay at some sizes or dtypes.
        costs: figures for the details: what one more op takes, what a wrong line costs, what ran where on GPUs, and
            speed weighted by the time that ops take in models.
    """

    title: str
    machine: str
    warnings: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    figures: tuple[SummaryFigure, ...]
    moves: tuple[Move, ...]
    leaves: tuple[Move, ...]
    decisions: tuple[Answer, ...]
    depends: tuple[Move, ...] = ()
    costs: tuple[SummaryFigure, ...] = ()


def summary(pack: Pack) -> Summary:
    """The summary of a pack that was concluded; what it has no rows for is said to be not measured."""
    every_op = moves(pack)
    return Summary(
        title=TITLE,
        machine=" · ".join([*machine_line(pack), _date(pack), f"{mode(pack)} run"]),
        warnings=(*warnings(pack), *([] if pack.status == COMPLETE else ["The run did not reach its end."])),
        sentences=tuple(_sentence(pack, topic) for topic in TOPICS),
        figures=_figures(pack, "FIGURES"),
        moves=tuple(move for move in every_op if move.pays),
        leaves=tuple(move for move in every_op if not move.pays and not move.depends),
        decisions=tuple(map(_answer, _decisions(pack))),
        depends=tuple(move for move in every_op if move.depends),
        costs=_figures(pack, "COSTS"),
    )


def _figures(pack: Pack, declared: str) -> tuple[SummaryFigure, ...]:
    return tuple(
        SummaryFigure(figure.name, values, section)
        for section, figure in ordered(declared, Figure)
        if (values := figure.by_route(pack))
    )


def _sentence(pack: Pack, topic: str) -> Sentence:
    overview = clauses(pack, topic)  # type: ignore[arg-type]
    return Sentence(topic, tuple(overview) or (Clause(NOTHING[topic]),))


def _decisions(pack: Pack) -> Sequence[DecisionRow]:
    """The decisions of a pack; one that an earlier release judged is judged again, by the weights that it records."""
    rows = pack.table(DecisionRow)
    return rows if rows and all(row.sentence for row in rows) else decisions(pack, recorded_weights(pack))


def _answer(decision: DecisionRow) -> Answer:
    return Answer(
        decision.id,
        decision.question,
        decision.sentence or decision.verdict,
        decision.strength,
        decision.favours,
        tuple(decision.outcomes),
    )


def machine_line(pack: Pack) -> list[str]:
    """Cores, CPU, GPUs and versions, as short phrases."""
    machine, versions = pack.facts("machine"), pack.facts("versions")
    phrases = []
    if machine.get("cpu"):
        cores = machine.get("cores_usable")
        virtual = " (virtual)" if machine.get("hypervisor") else ""
        number = f", {text.count(cores, 'core')}" if isinstance(cores, int) else ""
        phrases.append(f"{machine['cpu']}{number}{virtual}")
    gpus = machine.get("gpus")
    if isinstance(gpus, list):
        phrases.append(", ".join(map(str, gpus)) or "no GPU")
    names = (("torch", "torch"), ("modular", "MAX"))
    return phrases + [f"{name} {versions[key]}" for key, name in names if versions.get(key)]


def _date(pack: Pack) -> str:
    created = datetime.fromisoformat(pack.created_utc)
    return f"{created.day} {created:%b %Y}"


def lines(overview: Summary, width: int = 100) -> list[str]:
    """The summary as plain text, about fifteen lines of at most `width` characters."""
    paragraphs = [f"(!) {warning}" for warning in overview.warnings] + [
        str(sentence) for sentence in overview.sentences
    ]
    wrapped = [line for phrase in paragraphs for line in textwrap.wrap(phrase, width, subsequent_indent="    ")]
    return [
        overview.title,
        *textwrap.wrap(overview.machine, width, subsequent_indent="    "),
        *wrapped,
        *_figure_lines(overview),
        *_move_lines(overview, width),
        *textwrap.wrap(f"Decisions: {' · '.join(map(_short, overview.decisions))}", width, subsequent_indent="    "),
    ]


def _figure_lines(overview: Summary) -> list[str]:
    if not overview.figures:
        return []
    rows = [["", *(title for _, title in COLUMNS)]]
    rows += [[figure.name, *(figure.values.get(route, "–") for route, _ in COLUMNS)] for figure in overview.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]


def _move_lines(overview: Summary, width: int) -> list[str]:
    lists = (
        ("Move", [f"{move.op} {_gain(move)}" for move in overview.moves]),
        ("Leave", [f"{move.op} {_gain(move)}" for move in overview.leaves]),
        ("Depends on size and dtype", [f"{move.op} {_gain(move)}" for move in overview.depends]),
    )
    paragraphs = [
        f"{name}: {', '.join(ops[:LISTED_MOVES])}{_more(len(ops) - LISTED_MOVES)}" for name, ops in lists if ops
    ]
    return [line for phrase in paragraphs for line in textwrap.wrap(phrase, width, subsequent_indent="    ")]


def _gain(move: Move) -> str:
    """`12× (6.8–20)`: the mean over the samples, and its range, of which nobody reads the third digit."""
    low, mid, high = (
        f"{value:.2g}" if value < 100 else f"{value:.0f}" for value in (move.gain.low, move.gain.mid, move.gain.high)
    )
    return f"{mid}× ({low}–{high})"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _short(answer: Answer) -> str:
    """`a new op on the CPU: C++ (slight)`."""
    return f"{text.lower_first(answer.question)}: {conclusion(answer)}"


def conclusion(answer: Answer) -> str:
    """The side with the strength, or the strength alone."""
    if answer.favours is None:
        return answer.strength
    return f"{SIDE_NAMES[answer.favours]} ({answer.strength})"
