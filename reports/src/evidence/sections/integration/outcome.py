"""What a probe of the integration table can find, and how its findings become one row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from evidence.sections.integration.row import Status
from shared_tests.accuracy import expected, mismatch
from shared_tests.routes import Route
from shared_tests.spec import OpSpec

WORKS: Status = "works"
REFUSED: Status = "refused"
FAILS: Status = "fails"
DID_NOT_RUN: Status = "did not run"
NOT_APPLICABLE: Status = "not applicable"
WORST_FIRST = (FAILS, REFUSED, DID_NOT_RUN, WORKS, NOT_APPLICABLE)

REASONS = {
    "fake": r"fake|meta|not registered|no kernel",
    "autograd": r"differentiable|derivative|autograd|backward|inplace operation|requires grad",
    "vmap": r"vmap|batch|functorch|transform",
    "func": r"differentiable|derivative|autograd|backward|jvp|functorch|transform",
    "export": r"export|dynamo|trace|fake",
    "aot_inductor": r"export|dynamo|trace|fake|inductor",
    "cuda_graphs": r"captur|graph",
    "streams": r"stream",
    "non_contiguous": r"contiguous|stride",
    "zero_size": r"zero|empty|size",
    "autocast": r"dtype|autocast",
    "compile_fullgraph": r"dynamo|trace|fake",
    "compile_dynamic": r"dynamo|trace|fake|dynamic|symbolic",
    "inductor_reuse": r"dynamo|trace|fake|inductor",
    "threads": r"thread",
    "fork": r"fork|spawn",
    "inference_mode": r"inference",
}
"""A Python error is a refusal only if it names the reason; an adopter cannot act on any other one."""

FEATURES = tuple(REASONS)


class Wrong(Exception):
    """The feature gave a wrong result; the message says which."""


class NotRun(Exception):
    """This machine cannot run the probe; the message says what is missing."""


class NotApplicable(Exception):
    """The route has no such thing; the message says why."""


class Outcome(NamedTuple):
    """Status and message of a feature on a route."""

    status: str
    message: str | None


@dataclass(frozen=True)
class Subject:
    """A route with the op it is probed with. `device` is a torch device type."""

    route: Route
    spec: OpSpec
    device: str

    def args(self, n: int = 2) -> tuple[Any, ...]:
        """Float32 arguments of a call whose dimensions grow with n.

        JIT routes compile for every shape, for half a minute: they get the one that a comparison has compiled already.
        """
        if self.route.jit and n == 2:
            quick = next(sample for sample in self.spec.bench_samples if sample.quick)
            return quick.make(torch.float32, self.device)
        return self.spec.sized(n, torch.float32, self.device)

    def other_values(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same call with other values, so that a result baked into a program is found out."""
        return tuple(a + 1 if isinstance(a, torch.Tensor) else a for a in args)

    @property
    def function(self) -> Callable[..., Any]:
        """The functional form."""
        return self.route.functional(self.spec)

    @property
    def out(self) -> Callable[..., Any]:
        """The form that writes into ready outputs, given last. Raises NotApplicable."""
        out = self.route.out(self.spec)
        if out is None:
            raise NotApplicable("the route has no out variant")
        return out

    def hold(self, args: tuple[Any, ...], got: Any, where: str = "") -> None:
        """Raise Wrong unless `got` is the op's result for `args` within the tolerance it has earned."""
        message = mismatch(self.spec, expected(self.spec, args), got, contiguous=self.route.ours)
        if message:
            raise Wrong(f"{where}: {message}" if where else message)


Probe = Callable[[Subject], str | None]
PROBES: dict[str, dict[str, Probe]] = {feature: {} for feature in FEATURES}


def probe(feature: str, part: str) -> Callable[[Probe], Probe]:
    """Register a probe for one part of a feature; it returns a remark or None, and raises what it finds."""

    def register(function: Probe) -> Probe:
        PROBES[feature][part] = function
        return function

    return register


def one_line(text: object, limit: int = 240) -> str:
    """The first sentence or two of an error, without line breaks."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def judge(feature: str, function: Probe, subject: Subject) -> Outcome:
    """Run one probe; an error that does not name the reason is a failure, not a refusal."""
    try:
        return Outcome(WORKS, function(subject))
    except Wrong as wrong:
        return Outcome(FAILS, one_line(wrong))
    except NotRun as why:
        return Outcome(DID_NOT_RUN, one_line(why))
    except NotApplicable as why:
        return Outcome(NOT_APPLICABLE, one_line(why))
    except Exception as error:
        named = re.search(REASONS[feature], f"{type(error).__name__} {error}", re.IGNORECASE)
        line = one_line(f"{type(error).__name__}: {error}")
        return Outcome(REFUSED, line) if named else Outcome(FAILS, f"an error that does not name the reason: {line}")


def combine(parts: dict[str, Outcome]) -> Outcome:
    """Combine the parts of a feature into one outcome: the worst status, with the messages of all parts."""
    worst = min((outcome.status for outcome in parts.values()), key=WORST_FIRST.index)
    messages = {part: outcome.message for part, outcome in parts.items() if outcome.message}
    if worst in (FAILS, REFUSED, DID_NOT_RUN):
        messages = {part: text for part, text in messages.items() if parts[part].status != NOT_APPLICABLE}
    elif worst == WORKS:
        messages = {part: text for part, text in messages.items() if parts[part].status == WORKS}
    texts = list(dict.fromkeys(messages.values()))
    if len(texts) <= 1 and len(messages) in (0, len(parts)):
        return Outcome(worst, texts[0] if texts else None)
    joined = {text: ", ".join(part for part in messages if messages[part] == text) for text in texts}
    return Outcome(worst, "; ".join(f"{names}: {text}" for text, names in joined.items()))


def feature_outcome(feature: str, subject: Subject) -> Outcome:
    """Run every part of a feature on a route."""
    return combine({part: judge(feature, function, subject) for part, function in PROBES[feature].items()})
