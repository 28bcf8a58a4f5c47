"""What a run of `compare` measures: ops, routes, device, and how much time each measurement gets."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.core.section import declarations
from shared_tests.routes import Route, all_routes
from shared_tests.spec import all_specs

PROCESSES = 3  # fresh ones for run time, also in a quick run: two have no spread to speak of


class UsageError(ValueError):
    """A command line that names something unknown; the message lists what is known."""


@dataclass(frozen=True)
class Plan:
    """One run. `budget` in seconds for each case and mode in each process; `only` names sections, empty means all."""

    ops: list[str]
    routes: list[str]
    device: str
    quick: bool
    processes: int
    repeats: int
    budget: dict[str, float]
    only: tuple[str, ...] = ()

    def route_objects(self) -> list[Route]:
        return [all_routes()[name] for name in self.routes if self.device in all_routes()[name].devices]

    def compared_ops(self) -> list[str]:
        """The ops that run time, code size and every headline are about: all but the probes."""
        return [op for op in self.ops if not all_specs()[op].probe]


def make_plan(ops: str, routes: str, device: str, quick: bool, only: str = "") -> Plan:
    """A plan from command-line values; empty `ops`, `routes` or `only` means all.

    Raises:
        UsageError: an unknown op, route or section.
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
    measured = [section.name for section, _ in declarations("measure", "STAGES")] if only else []
    sections = tuple(_names("--only", only, measured))
    return Plan(chosen_ops, chosen_routes, device, quick, PROCESSES, 1 if quick else 3, budget, sections)


def _names(option: str, value: str, known: list[str]) -> list[str]:
    names = [n.strip() for n in value.split(",") if n.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: unknown name {name!r}, known are {', '.join(known)}")
    return [k for k in known if k in names] if names else known
