"""The cases of run time that a plan has."""

from __future__ import annotations

from typing import Any

from evidence.core.plan import Plan
from shared_tests.routes import Route
from shared_tests.spec import BenchSample, OpSpec, all_specs

HUGE = 1 << 24  # elements; a round of all routes takes seconds
SETUP_SECONDS = 1.2  # of a case beside its sampling: arguments, references, checks, the roof


def case_seconds(plan: Plan) -> float:
    """Estimate for a case in one process, on two cores."""
    return 2 * plan.budget["seconds"] + SETUP_SECONDS


def runtime_cases(plan: Plan) -> list[dict[str, Any]]:
    """Run-time cases for the worker: op, sample, dtype, and the routes that are timed on it.

    Routes that compile for every shape get fewer: MAX's take half a minute at each, so they get each op's first
    quick sample in its first dtype, and the last one of the first op; torch.compile gets all samples of the first
    dtype and the quick ones of the second. The other ways to call cpp's kernel get the quick samples of both: what
    differs is the cost of a call, which the dispatch lab measures.

    A quick run has the first dtype, no sample from `HUGE` on, and of the JIT routes only the documented one on one
    sample, and torch.compile on each op's first.
    """
    planned = []
    for op in plan.compared_ops():
        spec = all_specs()[op]
        for dtype_index, dtype in enumerate(spec.dtypes):
            for sample in spec.bench_samples:
                if plan.quick and (dtype_index or not sample.quick or sample.elements >= HUGE):
                    continue
                if dtype_index > 1 and not sample.quick:
                    continue
                routes = [r.name for r in plan.route_objects() if _timed(plan, r, spec, sample, dtype_index)]
                planned.append({
                    "kind": "runtime", "op": op, "sample": sample.id, "elements": sample.elements,
                    "dtype": str(dtype).removeprefix("torch."), "routes": routes,
                    "kernel_routes": [r.name for r in plan.route_objects() if r.name in routes and not r.jit],
                    "modes": ["call", "kernel"], "budget": plan.budget,
                })  # fmt: skip
    return planned


def _timed(plan: Plan, route: Route, spec: OpSpec, sample: BenchSample, dtype_index: int) -> bool:
    if route.lacks(spec):
        return False
    if not route.jit:
        return plan.quick or not route.same_kernel_as or (dtype_index < 2 and sample.quick)
    quick_samples = [s for s in spec.bench_samples if s.quick]
    if route.name == "compile":
        return sample is quick_samples[0] if plan.quick else dtype_index == 0 or (dtype_index == 1 and sample.quick)
    first_op = spec.name == plan.compared_ops()[0]
    if plan.quick:
        return route.documented and first_op and sample is quick_samples[0]
    return dtype_index == 0 and (sample is quick_samples[0] or (first_op and sample is quick_samples[-1]))
