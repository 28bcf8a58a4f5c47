"""Calls that are ready to be timed: made by each route, checked against the spec, and free of tricks."""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path
from typing import Any

import torch

from evidence.core import honesty
from evidence.core.sampling import Call
from shared_tests.accuracy import expected, left_open, mismatch
from shared_tests.routes import all_routes
from shared_tests.spec import OpSpec

CHECKED_IN_FLOAT64 = 1 << 20  # elements; above, the float64 reference would take longer than the timing
RESULTS_IN_FLOAT64 = 1 << 23  # unless the results are no more than these


class Judge:
    """Holds results on a benchmark's own arguments to the spec; what they are held to is computed once.

    `whole`: large results are compared in every element, else in some 65,536 of each output.
    """

    def __init__(self, spec: OpSpec, args: tuple, elements: int, whole: bool = True):
        self.spec, self.whole = spec, whole
        # Long sums of few results differ by more than the few rounding steps that large results are held to.
        few = max(y.numel() for y in spec.empty_outputs(*args)) <= RESULTS_IN_FLOAT64
        self.want = expected(spec, args) if few or elements <= CHECKED_IN_FLOAT64 else None
        self.eager = () if self.want else self._seen(spec.results(spec.yardstick(*args)))

    def _seen(self, outs: honesty.Outputs) -> honesty.Outputs:
        return outs if self.whole else honesty.sample(outs, honesty.SAMPLED)

    def wrong(self, value: Any, contiguous: bool) -> str | None:
        """What is wrong with a result, or None. Large ones are held to eager's, within four rounding steps."""
        if self.want:
            return mismatch(self.spec, self.want, value, contiguous)
        for y, eager in zip(self._seen(self.spec.results(value)), self.eager, strict=True):
            if not contiguous and left_open(self.spec, y):
                continue
            step = 4 * torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0
            for begin in range(0, y.numel(), 1 << 24):
                a = y.view(-1)[begin : begin + (1 << 24)].float()
                b = eager.reshape(-1)[begin : begin + (1 << 24)].float()
                allowed = step * b.abs().max().item()
                if not (error := (a - b).abs().max().item()) <= allowed:
                    return f"{self.spec.name}: differs from eager by {error:.3e}, allowed {allowed:.3e}"
        return None

    def limits(self, outs: honesty.Outputs) -> list[float]:
        """Error per output that a right result may have, where that is one figure for all elements."""
        if self.want:
            return list(self.want.allowed)
        return [error / 2 for error in self.allowed(outs)]

    def allowed(self, outs: honesty.Outputs) -> list[float]:
        """Error per output that two right results may have between them."""
        if self.want:
            return [2 * error for error in self.want.allowed]
        steps = [8 * torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0 for y in outs]
        return [step * eager.abs().max().item() for step, eager in zip(steps, self.eager, strict=True)]


class SampledJudge:
    """Compares some 65,536 elements of each output with a reference that the first process of a run has written.

    The reference of a large case takes longer than timing it. What differs by more than the reference allows is held to
    the rule of `Judge`, in every element; where that accepts it, later results may differ as much.
    """

    def __init__(self, spec: OpSpec, args: tuple, elements: int, file: Path):
        """`file` is read if it exists; else the reference is computed and written to it."""
        self.spec, self.args, self.elements, self.file = spec, args, elements, file
        self.kept: dict[str, Any]
        if not file.exists():
            judge = self.whole
            outs = spec.empty_outputs(*args)
            right = judge.want.exact if judge.want else judge.eager
            values = honesty.sample(right, honesty.SAMPLED)
            self.kept = {"values": values, "limits": judge.limits(outs), "allowed": judge.allowed(outs)}
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(self.kept, file)
        else:
            self.kept = torch.load(file)

    @functools.cached_property
    def whole(self) -> Judge:
        return Judge(self.spec, self.args, self.elements)

    def wrong(self, value: Any, contiguous: bool) -> str | None:
        """As `Judge.wrong`."""
        results = self.spec.results(value)
        right, limits = self.kept["values"], self.kept["limits"]
        errors = [0.0] * len(results)
        for i, (y, want) in enumerate(zip(results, right, strict=True)):
            if contiguous or not left_open(self.spec, y):
                (values,) = honesty.sample((y,), honesty.SAMPLED)
                errors[i] = honesty.difference(values, want) if values.shape == want.shape else math.inf
        if all(error <= limit for error, limit in zip(errors, limits, strict=True)):
            return None
        if message := self.whole.wrong(value, contiguous):
            return message
        self.kept["limits"] = list(map(max, limits, errors))
        torch.save(self.kept, self.file)
        return None

    def allowed(self, outs: honesty.Outputs) -> list[float]:
        """As `Judge.allowed`."""
        return list(self.kept["allowed"])


def synchroniser(device: str) -> Call:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def prepare(
    spec: OpSpec, args: tuple, judge: Judge | SampledJudge, routes: list[str], mode: str, outs: honesty.Outputs = ()
) -> tuple[dict[str, Call], dict[str, str], dict[str, float]]:
    """Calls ready to be timed, by route; reasons of those that are not; seconds of each first call.

    `outs`: what the calls write into, in mode `kernel`, and in both modes for an op that writes its arguments: each
    call gives them their values first, which `repeated` leaves out.
    """
    ready: dict[str, Call] = {}
    refused: dict[str, str] = {}
    first: dict[str, float] = {}
    for name in routes:
        route = all_routes()[name]
        try:
            call = route.out(spec) if mode == "kernel" or spec.mutates else route.functional(spec)
            if call is None:
                continue
            honesty.poison(outs)
            begin = time.perf_counter()
            value = call(*args, *outs)
            first[name] = time.perf_counter() - begin
            if wrong := judge.wrong(outs or value, route.ours):
                refused[name] = wrong
                continue
            del value
        except Exception as error:  # whatever a route raises is a result of the measurement
            refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            continue
        ready[name] = functools.partial(call, *args, *outs)
    return ready, refused, first


def honest(spec: OpSpec, args: tuple, ready: dict[str, Call], outs: honesty.Outputs, refused: dict[str, str]) -> None:
    """Take calls that return early, write later or hand out old memory out of `ready`, with the reason."""
    like = outs or spec.empty_outputs(*args)
    for name, call in list(ready.items()):
        # Eager's own results may be views of its inputs; it is the yardstick, and the judge has seen it.
        if name != "eager" and (wrong := honesty.complete_at_return(spec, call, outs, args, like)):
            refused[name] = wrong
            del ready[name]
