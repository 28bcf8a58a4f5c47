"""The cases of run time that a plan has."""

from __future__ import annotations

from typing import Any

from evidence.core.mode import FULL, QUICK, STANDARD
from evidence.core.plan import Plan
from evidence.core.thresholds import size_class
from shared_tests.routes import Route
from shared_tests.spec import BenchSample, OpSpec, all_specs

HUGE = 1 << 24  # elements; a round of all routes takes seconds
SETUP_SECONDS = {STANDARD: 0.65, FULL: 0.6, QUICK: 1.2}
"""Of a case in one process beside its sampling: arguments, references, checks, the roof, what compiles."""


def case_seconds(plan: Plan, case: dict[str, Any]) -> float:
    """Estimate for a case in one process, on two cores."""
    return len(case["modes"]) * plan.budget["seconds"] + SETUP_SECONDS[plan.mode]


def spanning(spec: OpSpec) -> tuple[BenchSample, ...]:
    """Two or three samples of an op from the smallest to the largest: one of each size class, else two of the one.

    Of a class it is one below `HUGE` if there is one, a quick one if there is one, and of those the smallest. Samples
    that are read in turn copy half a gigabyte of arguments and are left to full runs.
    """

    def preference(sample: BenchSample) -> tuple[bool, bool, int]:
        return sample.elements >= HUGE, not sample.quick, sample.elements

    samples = sorted((sample for sample in spec.bench_samples if not sample.in_turn), key=preference)
    chosen: dict[str, BenchSample] = {}
    for sample in samples:
        chosen.setdefault(size_class(sample.elements), sample)
    others = [sample for sample in samples if sample not in chosen.values()]
    picked = [*chosen.values(), *others[: max(0, 2 - len(chosen))]]
    return tuple(sorted(picked, key=lambda sample: sample.elements))


def samples(plan: Plan, spec: OpSpec, dtype_index: int) -> tuple[BenchSample, ...]:
    """The samples of an op that a plan times in one of its dtypes.

    A standard run takes those of `spanning` in the first dtype, and the smallest and the largest of them below `HUGE`
    in the second. A full run takes all in two dtypes and the quick ones in further dtypes. A quick run takes the quick
    ones below `HUGE` in the first dtype.
    """
    if plan.mode == STANDARD:
        picked = spanning(spec)
        if dtype_index == 1:
            below = [sample for sample in picked if sample.elements < HUGE]
            picked = tuple(sample for sample in below if sample in (below[0], below[-1]))
        return picked if dtype_index < 2 else ()
    quick = tuple(sample for sample in spec.bench_samples if sample.quick)
    if plan.mode == QUICK:
        return tuple(sample for sample in quick if sample.elements < HUGE) if dtype_index == 0 else ()
    return spec.bench_samples if dtype_index < 2 else quick


def modes(plan: Plan, sample: BenchSample, dtype_index: int, largest: BenchSample) -> list[str]:
    """The forms of a call that are timed: with fresh outputs, and the kernel alone, which decides no question.

    A standard run times the kernel alone on each op's largest sample, in the first dtype.
    """
    alone = plan.mode != STANDARD or (sample is largest and dtype_index == 0)
    return ["call", "kernel"] if alone else ["call"]


def runtime_cases(plan: Plan) -> list[dict[str, Any]]:
    """Run-time cases for the worker: op, sample, dtype, and the routes that are timed on it.

    Routes that compile for every shape get fewer samples. MAX's take half a minute at each, so a full run has them on
    each op's first quick sample in its first dtype, and on the last one of the first op; a quick run has the documented
    one on one sample. torch.compile gets all samples of the first dtype, in a full run also the quick ones of the
    second, and in a quick run each op's first. The other ways to call cpp's kernel get the quick samples of both: what
    differs is the cost of a call, which the dispatch lab measures.
    """
    planned = []
    for op in plan.compared_ops():
        spec = all_specs()[op]
        for dtype_index, dtype in enumerate(spec.dtypes):
            chosen = samples(plan, spec, dtype_index)
            for sample in chosen:
                routes = [r.name for r in plan.route_objects() if _timed(plan, r, spec, sample, dtype_index)]
                planned.append({
                    "kind": "runtime", "op": op, "sample": sample.id, "elements": sample.elements,
                    "dtype": str(dtype).removeprefix("torch."), "routes": routes,
                    "kernel_routes": [r.name for r in plan.route_objects() if r.name in routes and not r.jit],
                    "modes": modes(plan, sample, dtype_index, chosen[-1]), "budget": plan.budget,
                })  # fmt: skip
    return planned


def _timed(plan: Plan, route: Route, spec: OpSpec, sample: BenchSample, dtype_index: int) -> bool:
    if route.lacks(spec):
        return False
    if not route.jit:
        return not plan.full or not route.same_kernel_as or (dtype_index < 2 and sample.quick)
    quick_samples = [s for s in spec.bench_samples if s.quick]
    if route.name == "compile":
        if plan.quick:
            return sample is quick_samples[0]
        return dtype_index == 0 or (plan.full and dtype_index == 1 and sample.quick)
    first_op = spec.name == plan.compared_ops()[0]
    if plan.quick:
        return route.documented and first_op and sample is quick_samples[0]
    return dtype_index == 0 and (sample is quick_samples[0] or (first_op and sample is quick_samples[-1]))
