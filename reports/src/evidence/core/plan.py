"""What a run of `compare` measures: ops, routes, device, and how much time each measurement gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evidence.core import text
from evidence.core.mode import FULL, QUICK, STANDARD, Mode
from evidence.core.section import declarations
from shared_tests.routes import Route, all_routes
from shared_tests.spec import all_specs

PROCESSES = 3  # fresh processes for run time in every mode: the spread of two cannot be estimated

STANDARD_ROUTES = ("eager", "compile", "cpp", "mojo", "mojo_aot")
"""PyTorch's own routes, and those that represent a side on some device. No question is decided by another route."""

_EFFORT: dict[Mode, tuple[int, dict[str, Any]]] = {
    STANDARD: (1, {"seconds": 0.2, "width": 0.02, "least_rounds": 4}),
    FULL: (3, {"seconds": 1.0, "width": 0.02, "least_rounds": 5}),
    QUICK: (1, {"seconds": 0.2, "width": 0.02, "least_rounds": 4}),
}
"""Repeats of the build lab, and the time that is spent on a case in each form of a call in each process."""


class UsageError(ValueError):
    """A command line that names something unknown; the message lists what is known."""


@dataclass(frozen=True)
class Plan:
    """One run.

    mode: how much is measured, see `core/mode.py`.
    budget: seconds and rounds for each case and form of a call in each process.
    only: names of sections; empty means all.
    """

    ops: list[str]
    routes: list[str]
    device: str
    mode: Mode
    processes: int
    repeats: int
    budget: dict[str, float]
    only: tuple[str, ...] = ()

    @property
    def quick(self) -> bool:
        """Whether this is a smoke run."""
        return self.mode == QUICK

    @property
    def full(self) -> bool:
        """Whether everything is measured."""
        return self.mode == FULL

    @property
    def every_op(self) -> bool:
        """Whether no op is left out."""
        return len(self.ops) == len(all_specs())

    def route_objects(self) -> list[Route]:
        return [all_routes()[name] for name in self.routes if self.device in all_routes()[name].devices]

    def extent(self) -> str:
        """`21 ops by 5 routes`."""
        return f"{text.count(len(self.ops), 'op')} by {text.count(len(self.route_objects()), 'route')}"

    def compared_ops(self) -> list[str]:
        """The ops that run time, code size and every headline are about: all but the probes."""
        return [op for op in self.ops if not all_specs()[op].probe]


def make_plan(ops: str, routes: str, device: str, mode: Mode = STANDARD, only: str = "") -> Plan:
    """A plan from command-line values; empty `ops` or `only` means all, empty `routes` those of the mode.

    Raises:
        UsageError: an unknown op, route or section.
    """
    chosen_ops = _names("--ops", ops, list(all_specs()))
    usual = list(STANDARD_ROUTES) if mode == STANDARD else list(all_routes())
    chosen_routes = _names("--routes", routes, list(all_routes())) if routes.strip() else usual
    if "eager" not in chosen_routes:
        chosen_routes.insert(0, "eager")  # the yardstick of every ratio
    repeats, budget = _EFFORT[mode]
    measured = [section.name for section, _ in declarations("measure", "STAGES")] if only else []
    sections = tuple(_names("--only", only, measured))
    return Plan(chosen_ops, chosen_routes, device, mode, PROCESSES, repeats, dict(budget), sections)


def _names(option: str, value: str, known: list[str]) -> list[str]:
    names = [n.strip() for n in value.split(",") if n.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: unknown name {name!r}, known are {', '.join(known)}")
    return [k for k in known if k in names] if names else known
