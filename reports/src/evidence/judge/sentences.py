"""The answer to a decision question in words, from its criteria: no score stands in it."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import DECIDED_CRITERIA, DECIDED_SHARE
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.weighing import OTHER, Part, Weighed

MOST_NAMES = 3
"""Criteria that a sentence names of each group; the outcomes hold all of them."""


def answer(
    parts: Sequence[Part], weighed: Weighed, favours: str | None, verdict: str, why: str, turned_by: Sequence[str]
) -> str:
    """One sentence that begins with the answer.

    Args:
        parts: the criteria of the question.
        weighed: their score.
        favours: the favoured side, if any.
        verdict: of the decision.
        why: the requirement or the lack of rows that decides without a score; else empty.
        turned_by: criteria whose doubled weight changes the answer.
    """
    if verdict == NOT_MEASURED:
        return f"Not measured. {text.upper_first(why)}"
    if why:
        return f"{SIDE_NAMES[favours] if favours else 'Neither side'}: {why}"
    if favours is None:
        return f"Tie: {_clauses(parts, SIDES)}; {_why_no_side(parts, weighed)}."
    clauses = _clauses(parts, (favours, OTHER[favours])).removeprefix(f"{SIDE_NAMES[favours]} is ")
    sentence = f"{SIDE_NAMES[favours]}{', slightly' if turned_by else ''}: {clauses}"
    if turned_by:
        names = _names([f"“{text.lower_first(name)}”" for name in turned_by])
        sentence += f"; doubling the weight of {names} would change it"
    return f"{sentence}."


def outcomes(parts: Sequence[Part]) -> tuple[str, ...]:
    """What every criterion shows, in natural units."""
    statements = []
    for part in _weightiest(parts):
        better = _better(part)
        figures = part.measured.reason(better) if better else part.measured.outcome
        statements.append(f"{text.lower_first(part.name)}: {f'{SIDE_NAMES[better]}, {figures}' if better else figures}")
    return tuple(statements)


def _better(part: Part) -> str | None:
    """The side that a criterion shows to be better, if any."""
    factor = part.measured.factor
    return None if factor is None or not part.measured.differs else MOJO if factor.mid > 1 else CPP


def _weightiest(parts: Sequence[Part]) -> list[Part]:
    """Differences first, then what is equal, open and not measured, each by its weight."""

    def rank(part: Part) -> int:
        measured = part.measured
        return 0 if measured.differs else 1 if measured.equal else 2 if measured.factor else 3

    return sorted(parts, key=lambda part: (rank(part), -part.weight))


def _clauses(parts: Sequence[Part], sides: Sequence[str]) -> str:
    """Who is better in what, with both figures, in the order of `sides`; then what is equal, open or not measured."""
    groups: dict[str, list[str]] = {}
    for part in _weightiest(parts):
        name, better = text.lower_first(part.name), _better(part)
        if better:
            groups.setdefault(better, []).append(f"{name} ({part.measured.reason(better)})")
        elif part.measured.factor is None:
            groups.setdefault("not measured:", []).append(name)
        else:
            groups.setdefault("equal in" if part.measured.equal else "too close to call in", []).append(name)
    statements = [f"{SIDE_NAMES[side]} is better in {_names(groups[side])}" for side in sides if side in groups]
    rest = ("equal in", "too close to call in", "not measured:")
    return "; ".join([*statements, *(f"{group} {_names(groups[group])}" for group in rest if group in groups)])


def _why_no_side(parts: Sequence[Part], weighed: Weighed) -> str:
    """Why what is better does not decide the question."""
    if not weighed.differing:
        return "no criterion shows a difference"
    if weighed.leans and weighed.differing < DECIDED_CRITERIA:
        return f"one difference is not enough to decide by, {DECIDED_CRITERIA} are needed"
    if weighed.leans:
        return (
            f"too little to decide by: {weighed.decided_share:.0%} of the weight is decided, {DECIDED_SHARE:.0%} is "
            "needed"
        )
    if len({_better(part) for part in parts} - {None}) == len(SIDES):
        return "the differences outweigh each other, or less than what is too close to call"
    return "what is too close to call could outweigh it"


def _names(names: Sequence[str]) -> str:
    """`a, b and c`, or `a, b, c and 2 more`."""
    more = len(names) - MOST_NAMES
    return text.joined_names([*names[:MOST_NAMES], f"{more} more"] if more > 0 else names)
