"""Crossover: time against size on a ladder, and the size from which on a route keeps up with another one."""

from __future__ import annotations

import math
from typing import Any

import torch
from msgspec.structs import replace

from evidence.core.interval import Interval
from evidence.core.row import Base
from evidence.core.timings import Gated, Timings, ratio_interval, state, time_interval
from evidence.sections.dispatch.row import CrossoverRow, Point
from shared_tests.spec import OpSpec

AGAINST: tuple[tuple[Base, float], ...] = (("eager", 1.0), ("cpp", 0.9))
"""No slower than eager, and 0.9x of the speed of cpp."""


def elements_of(args: tuple[Any, ...]) -> int:
    """Elements of the largest tensor of a call."""
    return max(a.numel() for a in args if isinstance(a, torch.Tensor))


def make(spec: OpSpec, wanted: int, dtype: torch.dtype, device: str) -> tuple[Any, ...]:
    """Arguments of the spec's own growing call whose largest tensor is nearest to `wanted` elements in log size.

    `spec.sized` grows with the square of n or so; two probes at small n give the power, and its neighbours are compared
    on tensors without memory.
    """

    def size(n: int) -> int:
        return elements_of(spec.sized(n, dtype, "meta"))

    low, high = 1, 1
    while size(high) < wanted:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    nearest = min((low, high), key=lambda n: abs(math.log(size(n) / wanted)))
    return spec.sized(nearest, dtype, device)


def crossover(points: list[tuple[int, float]], factor: float) -> float | None:
    """The size from which on the ratio reaches `factor`, up to the largest one.

    Args:
        points: (elements, ratio of speeds), by elements.
        factor: what the ratio must reach.

    Returns:
        Elements, interpolated in log size between the last point below the factor and the next one; the smallest
        measured size where none is below; None where the largest one is.
    """
    start = len(points)
    while start and points[start - 1][1] >= factor:
        start -= 1
    if start == len(points):
        return None
    if start == 0:
        return float(points[0][0])
    (n0, r0), (n1, r1) = points[start - 1], points[start]
    share = (math.log(factor) - math.log(r0)) / (math.log(r1) - math.log(r0))
    return float(math.exp(math.log(n0) + share * (math.log(n1) - math.log(n0))))


def bounds(points: list[tuple[int, Interval]], factor: float) -> dict[str, float | None]:
    """The crossover of the medians, and its bounds: where the upper and where the lower ends of the ratios reach it.

    A bound of None says that the end of the ladder comes first.
    """
    return {
        "elements": crossover([(n, ratio.mid) for n, ratio in points], factor),
        "elements_low": crossover([(n, ratio.high) for n, ratio in points], factor),
        "elements_high": crossover([(n, ratio.low) for n, ratio in points], factor),
    }


def rows(op: str, timings: dict[int, Timings], gated: Gated, timed: list[str]) -> list[CrossoverRow]:
    """The `crossover` rows of one op.

    Args:
        op: its name.
        timings: elements -> what was timed at that size.
        gated: routes that were not timed, with status and reason.
        timed: routes that were.
    """
    result = []
    for route in [r for r in (*timed, *gated) if r != "eager"]:
        for against, factor in AGAINST:
            if route == against or (route.startswith("cpp") and against == "cpp"):
                continue
            points = []
            for elements, entry in sorted(timings.items()):
                ratio = ratio_interval(entry, route, against)
                own, other = time_interval(entry, route), time_interval(entry, against)
                if ratio and own and other:
                    points.append((elements, ratio, own.mid, other.mid))
            refused = next((entry.refused[route] for entry in timings.values() if route in entry.refused), None)
            status, message = state(gated, route, bool(points and not refused), "error", refused)
            if status == "error" and message is None:
                message = f"{against} was not timed" if against not in timed else "was not timed"
            row = CrossoverRow(
                op=op, route=route, against=against, factor=factor, elements=None, status=status, message=message
            )
            if status == "ok":
                row = replace(
                    row,
                    **bounds([(n, ratio) for n, ratio, _, _ in points], factor),
                    largest=points[-1][0],
                    points=tuple(
                        Point(elements=n, us=own, against_us=other, ratio=r.mid, low=r.low, high=r.high)
                        for n, r, own, other in points
                    ),
                )
            result.append(row)
    return result
