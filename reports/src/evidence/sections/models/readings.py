"""Reading the section `models`: what a stage gave, beside the most that it could give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evidence.core.pack import Pack
from evidence.core.thresholds import MODEL_MATTERS
from evidence.sections.models.names import NO_WORK, ORIGINAL
from evidence.sections.models.row import AnswersRow, SpeedRow, WeightsRow


def right(row: AnswersRow) -> bool:
    """Whether a variant answers as the original does: with the same tokens, or with another one only where the
    original's own logits are closer together than the error that is allowed; and with logits within that error."""
    same = row.tokens_same == row.tokens
    tie = row.largest_gap is not None and row.largest_gap <= 2 * row.allowed
    return (same or tie) and row.error is not None and row.error <= row.allowed


@dataclass(frozen=True)
class Gain:
    """What a stage gave on a route against the most that it could.

    row: its speed.
    bound: ratio of the same stage with ops that do nothing, or None where that was not measured.
    floor: the same with the time that reading the weights takes at the bandwidth measured; None where none are read.
    """

    row: SpeedRow
    bound: float | None
    floor: float | None

    def reached(self, limit: float | None) -> float | None:
        """Share, at most 1, of the time that could be saved which was saved.

        None where the limit saves less than matters, or the stage is not shown to be faster than the original: a share
        of nothing, or of a loss, is no figure.
        """
        if limit is None or limit < MODEL_MATTERS or self.row.low <= 1.0:
            return None
        return min(1.0, (1 - 1 / self.row.ratio) / (1 - 1 / limit))


def groups(rows: Iterable[SpeedRow]) -> Iterator[tuple[tuple[str, str, str, int], list[SpeedRow]]]:
    """Speed rows by model, dtype, phase and batch, in their order; those of torch.compile stand apart."""
    by_key: dict[tuple[str, str, str, int], list[SpeedRow]] = {}
    for row in rows:
        if row.how == "eager":
            by_key.setdefault((row.model, row.dtype, row.phase, row.batch), []).append(row)
    yield from by_key.items()


def gains(pack: Pack) -> Iterator[tuple[tuple[str, str, str, int], list[Gain]]]:
    """Every group of speed rows with the bounds of each stage."""
    weights = {(row.model, row.dtype, row.stage): row for row in pack.table(WeightsRow)}
    for key, rows in groups(pack.table(SpeedRow)):
        model, dtype, phase, batch = key
        own = next((row for row in rows if row.route == ORIGINAL), None)
        limits = {row.stage: row for row in rows if row.route == NO_WORK}
        gains_of_key = []
        for row in rows:
            bound = limits.get(row.stage)
            read = weights.get((model, dtype, row.stage))
            floor = None
            if phase == "decode" and bound and own and read and read.bytes:
                least = batch / bound.tokens_per_second + read.bytes / read.bandwidth
                floor = batch / own.tokens_per_second / least
            gains_of_key.append(Gain(row, bound.ratio if bound else None, floor))
        yield key, gains_of_key
