"""The weights of the decisions: one TOML file that a user edits, checked key by key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.core.toml_file import read_toml
from evidence.judge.criteria import CRITERIA
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
            question: {name: {"weight": one.weight, "why": one.why} for name, one in some.items()}
            for question, some in self.of.items()
        }
        return {"clip": self.clip, **questions}


def read_weights(path: Path | None = None) -> Weights:
    """The weights of a TOML file, by default `reports/weights.toml`. Raises WeightsError."""
    file = path or WEIGHTS_FILE
    data = read_toml(file, "weights", WeightsError)
    return check_weights(data, str(file))


def check_weights(data: Any, source: str) -> Weights:
    """Weights from plain values. Raises WeightsError for the first key that does not fit."""
    if not isinstance(data, dict):
        raise WeightsError(f"{source}: the whole is {data!r}, expected a table")
    if "clip" not in data:
        raise WeightsError(f"{source}: clip is missing, expected a number above 1")
    clip = _number(data["clip"], "clip", source, "a number above 1")
    if clip <= 1:
        raise WeightsError(f"{source}: clip is {clip:g}, expected a number above 1")
    of: dict[str, dict[str, Weight]] = {}
    for question, some in data.items():
        if question == "clip":
            continue
        if question not in QUESTIONS:
            raise WeightsError(f"{source}: {question} is no question, expected one of {', '.join(QUESTIONS)}")
        if not isinstance(some, dict):
            raise WeightsError(f"{source}: {question} is {some!r}, expected a table of criteria")
        of[question] = {name: _weight(value, f"{question}.{name}", source) for name, value in some.items()}
        if not any(one.weight for one in of[question].values()):
            raise WeightsError(f"{source}: {question} has no weight above 0, expected at least one")
    return Weights(clip, of)


def _weight(value: Any, key: str, source: str) -> Weight:
    name = key.partition(".")[2]
    if name not in CRITERIA:
        raise WeightsError(f"{source}: {key} is no criterion, expected one of {', '.join(CRITERIA)}")
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
