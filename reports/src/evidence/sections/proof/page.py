"""What the page shows of the proof: one sentence, one table, and the rows."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import Spread, interval
from evidence.core.pack import Pack
from evidence.core.thresholds import MATTERS, size_class
from evidence.judge.outcome import share
from evidence.page.blocks import Block, Details, Method, banner, noisy
from evidence.page.common import finding
from evidence.page.table import BOTH, Cell, Table, columns, numbers, row
from evidence.sections.proof import judge
from evidence.sections.proof.row import ProofRow


def content(pack: Pack) -> list[Block]:
    """How often a difference was called, by planted effect and size."""
    blocks: list[Block] = banner(pack, "proof", "A/A comparison and planted slow-downs", BOTH)
    if statement := judge.sentence(pack):
        blocks += [*finding(statement), summary_table(pack), Method("proof")]
    if rows := pack.table(ProofRow):
        blocks.append(Details("Every row", (row_table(rows),), text.count(len(rows), "row"), classes="data"))
    return blocks


def notices(pack: Pack) -> list[tuple[str, str]]:
    """A warning where a route was told apart from itself."""
    wrong = judge.false_calls(pack)
    if wrong is None:
        return []
    chance = "chance gives that much" if judge.is_chance(pack) else "that is more than chance gives"
    rows = text.count(wrong.rows, "comparison")
    return [
        ("False differences.", f"{wrong.called} of {rows} of a route with itself were called a difference; {chance}.")
    ]


def _spread(value: Spread) -> str:
    return f"{text.factor(value.mean)} ({text.short(value.low)} to {text.short(value.high)})"


def summary_table(pack: Pack) -> Table:
    """Effects and size classes against how often they were seen."""
    heads = (
        *columns("Planted", "Size"),
        *numbers("Rows", "Called a difference", f"Equal within {judge.EQUAL:.0%}"),
        *numbers("Interval excludes 1", "Interval contains the true ratio", "Smallest effect (median)"),
        *columns("True ratio (range)", "Measured ratio (range)"),
    )
    lines = (
        row(
            judge.effect_name(tally.nominal),
            tally.size_class,
            tally.rows,
            Cell(str(tally.called), notes=(f"and {tally.wrong_way} the wrong way",) if tally.wrong_way else ()),
            tally.equal,
            tally.excluded,
            tally.covered,
            share(tally.smallest_effect),
            "1" if not tally.nominal else _spread(tally.planted),
            _spread(tally.ratio),
        )
        for tally in judge.tallies(pack)
    )
    caption = "A ratio below 1 says that the call with planted work is slower"
    return Table("A/A comparison and planted slow-downs", heads, tuple(lines), caption, where=BOTH)


def row_table(rows: list[ProofRow]) -> Table:
    """Every row of the pack."""
    heads = (
        *columns("Op", "Sample", "Dtype", "Route", "Planted"),
        *numbers("Call", "Added", "True ratio"),
        *columns("Ratio (interval)"),
        *numbers("Rounds", "Processes"),
    )
    lines = (
        row(
            proof.op,
            proof.sample,
            proof.dtype,
            proof.route,
            judge.effect_name(proof.nominal),
            text.micros(proof.median_us),
            text.micros(proof.added_us) if proof.nominal else "–",
            "–" if proof.planted is None else text.factor(proof.planted),
            _ratio(proof),
            proof.pairs or "–",
            proof.processes or "–",
            id=f"proof-{index}",
            data={"op": proof.op, "dtype": proof.dtype, "size": size_class(proof.elements), "route": proof.route},
        )
        for index, proof in enumerate(rows)
    )
    return Table("Rows of the proof", heads, tuple(lines), classes="filtered", header=False)


def _ratio(proof: ProofRow) -> Cell:
    ratio = interval(proof.ratio, proof.ratio_low, proof.ratio_high)
    if ratio is None:
        return Cell(proof.status, details=(proof.message,) if proof.message else (), classes="bad")
    figure = f"{proof.ratio:.3f} ({proof.ratio_low:.3f} to {proof.ratio_high:.3f})"
    return Cell(noisy(figure) if proof.noisy else figure, details=(proof.noisy_because,) if proof.noisy_because else ())


METHODS = {
    "proof": (
        "Each route that represents a side is timed under four names in the same fresh processes, rounds and intervals "
        "as the run-time rows: the call; the same call again (A/A); and the call followed by work that takes about 5% "
        "and 10% of its time. The work is a loop of fixed length that touches no memory. Its time is measured by "
        "itself in each process, around a call that does nothing, and gives the true ratio. All four names have the "
        "same Python function around the call, which does the work. “Called a difference” is the rule of the "
        "run-time rows: the interval excludes 1 after Holm's correction for the rows of an effect and size class, and "
        f"the ratio lies outside {MATTERS - 1:.0%} and the noise band, so that a slow-down of exactly 5% is called in "
        "half of the rows at most. Two names of one route share code and buffers, so that they differ less between "
        "processes than two routes do: the smallest effect that a run-time row can show stands in that row."
    )
}
