"""The weights of the decisions: one TOML file that a user edits, checked key by key.

A criterion that `reports/weights.toml` or a pack names and no section declares, because its folder was deleted, is not
measured. In any other file an unknown criterion is a slip and an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.core.toml_file import read_toml
from evidence.judge.criteria import criteria
from evidence.judge.questions import QUESTIONS

WEIGHTS_FILE = Path(__file__).resolve().parents[3] / "weights.toml"


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file, the key, what came and what was expected."""


@dataclass(frozen=True)
class Weight:
    """Weight of one criterion in one question, with the reason that the file gives."""

    weight: float
    why: str | None = None


@dataclass(frozen=True)
class Weights:
    """`clip` is the factor beyond which a criterion counts no more; `of[question][criterion]` are the weights.

    A question without a table is not asked.
    """

    clip: float
    of: Mapping[str, Mapping[str, Weight]]

    def facts(self) -> dict[str, Any]:
        """As the pack records them, which is also what `check_weights` reads."""
        questions = {
            question: {name: {"weight": weight.weight, "why": weight.why} for name, weight in table.items()}
            for question, table in self.of.items()
        }
        return {"clip": self.clip, **questions}


def read_weights(path: Path | None = None) -> Weights:
    """The weights of a TOML file, by default `reports/weights.toml`. Raises WeightsError."""
    own = read_toml(WEIGHTS_FILE, "weights", WeightsError)
    if path is None:
        return check_weights(own, str(WEIGHTS_FILE))
    known = list(criteria())
    known += [name for table in own.values() if isinstance(table, dict) for name in table if name not in known]
    return check_weights(read_toml(path, "weights", WeightsError), str(path), known)


def check_weights(data: Any, source: str, known: Sequence[str] | None = None) -> Weights:
    """Weights from plain values.

    Args:
        data: a table of questions with their criteria, and `clip`.
        source: what the message of an error names.
        known: the criteria that may have a weight; None for any, since those of another release may be gone.

    Raises:
        WeightsError: the first key that does not fit.
    """
    if not isinstance(data, dict):
        raise WeightsError(f"{source}: the whole is {data!r}, expected a table")
    if "clip" not in data:
        raise WeightsError(f"{source}: clip is missing, expected a number above 1")
    clip = _number(data["clip"], "clip", source, "a number above 1")
    if clip <= 1:
        raise WeightsError(f"{source}: clip is {clip:g}, expected a number above 1")
    of: dict[str, dict[str, Weight]] = {}
    for question, table in data.items():
        if question == "clip":
            continue
        if question not in QUESTIONS:
            raise WeightsError(f"{source}: {question} is no question, expected one of {', '.join(QUESTIONS)}")
        if not isinstance(table, dict):
            raise WeightsError(f"{source}: {question} is {table!r}, expected a table of criteria")
        for name in table:
            if known is not None and name not in known:
                key = f"{question}.{name}"
                raise WeightsError(f"{source}: {key} is no criterion, expected one of {', '.join(known)}")
        of[question] = {name: _weight(value, f"{question}.{name}", source) for name, value in table.items()}
        if not any(weight.weight for weight in of[question].values()):
            raise WeightsError(f"{source}: {question} has no weight above 0, expected at least one")
    return Weights(clip, of)


def _weight(value: Any, key: str, source: str) -> Weight:
    why = None
    if isinstance(value, dict):
        unknown = sorted(set(value) - {"weight", "why"})
        if unknown or "weight" not in value:
            what = f"has {unknown[0]}" if unknown else "has no weight"
            raise WeightsError(f"{source}: {key} {what}, expected weight and why")
        why = value.get("why")
        if why is not None and not isinstance(why, str):
            raise WeightsError(f"{source}: {key}.why is {why!r}, expected a sentence")
        value = value["weight"]
    weight = _number(value, key, source, "a number of 0 or more")
    if weight < 0:
        raise WeightsError(f"{source}: {key} is {weight:g}, expected a number of 0 or more")
    return Weight(weight, why)


def _number(value: Any, key: str, source: str, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WeightsError(f"{source}: {key} is {value!r}, expected {expected}")
    return float(value)
