"""What a plan measures of the cost of calls: cells, waterfall, ladder of sizes, thread pools."""

from __future__ import annotations

from typing import Any

from evidence.core.plan import Plan
from shared_tests.routes import Route
from shared_tests.spec import all_specs

# Where routes meet is a matter of size and dispatch more than of the op.
LADDER_OPS = ("add", "gelu_tanh", "rms_norm", "rope")
LAB_OPS = {1: "gelu_tanh", 2: "add", 4: "sum4", 8: "sum8"}  # number of tensor arguments -> op


def lab_processes(plan: Plan) -> int:
    """Fresh processes of the dispatch lab."""
    return 1 if plan.quick else 2


def ladder_processes(plan: Plan) -> int:
    """Fresh processes of the crossover ladder: sizes at which routes meet did not repeat from a single one."""
    return 1 if plan.quick else 3


def lab_ops(plan: Plan) -> dict[int, str]:
    """Number of tensor arguments -> op, for those of the dispatch lab's ops that this run has."""
    wanted = (1, 2) if plan.quick else tuple(LAB_OPS)
    return {tensors: LAB_OPS[tensors] for tensors in wanted if LAB_OPS[tensors] in plan.ops}


def dispatch_cases(plan: Plan) -> list[dict[str, Any]]:
    """Calls of 16 elements for the dispatch lab: an op and its routes, and the cells that they are timed in."""
    return [
        {
            "kind": "dispatch", "dtype": "float32", "op": op, "tensors": tensors,
            "routes": [r.name for r in plan.route_objects() if _in_lab(plan, r, tensors)],
            "cells": [dict(zip(("mode", "threads", "openmp"), cell, strict=True)) for cell in _cells(plan, tensors)],
            "budget": {"seconds": 0.9 if plan.full else 0.7, "width": 0.03, "least_rounds": 4},
        }
        for tensors, op in lab_ops(plan).items()
    ]  # fmt: skip


def _in_lab(plan: Plan, route: Route, tensors: int) -> bool:
    """JIT routes compile for 10 s at every op, so they are asked where the others are compared with them."""
    if not route.jit or route.name == "compile":
        return True
    return tensors == 2 and (not plan.quick or route.documented)


def _cells(plan: Plan, tensors: int) -> tuple[tuple[str, int, str], ...]:
    alone = (("hot", 1, "idle"), ("gap", 1, "idle"))
    if not plan.full:
        return alone
    beside = (("hot", 1, "active"), ("gap", 1, "active"), ("hot", 4, "idle"), ("hot", 4, "active"))
    return (*alone, ("compiled", 1, "idle"), *(beside if tensors == 2 else ()))


def waterfall_case(plan: Plan) -> dict[str, Any]:
    """The 16-element call of two tensors, taken to pieces."""
    budget = {"seconds": 8.0, "width": 0.0, "least_rounds": 8}
    return {"kind": "waterfall", "op": "add", "dtype": "float32", "budget": budget,
            "routes": [r.name for r in plan.route_objects()]}  # fmt: skip


def ladder_cases(plan: Plan) -> list[dict[str, Any]]:
    """Sizes from 16 elements to 2^24 for some ops, on the routes that compile nothing at a new shape."""
    powers = (4, 8, 11, 14, 16, 18, 20, 22) if plan.quick else (4, 6, 8, 10, 12, *range(14, 25))
    return [
        {
            "kind": "crossover", "op": op, "dtype": str(all_specs()[op].dtypes[0]).removeprefix("torch."),
            "routes": [r.name for r in plan.route_objects() if not r.jit and not r.same_kernel_as],
            "elements": [1 << power for power in powers],
            "budget": {"seconds": 0.25, "width": 0.05, "least_rounds": 5},
        }
        for op in plan.compared_ops()
        if op in (LADDER_OPS[:1] if plan.quick else LADDER_OPS)
    ]  # fmt: skip


def pool_case(plan: Plan) -> dict[str, Any]:
    """The same calls under every thread setting: alone, and each right after one that used the other pool."""
    return {
        "kind": "threads", "op": "add", "dtype": "float32",
        "routes": [r.name for r in plan.route_objects() if not r.jit and not r.same_kernel_as],
        "elements": [16, 1 << 22],
        "budget": {"seconds": 0.3, "width": 0.05, "least_rounds": 4},
    }  # fmt: skip
