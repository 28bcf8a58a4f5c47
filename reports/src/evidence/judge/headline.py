"""What a section contributes to the summary of a pack: figures by route, clauses of its sentences, and ops to move.

They stand in the section's `headline.py`: `FIGURES`, `COSTS` (figures for the details), `CLAUSES` and `moves`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.section import declarations

Topic = Literal["CPU", "work", "GPU"]
TOPICS: tuple[Topic, ...] = ("CPU", "work", "GPU")
"""The sentences of the summary: run time on the CPU; building, reading and mistakes; GPUs."""


class Figure(NamedTuple):
    """A headline figure: its place, its name with unit or meaning, and what it is for each route."""

    order: int
    name: str
    by_route: Callable[[Pack], Mapping[str, str]]


class Clause(NamedTuple):
    """A finding in words, with pointers to the rows that it stands on."""

    text: str
    rows: tuple[str, ...] = ()


class Saying(NamedTuple):
    """A place in a sentence; `say` returns None where the pack has nothing to say there."""

    topic: Topic
    order: int
    say: Callable[[Pack], Clause | None]


class Move(NamedTuple):
    """A custom op against what PyTorch gives without one.

    Attributes:
        gain: speed relative to the faster of eager and torch.compile: geometric mean over the samples, and its range.
        route: the faster of the routes that represent a side.
        size_class: `small`, `middle` or `large`; empty for all of them.
        pays: whether the op is shown to be faster on most of the samples.
        depends: whether that is so for too many samples to leave the op to PyTorch, and too few to move it.
    """

    op: str
    gain: Interval
    route: str
    size_class: str
    pays: bool
    rows: tuple[str, ...]
    depends: bool = False


T = TypeVar("T", Figure, Saying)


def ordered(name: str, kind: type[T]) -> list[tuple[str, T]]:
    """Section and entry of what all sections list under `name`, by order."""
    entries = [(section.name, entry) for section, listed in declarations("headline", name) for entry in listed]
    return sorted(entries, key=lambda named: named[1].order)


def clauses(pack: Pack, topic: Topic) -> list[Clause]:
    """What is said in one sentence of the summary."""
    sayings = [saying for _, saying in ordered("CLAUSES", Saying) if saying.topic == topic]
    return [clause for saying in sayings if (clause := saying.say(pack)) is not None]


def moves(pack: Pack, size_class: str = "") -> list[Move]:
    """Every op, the largest gain first; of one size class or of all."""
    every_move: list[Move] = [move for _, of_section in declarations("headline", "moves") for move in of_section(pack)]
    return sorted((move for move in every_move if move.size_class == size_class), key=lambda move: -move.gain.mid)


def both(cpp: str, mojo: str) -> str:
    """Two figures of C++ and Mojo in a clause."""
    return f"C++ {cpp}, Mojo {mojo}"


def names(items: Sequence[str], most: int) -> str:
    """`a, b and 3 more`."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
