"""Which side for which decision: what each criterion adds, which requirement a side does not meet, what flips it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from evidence.core import text
from evidence.core.interval import interval
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES
from evidence.core.status import PART, RIGHT, UNKNOWN, WRONG, Status
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.row import CriterionRow, DecisionRow, GateRow, SensitivityRow
from evidence.judge.summary import Answer, Summary, conclusion, summary
from evidence.page.blocks import Block, Details, Layout, Listing, Method, Text, badge, banner, fold
from evidence.page.common import Context, finding, row_links
from evidence.page.table import MARKDOWN, Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line

GATES = {True: RIGHT.called("met"), False: WRONG.called("not met"), None: UNKNOWN.called(NOT_MEASURED)}

OUTCOMES = 2
"""Outcomes that stand beside an answer on the page and on the sheet; all of them are in its sentence."""

METHODS = {
    "decisions": "Each criterion is a factor from this pack's rows (above 1 favours Mojo); the verdict weighs "
    "their logarithms with the weights of reports/weights.toml, which you can edit. A side that does not meet a "
    "requirement of the question cannot be favoured. The table shows which verdicts flip when a weight doubles.",
}


def content(pack: Pack) -> list[Block]:
    """Every question with its answer; folded: its criteria and requirements, and what doubling a weight changes."""
    blocks: list[Block] = [
        *finding(
            "Each question weighs several criteria. Weights are a matter of judgement, so they are in a file that you "
            "can edit."
        ),
        *banner(pack, "decisions", "Decisions"),
    ]
    if not pack.table(DecisionRow):
        return blocks
    blocks += [
        Layout("answer_list.html", {"answers": decisions(pack, summary(pack))}),
        Method("decisions"),
        Details(
            "Question by question",
            tuple(_question(index, decision) for index, decision in enumerate(pack.table(DecisionRow))),
            "criteria, requirements, what would change the answer",
            classes="data",
        ),
    ]
    sensitivity = sensitivity_table(pack)
    if sensitivity.rows:
        blocks.append(Details("When a weight doubles", (sensitivity,), "", "sensitivity", "data"))
    return blocks


def decisions(pack: Pack, shown: Summary) -> list[Context]:
    """Every question with its answer in a few words and what weighs most in it, in the order of the summary."""
    anchors = {decision.id: f"decisions-{index}" for index, decision in enumerate(pack.table(DecisionRow))}
    return [
        {
            "id": anchors.get(answer.id, "decisions"),
            "question": answer.question,
            "answer": conclusion(answer),
            "tone": _answer_tone(answer),
            "reason": reason(answer),
        }
        for answer in shown.decisions
    ]


def reason(answer: Answer) -> str:
    """The outcomes with the most weight, or what is missing for an answer."""
    if answer.strength == "not measured":
        return answer.sentence.removeprefix("Not measured. ").partition(";")[0].rstrip(".")
    return "; ".join(answer.outcomes[:OUTCOMES])


def _answer_tone(answer: Answer) -> str:
    return answer.favours or ("absent" if answer.strength == "not measured" else "plain")


def decision_table(pack: Pack, shown: Summary) -> Table:
    """The decision questions, for Markdown."""
    rows = (row(answer.question, Cell(conclusion(answer), strong=True), answer.sentence) for answer in shown.decisions)
    return Table("Decisions", columns("Question", "The evidence says", "Why"), tuple(rows), where=MARKDOWN)


def sensitivity_table(pack: Pack) -> Table:
    """Criteria against questions: the verdict when that criterion's weight doubles."""
    rows = [decision for decision in pack.table(DecisionRow) if decision.sensitivity]
    doubled = [{change.criterion: change for change in decision.sensitivity} for decision in rows]
    criteria = dict.fromkeys(name for changes in doubled for name in changes)
    lines = [row(name, *(_doubled(changes.get(name)) for changes in doubled)) for name in criteria]
    if lines:
        lines.insert(0, row("now", *(Cell(decision.verdict, strong=True) for decision in rows)))
    heads = columns("Criterion", *(decision.question for decision in rows))
    caption = "Each question, and what its verdict becomes when the weight of one criterion doubles"
    return Table("Sensitivity of the verdicts", heads, tuple(lines), caption, "short")


