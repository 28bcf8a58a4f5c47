"""The decisions: which route the evidence favours for a question, by how much, and what would change the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.core.thresholds import DECIDED_CRITERIA, DECIDED_SHARE, MATTERS, MEASURED_SHARE
from evidence.judge.comparison import NOT_MEASURED, comparisons
from evidence.judge.criteria import UNITS, criteria, measure
from evidence.judge.gates import gate as find_gate
from evidence.judge.questions import QUESTIONS, Question
from evidence.judge.row import CriterionRow, DecisionRow, GateRow, SensitivityRow, Side, Strength
from evidence.judge.scope import Scope
from evidence.judge.sentences import answer, outcomes
from evidence.judge.weighing import OTHER, Flip, Part, Weighed, counted, doubled, flips, weigh
from evidence.judge.weights import Weight, Weights

FAVOURED = {CPP: "C++ favoured", MOJO: "Mojo favoured", None: "no side favoured"}
SLIGHTLY = {CPP: "C++ slightly favoured", MOJO: "Mojo slightly favoured"}
"""A favour that doubling one weight would change."""
NEITHER = "neither side meets the requirements"
MOST_FLIPS = 5


def decisions(pack: Pack, weights: Weights) -> list[DecisionRow]:
    """One row a question that has weights, in the order of `QUESTIONS`."""
    weighted = [question for question in QUESTIONS.values() if question.id in weights.of]
    compared = comparisons(pack)
    return [
        decide(Scope(pack, question.device, compared), question, weights.of[question.id], weights.clip)
        for question in weighted
    ]


def rule(clip: float) -> str:
    """The rule of all decisions, as the report prints it."""
    return (
        "Requirements first: a side that misses one is out, one that was not measured leaves the question open. Then "
        "a score, the weighted mean of the logarithms of the criteria's factors; a factor whose interval holds 1.0 or "
        f"that is within {MATTERS - 1:.0%} counts as 1, one beyond {clip:g} as {clip:g}; intervals add in quadrature. "
        f"A side is favoured when the score's whole interval is on its side, the score is {MATTERS - 1:.0%} or more, "
        f"at least {DECIDED_CRITERIA} criteria show a difference, and {DECIDED_SHARE:.0%} of the weight shows a "
        "difference or that both sides are equal; it is favoured "
        f"slightly when doubling one weight changes that. At least {MEASURED_SHARE:.0%} of the weight must have been "
        "measured. One route represents a side in every criterion."
    )


def decide(scope: Scope, question: Question, weights: Mapping[str, Weight], clip: float) -> DecisionRow:
    """The row of one question. What was not run on the device in question has no outcomes: nothing decides it."""
    parts = _parts(scope, weights)
    gates = [_gate(name, side, scope) for name in question.gates for side in SIDES]
    weighed = weigh(parts, clip)
    verdict, favours, why = conclusion(gates, weighed)
    sensitivity = _sensitivity(gates, parts, clip, favours, verdict)
    if favours and any(row.flips for row in sensitivity):
        verdict = SLIGHTLY[favours]
    factor = None if why else weighed.factor
    rows = [row for part in parts for row in part.measured.rows] + [row for gate in gates for row in gate.rows]
    return DecisionRow(
        id=question.id,
        question=question.asks,
        verdict=verdict,
        favours=cast(Side | None, favours),
        factor=factor.mid if factor else None,
        factor_low=factor.low if factor else None,
        factor_high=factor.high if factor else None,
        measured_share=weighed.share,
        rule=rule(clip),
        evidence=why or _mean_words(parts, weighed, clip),
        reason=why or _sentence("; ".join(_reason(parts, weighed))),
        criteria=tuple(_criterion(part, parts, clip) for part in parts),
        gates=tuple(gates),
        flips=tuple(_flips(gates, parts, weighed, clip, verdict)),
        sensitivity=tuple(sensitivity),
        rows=list(dict.fromkeys(rows)),
        strength=_strength(verdict, favours, sensitivity),
        sentence=answer(parts, weighed, favours, verdict, why, [row.criterion for row in sensitivity if row.flips]),
        outcomes=() if verdict == NOT_MEASURED else outcomes(parts),
    )


def _strength(verdict: str, favours: str | None, sensitivity: Sequence[SensitivityRow]) -> Strength:
    if verdict == NOT_MEASURED:
        return "not measured"
    if favours is None:
        return "clear" if verdict == NEITHER else "tie"
    return "slight" if any(row.flips for row in sensitivity) else "clear"


def _gate(name: str, side: str, scope: Scope) -> GateRow:
    requirement = find_gate(name)
    met, evidence, rows = requirement.find(scope, side)
    return GateRow(requirement=requirement.requirement, side=cast(Side, side), met=met, evidence=evidence, rows=rows)


def _parts(scope: Scope, weights: Mapping[str, Weight]) -> list[Part]:
    """The criteria with a weight, in the order of the tables; those that no section declares come last."""
    known = criteria()
    parts = []
    for name in [*(name for name in known if name in weights), *(name for name in weights if name not in known)]:
        weight = weights[name]
        if weight.weight:
            label, measured = measure(name, scope)
            parts.append(Part(name, label, weight.weight, weight.why, measured))
    return parts


def conclusion(gates: Sequence[GateRow], weighed: Weighed) -> tuple[str, str | None, str]:
    """Verdict, favoured side and, where the requirements or a lack of rows decide, the reason; else the weights did."""
    out = {side: [gate for gate in gates if gate.side == side and gate.met is False] for side in SIDES}
    if all(out.values()):
        names = [f"“{gate.requirement}”: {gate.evidence}" for missed in out.values() for gate in missed]
        return NEITHER, None, _sentence("; ".join(dict.fromkeys(names)))
    if needs := _needs(gates):
        return NOT_MEASURED, None, _sentence("; ".join(needs))
    for side in SIDES:
        if out[side]:
            first = out[side][0]
            why = f"{SIDE_NAMES[side]} does not meet “{first.requirement}”: {first.evidence}"
            return FAVOURED[OTHER[side]], OTHER[side], _sentence(why)
    if weighed.share < MEASURED_SHARE:
        why = f"only {weighed.share:.0%} of the weight was measured, {MEASURED_SHARE:.0%} is needed"
        return NOT_MEASURED, None, _sentence(why)
    return FAVOURED[weighed.favours], weighed.favours, ""


def _needs(gates: Sequence[GateRow]) -> list[str]:
    """What the first open requirement needs: the ones after it cannot be met without it."""
    unknown = [gate for gate in gates if gate.met is None]
    return list(dict.fromkeys(gate.evidence for gate in unknown if gate.requirement == unknown[0].requirement))


def _sentence(phrase: str) -> str:
    return f"{text.upper_first(phrase).rstrip('.')}."


def _share(part: Part, parts: Sequence[Part], clip: float) -> float:
    """What a part adds to the mean, as a logarithm."""
    value = counted(part.measured, clip)
    total = math.fsum(each.weight for each in parts if each.measured.factor)
    return part.weight * value.mid / total if value else 0.0


def _reason(parts: Sequence[Part], weighed: Weighed) -> list[str]:
    """What the weighted mean says, and why it does not decide the question where it does not."""
    if weighed.factor is None:
        return ["No criterion was measured"]
    side = weighed.leans
    if side is None:
        why = "on no side with its whole interval" if weighed.factor.holds_one else f"less than {MATTERS - 1:.0%}"
        return [f"Score of Mojo over C++ {text.ratio(weighed.factor)}, {why}"]
    factor = weighed.factor if side == MOJO else weighed.factor.inverse()
    mean = f"Score {text.ratio(factor)} for {SIDE_NAMES[side]}"
    return [mean] if weighed.enough else [mean, _too_few(weighed, len(parts))]


def _mean_words(parts: Sequence[Part], weighed: Weighed, clip: float) -> str:
    clauses = _reason(parts, weighed)
    for side, sign in ((MOJO, 1), (CPP, -1)):
        shares = {part.name: sign * _share(part, parts, clip) for part in parts}
        better = sorted((name for name in shares if shares[name] > 0), key=lambda name: -shares[name])
        if better:
            clauses.append(f"better in {SIDE_NAMES[side]}: {', '.join(map(text.lower_first, better[:3]))}")
    level = [part for part in parts if part.measured.factor and not part.measured.differs]
    if level:
        clauses.append(f"{len(level)} of {text.count(len(parts), 'criterion', 'criteria')} equal or too close to call")
    if weighed.share < 1:
        absent = [text.lower_first(part.name) for part in parts if part.measured.factor is None]
        clauses.append(f"not measured: {', '.join(absent)}")
    return "; ".join(clauses) + "."


def _too_few(weighed: Weighed, criteria: int) -> str:
    """Why a score that leans to a side does not decide the question."""
    return (
        f"too little to decide by it: {text.count(weighed.differing, 'criterion', 'criteria')} of {criteria} show a "
        f"difference, at least {DECIDED_CRITERIA} are needed, and {weighed.decided_share:.0%} of the weight shows a "
        f"difference or equality, at least {DECIDED_SHARE:.0%} is needed"
    )


def _criterion(part: Part, parts: Sequence[Part], clip: float) -> CriterionRow:
    factor, value = part.measured.factor, counted(part.measured, clip)
    return CriterionRow(
        id=part.id,
        name=part.name,
        weight=part.weight,
        why=part.why,
        factor=factor.mid if factor else None,
        low=factor.low if factor else None,
        high=factor.high if factor else None,
        counted=math.exp(value.mid) if value else None,
        adds=math.exp(_share(part, parts, clip)) if value else None,
        decided=part.measured.decided,
        message=part.measured.message,
        rows=part.measured.rows,
        outcome=part.measured.outcome,
    )


def _sensitivity(
    gates: Sequence[GateRow], parts: Sequence[Part], clip: float, favours: str | None, verdict: str
) -> list[SensitivityRow]:
    rows = []
    for index, part in enumerate(parts):
        weighed = weigh(doubled(parts, index), clip)
        other, favoured, why = conclusion(gates, weighed)
        factor = None if why else weighed.factor
        changed = (other, favoured) != (verdict, favours)
        mid = factor.mid if factor else None
        rows.append(SensitivityRow(criterion=part.name, verdict=other, factor=mid, flips=changed))
    return rows


def _flips(gates: Sequence[GateRow], parts: Sequence[Part], weighed: Weighed, clip: float, verdict: str) -> list[str]:
    """What would have to change, nearest first: requirements, then the criteria that could turn the mean."""
    missed = [gate for gate in gates if gate.met is False]
    changes = [f"It would change if {SIDE_NAMES[gate.side]} met “{gate.requirement}”." for gate in missed]
    if verdict == NOT_MEASURED:
        unmeasured = (part for part in parts if part.measured.factor is None)
        needs = _needs(gates) or [f"{part.name}: {part.measured.message}" for part in unmeasured]
        return changes + [_sentence(need) for need in needs]
    if changes:
        return changes
    changes = [flip_words(flip) for flip in flips(parts, clip)[:MOST_FLIPS]]
    if not changes:
        changes = [f"No criterion changes the verdict alone, up to a factor of {clip:g}."]
    if weighed.leans is None and weighed.factor is not None and weighed.factor.holds_one:
        changes += _uncertain(parts, weighed.factor, clip)
    return changes


def _uncertain(parts: Sequence[Part], mean: Interval, clip: float) -> list[str]:
    """Where the uncertainty of an undecided mean comes from, and the mean that would be decided with it."""

    def width(part: Part) -> float:
        value = counted(part.measured, clip)
        return part.weight * (value.high - value.low) if value else 0.0

    widest = max(parts, key=width)
    factor = widest.measured.factor
    if factor is None or not width(widest):
        return []
    up, down = mean.mid / mean.low, mean.mid / mean.high
    return [
        f"A score above {text.factor(max(up, MATTERS))} or below {text.factor(min(down, 1 / MATTERS))} would "
        f"be beyond the uncertainty; most of that comes from “{text.lower_first(widest.name)}”, {text.ratio(factor)}."
    ]


def flip_words(flip: Flip) -> str:
    """One sentence: the figure that would have to change, from what to what, and what it would lead to."""
    measured, name = flip.part.measured, text.lower_first(flip.part.name)
    have = measured.factor
    assert have is not None
    rises = flip.factor > have.mid
    then = text.upper_first(FAVOURED[flip.favours])
    # a factor that was set to 1, since the difference does not matter, is not that of the two figures
    cpp, mojo = measured.figures or (0.0, 0.0)
    if cpp and mojo and measured.unit and math.isclose(have.mid, cpp / mojo):
        show, bound = UNITS[measured.unit], "below" if rises else "above"
        goal = show(cpp / flip.factor)
        return f"{then} if Mojo's figure for “{name}” were {bound} {goal} (measured: {show(mojo)})."
    bound, factor = "above" if rises else "below", text.factor(flip.factor)
    return (
        f"{then} if the factor for “{name}” were {bound} {factor} (measured: {text.factor(have.mid)}; above 1 favours "
        "Mojo)."
    )
