"""Reading the section `models`: what a stage gave, beside the most that it could give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evidence.core.pack import Pack, Row
from evidence.core.thresholds import MODEL_MATTERS
from evidence.judge.judgement import Pointed, pointed
from evidence.sections.models.names import NO_WORK, ORIGINAL


def of_kind(pack: Pack, kind: str) -> list[Pointed]:
    """The rows of a kind, with their pointers."""
    return [one for one in pointed(pack, "models") if one.row.get("kind") == kind]


def right(row: Row) -> bool:
    """Whether a variant of the kind `answers` says what the original says: the same tokens, or another one only where
    the original's own logits are closer together than their error allowed against float64; and logits within it."""
    same = row["tokens_same"] == row["tokens"]
    tie = row["largest_gap"] is not None and row["largest_gap"] <= 2 * row["allowed"]
    return (same or tie) and row["error"] <= row["allowed"]


@dataclass(frozen=True)
class Gain:
    """What a stage gave on a route against the most that it could.

    row: of kind `speed`.
    bound: ratio of the same stage with ops that do nothing, or None where that was not measured.
    floor: the same with the time that reading the weights takes at the bandwidth measured; None where none are read.
    """

    row: Row
    bound: float | None
    floor: float | None

    def reached(self, limit: float | None) -> float | None:
        """Share, at most 1, of the time that could be saved which was saved.

        None where the limit saves less than matters, or the stage is not shown to be faster than the original: a share
        of nothing, or of a loss, is no figure.
        """
        if limit is None or limit < MODEL_MATTERS or self.row["low"] <= 1.0:
            return None
        return min(1.0, (1 - 1 / self.row["ratio"]) / (1 - 1 / limit))


def groups(rows: Iterable[Row]) -> Iterator[tuple[tuple[str, str, str, int], list[Row]]]:
    """Speed rows by model, dtype, phase and batch, in their order; those of torch.compile stand apart."""
    found: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        if row["how"] == "eager":
            found.setdefault((row["model"], row["dtype"], row["phase"], row["batch"]), []).append(row)
    yield from found.items()


def gains(pack: Pack) -> Iterator[tuple[tuple[str, str, str, int], list[Gain]]]:
    """Every group of speed rows with the bounds of each stage."""
    weights = {(one.row["model"], one.row["dtype"], one.row["stage"]): one.row for one in of_kind(pack, "weights")}
    for key, rows in groups(one.row for one in of_kind(pack, "speed")):
        model, dtype, _, batch = key
        own = next((row for row in rows if row["route"] == ORIGINAL), None)
        limits = {row["stage"]: row for row in rows if row["route"] == NO_WORK}
        found = []
        for row in rows:
            bound = limits.get(row["stage"])
            read = weights.get((model, dtype, row["stage"]))
            floor = None
            if bound and own and read and read["bytes"]:
                least = batch / bound["tokens_per_second"] + read["bytes"] / read["bandwidth"]
                floor = batch / own["tokens_per_second"] / least if key[2] == "decode" else None
            found.append(Gain(row, bound["ratio"] if bound else None, floor))
        yield key, found
