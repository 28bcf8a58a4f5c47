"""Rows of the table `models`: one type for each value of `kind`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Amount, AtLeastOne, Count, Positive

How = Literal["eager", "torch.compile", "generated", "one forward pass"]
Phase = Literal["prefill", "decode"]


class ModelRow(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What the rows of every kind have.

    Attributes:
        stage: the modules that were replaced so far, as the page calls them.
    """

    model: str
    dtype: str
    stage: str
    route: str

    @property
    def kind(self) -> str:
        """`speed`, `answers`, ...: the value of `kind` in the pack."""
        return str(self.__struct_config__.tag)


class StageRow(ModelRow, frozen=True, kw_only=True, tag="stage"):
    """What a stage replaces.

    Attributes:
        swapped: op -> number of places.
        left: places that were left as they were, each with its name and the reason.
    """

    swapped: dict[str, AtLeastOne]
    left: tuple[tuple[str, str], ...]


class AnswersRow(ModelRow, frozen=True, kw_only=True, tag="answers"):
    """What a stage answers, beside the original.

    Attributes:
        tokens, tokens_same: tokens that were compared, and those that are the same.
        largest_gap: largest difference of the two best logits of the original where another token was chosen.
        error, own_error: relative error of the logits against float64: of the stage and of the original.
        allowed: largest `error` that passes.
        perplexity, own_perplexity: of the stage and of the original.
    """

    how: How
    tokens: AtLeastOne
    tokens_same: Count
    largest_gap: float | None
    error: Amount | None
    own_error: Amount
    allowed: Amount
    perplexity: float | None = None
    own_perplexity: float | None = None


class SpeedRow(ModelRow, frozen=True, kw_only=True, tag="speed"):
    """Speed of a stage.

    Attributes:
        ratio, low, high: ratio to the original (above 1: faster) and its interval.
    """

    how: How
    phase: Phase
    batch: AtLeastOne
    tokens_per_second: Positive
    ratio: Positive
    low: float
    high: float
    rounds: AtLeastOne
    compile_seconds: Amount | None = None


class ShareRow(ModelRow, frozen=True, kw_only=True, tag="share"):
    """Share of the original's time that one op takes, over `places` calls of a forward pass."""

    phase: Phase
    batch: AtLeastOne
    op: str
    share: Amount
    places: AtLeastOne


class WeightsRow(ModelRow, frozen=True, kw_only=True, tag="weights"):
    """Bytes of weights that one token reads, and the bandwidth of memory in bytes a second."""

    bytes: Count
    bandwidth: Positive


class StartRow(ModelRow, frozen=True, kw_only=True, tag="start"):
    """Seconds from the start of the process to each mark, and the largest resident memory."""

    marks: dict[str, float]
    peak_bytes: Count


class MemoryRow(ModelRow, frozen=True, kw_only=True, tag="memory"):
    """Largest resident memory of a process."""

    peak_bytes: Count


class RefusedRow(ModelRow, frozen=True, kw_only=True, tag="refused"):
    """A stage that a route cannot run."""

    message: str


class LostRow(ModelRow, frozen=True, kw_only=True, tag="lost"):
    """A measurement whose process crashed or hung."""

    message: str
