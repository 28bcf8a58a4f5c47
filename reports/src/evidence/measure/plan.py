"""What a run of `compare` measures: ops, routes, device, and how much time each measurement gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared_tests.routes import Route, all_routes
from shared_tests.spec import BenchSample, OpSpec, all_specs

SMALL = 1 << 16  # elements; below, a call's overhead is most of its time, so JIT routes are always timed there


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

        Routes that compile for every shape get fewer: the quick samples and the small ones, in the op's first dtype;
        torch.compile also the quick samples of the second.
        """
        found = []
        for op in self.ops:
            spec = all_specs()[op]
            for dtype_index, dtype in enumerate(spec.dtypes):
                for sample in spec.bench_samples:
                    if (self.quick and (dtype_index > 1 or not sample.quick)) or (dtype_index > 1 and not sample.quick):
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
        if not route.jit:
            return True
        if route.name == "compile":
            return dtype_index == 0 or (dtype_index == 1 and sample.quick and not self.quick)
        if dtype_index:
            return False
        if self.quick:
            return sample is next(s for s in spec.bench_samples if s.quick)
        return sample.quick or sample.elements <= SMALL

    def dispatch_case(self) -> dict[str, Any]:
        """A call at 16 elements on every route, with the first op that adds nothing to it."""
        op = "add" if "add" in self.ops else next(o for o in self.ops if len(all_specs()[o].tensor_args) == 1)
        routes = [r.name for r in self.route_objects()]
        return {
            "kind": "dispatch",
            "dtype": "float32",
            "op": op,
            "routes": routes,
            "budget": self.budget,
            "gap_repeats": 3 if self.quick else 10,
        }


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
        {"seconds": 0.6, "width": 0.05, "least_rounds": 4}
        if quick
        else {"seconds": 1.0, "width": 0.02, "least_rounds": 5}
    )
    return Plan(chosen_ops, chosen_routes, device, quick, 2 if quick else 3, 1, budget)


def _names(option: str, given: str, known: list[str]) -> list[str]:
    names = [n.strip() for n in given.split(",") if n.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: unknown name {name!r}, known are {', '.join(known)}")
    return [k for k in known if k in names] if names else known
