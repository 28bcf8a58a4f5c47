"""What a run of `compare` measures: ops, routes, device, and how much time each measurement gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared_tests.routes import Route, all_routes
from shared_tests.spec import BenchSample, OpSpec, all_specs

# Where routes meet is a matter of size and dispatch more than of the op.
LADDER_OPS = ("add", "gelu_tanh", "rms_norm", "rope")
LAB_OPS = {1: "gelu_tanh", 2: "add", 4: "sum4", 8: "sum8"}  # number of tensor arguments -> op
PROCESSES = 3  # fresh ones for run time, also in a quick run: two have no spread to speak of
HUGE = 1 << 24  # elements; a round of all routes takes seconds


class UsageError(ValueError):
    """A command line that names something unknown; the message lists what is known."""


@dataclass(frozen=True)
class Plan:
    """One run. `budget` in seconds for each case and mode in each process."""

    ops: list[str]
    routes: list[str]
    device: str
    quick: bool
    processes: int
    repeats: int
    budget: dict[str, float]

    def route_objects(self) -> list[Route]:
        return [all_routes()[name] for name in self.routes if self.device in all_routes()[name].devices]

    def cases(self) -> list[dict[str, Any]]:
        """Run-time cases for the worker: op, sample, dtype, and the routes that are timed on it.

        Routes that compile for every shape get fewer: MAX's take half a minute at each, so they get each op's first
        quick sample in its first dtype, and the last one of the first op; torch.compile gets all samples of the first
        dtype and the quick ones of the second. The other ways to call cpp's kernel get the quick samples of both: what
        differs is the cost of a call, which the dispatch lab measures.

        A quick run has the first dtype, no sample from `HUGE` on, and of the JIT routes only the documented one on one
        sample, and torch.compile on each op's first.
        """
        found = []
        for op in self.compared_ops():
            spec = all_specs()[op]
            for dtype_index, dtype in enumerate(spec.dtypes):
                for sample in spec.bench_samples:
                    if self.quick and (dtype_index or not sample.quick or sample.elements >= HUGE):
                        continue
                    if dtype_index > 1 and not sample.quick:
                        continue
                    routes = [r.name for r in self.route_objects() if self._timed(r, spec, sample, dtype_index)]
                    found.append({
                        "kind": "runtime", "op": op, "sample": sample.id, "elements": sample.elements,
                        "dtype": str(dtype).removeprefix("torch."), "routes": routes,
                        "kernel_routes": [r.name for r in self.route_objects() if r.name in routes and not r.jit],
                        "modes": ["call", "kernel"], "budget": self.budget,
                    })  # fmt: skip
        return found

    def _timed(self, route: Route, spec: OpSpec, sample: BenchSample, dtype_index: int) -> bool:
        if route.lacks(spec):
            return False
        if not route.jit:
            return self.quick or not route.same_kernel_as or (dtype_index < 2 and sample.quick)
        some = [s for s in spec.bench_samples if s.quick]
        if route.name == "compile":
            return sample is some[0] if self.quick else dtype_index == 0 or (dtype_index == 1 and sample.quick)
        first_op = spec.name == self.compared_ops()[0]
        if self.quick:
            return route.documented and first_op and sample is some[0]
        return dtype_index == 0 and (sample is some[0] or (first_op and sample is some[-1]))

    def compared_ops(self) -> list[str]:
        """The ops that run time, code size and every headline are about: all but the probes."""
        return [op for op in self.ops if not all_specs()[op].probe]

    @property
    def lab_processes(self) -> int:
        """Fresh processes of the dispatch lab."""
        return 1 if self.quick else 2

    @property
    def ladder_processes(self) -> int:
        """Fresh processes of the crossover ladder: sizes at which routes meet did not repeat from a single one."""
        return 1 if self.quick else 3

    def lab_ops(self) -> dict[int, str]:
        """Number of tensor arguments -> op, for those of the dispatch lab's ops that this run has."""
        wanted = (1, 2) if self.quick else tuple(LAB_OPS)
        return {tensors: LAB_OPS[tensors] for tensors in wanted if LAB_OPS[tensors] in self.ops}

    def dispatch_cases(self) -> list[dict[str, Any]]:
        """Calls of 16 elements for the dispatch lab: an op and its routes, and the cells that they are timed in."""
        return [
            {
                "kind": "dispatch", "dtype": "float32", "op": op, "tensors": tensors,
                "routes": [r.name for r in self.route_objects() if self._in_lab(r, tensors)],
                "cells": [dict(zip(("mode", "threads", "openmp"), cell, strict=True)) for cell in self._cells(tensors)],
                "budget": {"seconds": 0.7 if self.quick else 0.9, "width": 0.03, "least_rounds": 4},
            }
            for tensors, op in self.lab_ops().items()
        ]  # fmt: skip

    def _in_lab(self, route: Route, tensors: int) -> bool:
        """JIT routes compile for 10 s at every op, so they are asked where the others are compared with them."""
        if not route.jit or route.name == "compile":
            return True
        return tensors == 2 and (not self.quick or route.documented)

    def _cells(self, tensors: int) -> tuple[tuple[str, int, str], ...]:
        alone = (("hot", 1, "idle"), ("gap", 1, "idle"))
        if self.quick:
            return alone
        beside = (("hot", 1, "active"), ("gap", 1, "active"), ("hot", 4, "idle"), ("hot", 4, "active"))
        return (*alone, ("compiled", 1, "idle"), *(beside if tensors == 2 else ()))

    def waterfall_case(self) -> dict[str, Any]:
        """The 16-element call of two tensors, taken to pieces."""
        budget = {"seconds": 8.0, "width": 0.0, "least_rounds": 8}
        return {"kind": "waterfall", "op": "add", "dtype": "float32", "budget": budget,
                "routes": [r.name for r in self.route_objects()]}  # fmt: skip

    def ladder_cases(self) -> list[dict[str, Any]]:
        """Sizes from 16 elements to 2^24 for some ops, on the routes that compile nothing at a new shape."""
        powers = (4, 8, 11, 14, 16, 18, 20, 22) if self.quick else (4, 6, 8, 10, 12, *range(14, 25))
        return [
            {
                "kind": "crossover", "op": op, "dtype": str(all_specs()[op].dtypes[0]).removeprefix("torch."),
                "routes": [r.name for r in self.route_objects() if not r.jit and not r.same_kernel_as],
                "elements": [1 << power for power in powers],
                "budget": {"seconds": 0.25, "width": 0.05, "least_rounds": 5},
            }
            for op in self.compared_ops()
            if op in (LADDER_OPS[:1] if self.quick else LADDER_OPS)
        ]  # fmt: skip

    def pool_case(self) -> dict[str, Any]:
        """The same calls under every thread setting: alone, and each right after one that used the other pool."""
        return {
            "kind": "threads", "op": "add", "dtype": "float32",
            "routes": [r.name for r in self.route_objects() if not r.jit and not r.same_kernel_as],
            "elements": [16, 1 << 22],
            "budget": {"seconds": 0.3, "width": 0.05, "least_rounds": 4},
        }  # fmt: skip


def make_plan(ops: str, routes: str, device: str, quick: bool) -> Plan:
    """A plan from command-line values; empty `ops` or `routes` means all.

    Raises:
        UsageError: an unknown op or route.
    """
    chosen_ops = _names("--ops", ops, list(all_specs()))
    chosen_routes = _names("--routes", routes, list(all_routes()))
    if "eager" not in chosen_routes:
        chosen_routes.insert(0, "eager")  # the yardstick of every ratio
    budget = (
        {"seconds": 0.2, "width": 0.02, "least_rounds": 4}
        if quick
        else {"seconds": 1.0, "width": 0.02, "least_rounds": 5}
    )
    return Plan(chosen_ops, chosen_routes, device, quick, PROCESSES, 1 if quick else 3, budget)


def _names(option: str, given: str, known: list[str]) -> list[str]:
    names = [n.strip() for n in given.split(",") if n.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: unknown name {name!r}, known are {', '.join(known)}")
    return [k for k in known if k in names] if names else known
