"""How often a route was told apart from itself, and how often a planted slow-down was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scipy.stats import binom

from evidence.core import text
from evidence.core.interval import Spread, interval, spread
from evidence.core.pack import Pack, Pointed
from evidence.core.thresholds import CONFIDENCE, MATTERS, size_class
from evidence.judge.comparison import Comparison, corrected
from evidence.judge.judgement import pointers
from evidence.judge.significance import INTERVAL_DOF
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.proof.row import ProofRow

SIZE_CLASSES = ("small", "middle", "large")
SECOND_NAME = "second name"
EQUAL = 0.10
"""A row is counted as shown to be equal when it is within this share."""

RULE = (
    "Routes are timed against themselves under a second name, by the procedure of the run-time rows. A row counts as a "
    "difference by the same rule: its interval excludes 1.0 after Holm's correction for the rows of its effect and "
    f"size class, and its ratio lies outside {MATTERS - 1:.0%} and the noise band."
)


@dataclass(frozen=True)
class Judged:
    """A row with a ratio, as a comparison of a route (the base) with its second name."""

    row: ProofRow
    comparison: Comparison

    @property
    def excludes_one(self) -> bool:
        """Whether the interval shows a difference, of whatever size."""
        return not self.comparison.ratio.holds_one

    @property
    def is_called(self) -> bool:
        """Whether the rule calls the call without extra work better; of two equal ones, either."""
        better = self.comparison.better
        return better is not None and (better == self.row.route or not self.row.nominal)

    @property
    def is_wrong_way(self) -> bool:
        """Whether the rule calls the call with extra work better."""
        return bool(self.row.nominal) and self.comparison.better == self.comparison.route

    @property
    def is_equal(self) -> bool:
        """Whether the two are shown to be equal."""
        within = self.comparison.equal_within
        return within is not None and within <= EQUAL

    @property
    def is_covered(self) -> bool:
        """Whether the interval contains the ratio that was planted."""
        planted, ratio = self.row.planted or 1.0, self.comparison.ratio
        return ratio.low <= planted <= ratio.high


@dataclass(frozen=True)
class Tally:
    """Rows of one effect and size class (empty for all).

    Attributes:
        excluded: rows whose interval excludes 1.0.
        called: rows in which the rule of the run-time rows calls the difference that was planted, of A/A rows any.
        wrong_way: rows in which it calls the call with more work better.
        equal: rows that are shown to be equal within `EQUAL`.
        smallest_effect: median over the rows of the smallest factor that they could have shown.
        covered: rows whose interval contains the planted ratio.
        planted, ratio: geometric means with their range.
    """

    nominal: float
    size_class: str
    rows: int
    excluded: int
    called: int
    wrong_way: int
    equal: int
    covered: int
    smallest_effect: float
    planted: Spread
    ratio: Spread
    pointers: tuple[str, ...]


def judged(pack: Pack) -> list[Judged]:
    """The rows that hold a ratio, corrected for the rows of the same effect and size class."""
    rows = [pointed for pointed in pack.pointed(ProofRow) if pointed.row.ratio is not None]
    compared = corrected(map(_compared, rows))
    return [Judged(pointed.row, comparison) for pointed, comparison in zip(rows, compared, strict=True)]


def _compared(pointed: Pointed[ProofRow]) -> Comparison:
    row = pointed.row
    ratio = interval(row.ratio, row.ratio_low, row.ratio_high)
    assert ratio is not None
    return Comparison(
        topic=effect_name(row.nominal),
        name=f"{row.op} {row.sample} {row.dtype}",
        base=row.route,
        route=SECOND_NAME,
        ratio=ratio,
        least=max(MATTERS, row.band or 1.0),
        rows=(pointed.pointer,),
        noisy=row.noisy,
        op=row.op,
        device=row.device,
        size_class=size_class(row.elements),
        dof=row.dof or INTERVAL_DOF,
    )


def tally(rows: Sequence[Judged], nominal: float, name: str = "") -> Tally | None:
    """The rows of an effect in a size class, or in all of them; None where there are none."""
    chosen = [r for r in rows if r.row.nominal == nominal and name in ("", r.comparison.size_class)]
    planted = spread(r.row.planted or 1.0 for r in chosen)
    ratio = spread(r.comparison.ratio.mid for r in chosen)
    if planted is None or ratio is None:
        return None
    return Tally(
        nominal,
        name,
        len(chosen),
        sum(r.excludes_one for r in chosen),
        sum(r.is_called for r in chosen),
        sum(r.is_wrong_way for r in chosen),
        sum(r.is_equal for r in chosen),
        sum(r.is_covered for r in chosen),
        median(r.comparison.smallest_effect for r in chosen),
        planted,
        ratio,
        tuple(pointer for r in chosen for pointer in r.comparison.rows),
    )


def tallies(pack: Pack) -> list[Tally]:
    """By effect, then size class."""
    rows = judged(pack)
    effects = sorted({r.row.nominal for r in rows})
    cells = (tally(rows, nominal, name) for nominal in effects for name in SIZE_CLASSES)
    return [entry for entry in cells if entry is not None]


def effect_name(nominal: float) -> str:
    """`A/A` or `5% slower`."""
    return f"{nominal:.0%} slower" if nominal else "A/A"


def sentence(pack: Pack) -> str | None:
    """What was seen, in one sentence; None where nothing was measured."""
    rows = judged(pack)
    parts = []
    for nominal in sorted({r.row.nominal for r in rows}):
        whole = tally(rows, nominal)
        if whole is None:
            continue
        of = f"of {text.count(whole.rows, 'row')}"
        if nominal:
            parts.append(f"a planted slow-down of {nominal:.0%} was called in {whole.called} {of}")
        else:
            equal = f"shown to be equal within {EQUAL:.0%} in {whole.equal}"
            parts.append(f"a route was told apart from itself in {whole.called} {of} and {equal}")
    return f"{text.upper_first('; '.join(parts))}." if parts else None


def false_calls(pack: Pack) -> Tally | None:
    """The A/A rows, where a difference was called in one."""
    whole = tally(judged(pack), 0.0)
    return whole if whole is not None and whole.called else None


def is_chance(pack: Pack) -> bool:
    """Whether as many size classes with a false call are to be expected: Holm's correction leaves 5% of them one."""
    rows = judged(pack)
    classes = [entry for name in SIZE_CLASSES if (entry := tally(rows, 0.0, name)) is not None]
    wrong = sum(entry.called > 0 for entry in classes)
    return bool(binom.sf(wrong - 1, len(classes), 1 - CONFIDENCE) >= 1 - CONFIDENCE)


def proof(pack: Pack) -> Statement:
    """Whether the procedure tells a route apart from itself, and which planted slow-downs it saw."""
    question = "Does the measurement see what was planted, and nothing else?"
    evidence = sentence(pack)
    rows = judged(pack)
    if evidence is None:
        return not_measured("proof", question, RULE, why_not(pack, "proof"))
    wrong = false_calls(pack)
    word = "no false difference" if wrong is None else f"{text.count(wrong.called, 'false difference')}"
    values = {
        f"{effect_name(nominal)}: {what}": getattr(whole, what)
        for nominal in sorted({r.row.nominal for r in rows})
        if (whole := tally(rows, nominal)) is not None
        for what in ("rows", "excluded", "called", "equal", "covered")
    }
    pointed = [row for row in pack.pointed(ProofRow) if row.row.ratio is not None]
    return Statement("proof", question, word, RULE, evidence, pointers(pointed), values)


STATEMENTS = (Asked("proof", 80, proof),)
