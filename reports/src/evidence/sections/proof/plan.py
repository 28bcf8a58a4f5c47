"""The cases of the proof: a few ops in every size class, on the routes that represent a side."""

from __future__ import annotations

from typing import Any

from evidence.core.plan import Plan
from evidence.core.routes import representatives
from evidence.core.thresholds import size_class
from shared_tests.spec import BenchSample, OpSpec, all_specs

SIZE_CLASSES = ("small", "middle", "large")
MOST_ELEMENTS = 1 << 24  # from here on a round takes seconds
STANDARD_OPS, QUICK_OPS = 4, 2  # in a size class; the standard mode may take 45 s
START_SECONDS = 4.0  # of a process, with its imports
CASE_SECONDS = 0.35  # of a route beside its sampling: arguments, and the measurement of what was planted


def ops_of_class(plan: Plan) -> int:
    """How many ops each size class gets."""
    if plan.quick:
        return QUICK_OPS
    return len(plan.ops) if plan.full else STANDARD_OPS


def samples(plan: Plan) -> list[tuple[OpSpec, BenchSample]]:
    """The first sample of each op in each size class, of ops that have most classes first.

    Ops that write their arguments are left out: their calls copy these first, and would be timed in another way.
    """
    by_op: list[tuple[OpSpec, dict[str, BenchSample]]] = []
    for op in plan.compared_ops():
        spec = all_specs()[op]
        classes: dict[str, BenchSample] = {}
        for sample in spec.bench_samples:
            if sample.elements < MOST_ELEMENTS and not sample.in_turn:
                classes.setdefault(size_class(sample.elements), sample)
        if not spec.mutates:
            by_op.append((spec, classes))
    by_op.sort(key=lambda entry: -len(entry[1]))
    return [
        (spec, classes[name])
        for name in SIZE_CLASSES
        for spec, classes in [entry for entry in by_op if name in entry[1]][: ops_of_class(plan)]
    ]


def proof_cases(plan: Plan) -> list[dict[str, Any]]:
    """Cases for the worker: op, sample, the op's first dtype, and the routes."""
    routes = [
        route.name
        for route in plan.route_objects()
        if route.name in representatives() and plan.device in route.represents
    ]
    return [
        {
            "kind": "proof", "op": spec.name, "sample": sample.id, "elements": sample.elements,
            "dtype": str(spec.dtypes[0]).removeprefix("torch."), "routes": list(routes), "budget": plan.budget,
        }
        for spec, sample in samples(plan)
        if routes
    ]  # fmt: skip


def estimate(plan: Plan) -> float:
    """Seconds that the stage takes on two cores."""
    rows = sum(len(case["routes"]) for case in proof_cases(plan))
    seconds = plan.budget["seconds"] + CASE_SECONDS
    return plan.processes * (START_SECONDS + rows * seconds) if rows else 0.0


def names_of(case: dict[str, Any]) -> tuple[str, str, str]:
    """What tells a case from the others."""
    return case["op"], case["sample"], case["dtype"]
