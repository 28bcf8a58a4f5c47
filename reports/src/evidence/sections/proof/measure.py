"""The stage that times routes against themselves: an A/A comparison, and slow-downs of known size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from evidence.core.between import Between, Kind
from evidence.core.case_runner import CaseRunner
from evidence.core.gate import close
from evidence.core.pack import PARTIAL, RAN
from evidence.core.plan import Plan
from evidence.core.stage import Run, Stage
from evidence.core.thresholds import size_class
from evidence.core.timings import TIME, Gated, Timings, interval_keys, state
from evidence.sections.proof.plan import CASE_SECONDS, estimate, names_of, proof_cases
from evidence.sections.proof.planted import BASE, EFFECTS
from evidence.sections.proof.row import ProofRow

TIMEOUT = 300.0

Added = dict[str, list[float]]
"""Name of the call -> microseconds that were added to it, one a process."""


class Collected:
    """What the processes reported, by case and route."""

    def __init__(self, run: Run):
        self.run, self.process, self.index = run, -1, -1
        self.cases = proof_cases(run.plan)
        self.planned = [list(case["routes"]) for case in self.cases]
        self.gated = [close(run, case) for case in self.cases]
        self.timings: dict[tuple[int, str], Timings] = {}
        self.added: dict[tuple[int, str], Added] = {}

    def heard(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            case = line["begin"]
            self.index = next(i for i, known in enumerate(self.cases) if names_of(known) == names_of(case))
            seconds = len(case["routes"]) * (case["budget"]["seconds"] + CASE_SECONDS)
            process = f"process {self.process + 1} of {self.run.plan.processes}"
            self.run.tell(f"A/A and planted slow-downs: {case['op']} {case['sample']} ({process})", seconds)
            return
        self.run.raw.append({"proof": names_of(self.cases[self.index]), "process": self.process, **line})
        key = (self.index, line["route"])
        self.timings.setdefault(key, Timings()).add(line)
        for name, microseconds in line.get("added", {}).items():
            self.added.setdefault(key, {}).setdefault(name, []).append(microseconds)

    def lost(self, case: dict[str, Any], reason: str) -> None:
        index = next(i for i, known in enumerate(self.cases) if names_of(known) == names_of(case))
        for route in case["routes"]:
            entry = self.timings.setdefault((index, route), Timings())
            for name in EFFECTS:
                entry.refused.setdefault(name, f"worker: {reason}")

    def rows(self, device: str) -> list[ProofRow]:
        """The rows of what was measured so far."""
        reported = [(self.cases[index], timings) for (index, _), timings in self.timings.items()]
        between = spreads(reported)
        return [
            row
            for index, case in enumerate(self.cases)
            for route in self.planned[index]
            if (index, route) in self.timings or route in self.gated[index]
            for row in proof_rows(
                case, route, self.timings.get((index, route), Timings()), self.added.get((index, route), {}),
                between, device, self.gated[index],
            )
        ]  # fmt: skip


def kind_of(name: str, case: dict[str, Any]) -> Kind:
    """Rows of both routes share a spread: each is a call compared with itself."""
    return Kind(name, BASE, "call", size_class(case["elements"]))


def spreads(reported: list[tuple[dict[str, Any], Timings]]) -> Between:
    """The spread between processes of every row, given as (case, timings)."""
    return Between(
        (kind_of(name, case), np.log(timings.medians(name, BASE)).tolist())
        for case, timings in reported
        for name in EFFECTS
    )


def degrees_of_freedom(between: Between, kind: Kind, processes: int, noisy: bool) -> float | None:
    """Of a row's interval: its own, and those of the rows that lend it their spread."""
    prior = None if noisy else between.prior(kind)
    return processes - 1 + (prior.dof if prior else 0.0) if processes > 1 else None


def proof_rows(
    case: dict[str, Any], route: str, timings: Timings, added: Added, between: Between, device: str, gated: Gated
) -> list[ProofRow]:
    """One row for each name of a route in a case; where it was not timed, with the reason."""
    rows = []
    bases = timings.medians(BASE, TIME)
    for name, nominal in EFFECTS.items():
        within = timings.within(name, BASE)
        status, message = state(gated, route, within is not None, "error", timings.refused.get(name, "was not reached"))
        row = ProofRow(
            op=case["op"], route=route, device=device, dtype=case["dtype"], sample=case["sample"],
            elements=case["elements"], nominal=nominal, status=status, message=message,
        )  # fmt: skip
        if within is None or status != "ok":
            rows.append(row)
            continue
        kind = kind_of(name, case)
        logs = np.log(timings.medians(name, BASE)).tolist()
        shown = between.show(kind, within, logs)
        extra = added.get(name, [])
        true_logs = (
            [math.log(base / (base + more)) for base, more in zip(bases, extra, strict=True)] if nominal else [0.0]
        )
        rows.append(
            ProofRow(
                op=row.op, route=route, device=device, dtype=row.dtype, sample=row.sample, elements=row.elements,
                nominal=nominal, status="ok",
                median_us=float(np.median(bases)),
                added_us=float(np.median(extra)) if nominal else 0.0,
                planted=math.exp(float(np.median(true_logs))),
                **interval_keys(shown.interval, "ratio", "ratio_low", "ratio_high"),
                between=shown.own,
                band=between.band(kind, len(logs)),
                dof=degrees_of_freedom(between, kind, len(logs), shown.noisy is not None),
                pairs=sum(map(len, timings.times[name])),
                processes=len(logs),
                noisy=shown.noisy is not None,
                noisy_because=shown.noisy,
            )
        )  # fmt: skip
    return rows


def stage(run: Run) -> None:
    """Each route against itself, in as many fresh processes as the run-time rows have."""
    plan: Plan = run.plan
    collected = Collected(run)
    if not collected.cases:
        run.pack.skip("proof", f"no route that represents a side on device {plan.device} is in this run")
        return
    worker = CaseRunner("proof", plan.device, run.log, run.caches(), TIMEOUT)
    done = 0
    try:
        for process in range(plan.processes):
            collected.process = process
            worker.run([case for case in collected.cases if case["routes"]], collected.heard, collected.lost)
            done = process + 1
    except KeyboardInterrupt:
        reason = f"interrupted after {done} of {plan.processes} processes"
        run.pack.set_rows("proof", collected.rows(plan.device), PARTIAL, reason)
        raise
    run.pack.set_rows("proof", collected.rows(plan.device), RAN)


STAGES = (Stage("proof", 66, estimate, stage, ("proof",)),)