def _doubled(change: SensitivityRow | None) -> Cell:
    if change is None:
        return Cell("–")
    return Cell(statuses=(Status("↻", change.verdict, PART),)) if change.flips else Cell("stays")


def towards(factor: float | None, low: float | None = None, high: float | None = None) -> str:
    """`3.2x (3 to 3.5) for C++`: the factor as seen from the side that it favours; above 1 it favours Mojo."""
    value = interval(factor, low, high)
    if value is None:
        return "–"
    side = MOJO if value.mid >= 1 else CPP
    seen = value if side == MOJO else value.inverse()
    ratio = text.factor(seen.mid) if seen.low == seen.high else text.ratio(seen)
    return f"{ratio} for {SIDE_NAMES[side]}"


def _tone(decision: DecisionRow) -> str:
    return decision.favours or ("absent" if decision.verdict == NOT_MEASURED else "plain")


def _factor(decision: DecisionRow) -> str:
    if decision.favours is None:
        return ""
    return towards(decision.factor, decision.factor_low, decision.factor_high)


def _question(index: int, decision: DecisionRow) -> Details:
    """A question with its criteria, requirements, what would change its verdict, its rule and its rows."""
    question = decision.question
    blocks: list[Block] = [Text(decision.sentence or decision.evidence)]
    if decision.criteria:
        blocks.append(criteria_table(question, decision.criteria))
    if decision.gates:
        blocks.append(gate_table(question, decision.gates))
    if decision.flips:
        blocks += [Text(Markup("<strong>What would change it:</strong>")), Listing(tuple(decision.flips))]
    blocks.append(Text(f"Rule: {decision.rule}", "note"))
    if decision.rows:
        blocks.append(Details("All rows behind it", (Text(row_links(decision.rows), "note"),)))
    summary = Markup("{} {}").format(question, badge(decision.verdict, _tone(decision)))
    return Details(summary, tuple(blocks), _factor(decision), f"decisions-{index}", "decision")


def criteria_table(question: str, criteria: Sequence[CriterionRow]) -> Table:
    """Criteria with what each adds to the mean, and for which side."""
    longest = max((abs(_added(criterion)) for criterion in criteria), default=0.0) or 1.0
    heads = columns("Criterion", *numbers("Weight"), "Factor", "Adds", "Rows")
    rows = tuple(_criterion(criterion, longest) for criterion in criteria)
    caption = "What each criterion adds to the weighted mean; striped for C++, solid for Mojo"
    return Table(f"Criteria: {question}", heads, rows, caption)


def _criterion(criterion: CriterionRow, longest: float) -> Line:
    added = _added(criterion)
    side = (MOJO if added > 0 else CPP) if added else "plain"
    bar = Markup('<span class="part {}" style="width: {:.0f}%"></span>').format(side, 100 * abs(added) / longest)
    nothing = "–" if criterion.factor is None else "nothing"
    return row(
        Cell(criterion.name, details=(criterion.why,) if criterion.why else ()),
        text.tick(text.short(criterion.weight)),
        Cell(
            towards(criterion.factor, criterion.low, criterion.high),
            details=(criterion.message,) if criterion.message else (),
        ),
        Cell(bar, details=(towards(math.exp(added)) if added else nothing,), classes="adds"),
        Cell(more=fold("rows", row_links(criterion.rows))) if criterion.rows else "–",
    )


def _added(criterion: CriterionRow) -> float:
    """Logarithm of what a criterion adds to the weighted mean: as recorded, after the rule's limits."""
    adds = criterion.adds
    return math.log(adds) if adds else 0.0


def gate_table(question: str, gates: Sequence[GateRow]) -> Table:
    """The requirements of a question, with what shows that a side meets them."""
    heads = columns("Requirement", "Side", "Met", "Evidence")
    rows = (
        row(
            gate.requirement,
            SIDE_NAMES.get(gate.side, str(gate.side)),
            Cell(statuses=(GATES[gate.met],), classes="tight"),
            Cell(gate.evidence, more=fold("rows", row_links(gate.rows)) if gate.rows else ""),
        )
        for gate in gates
    )
    return Table(f"Requirements: {question}", heads, tuple(rows), "Requirements of the question")
