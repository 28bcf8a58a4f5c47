"""What the measuring processes reported of run time, and the rows that it gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from msgspec.structs import replace

from evidence.core.between import Between, Kind, Shown
from evidence.core.gate import close
from evidence.core.pack import write_raw
from evidence.core.row import Base, Mode
from evidence.core.stage import Run
from evidence.core.thresholds import size_class
from evidence.core.timings import TIME, Gated, Timings, interval_keys
from evidence.sections.runtime import roofline
from evidence.sections.runtime.plan import case_seconds, runtime_cases
from evidence.sections.runtime.roofline import Roof
from evidence.sections.runtime.row import NoiseRow, RuntimeRow, SizeClass, Status
from shared_tests.routes import all_routes

BASES = ("eager", "cpp")


class Collected:
    """What the processes reported, by case and mode; gives the rows of `runtime`, `noise` and `roofline`."""

    def __init__(self, run: Run):
        self.run, self.plan = run, run.plan
        self.cases = runtime_cases(run.plan)
        self.closed = [close(run, case) for case in self.cases]
        self.timings: dict[tuple[int, str], Timings] = {}
        self.visits: dict[int, dict[str, Any]] = {}
        self.roof = roofline.Roof(self.plan.device)
        self.process = self.index = -1
        self.sampled = self.compiled = 0.0

    def heard(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            case = line["begin"]
            if case["kind"] == "roofline":
                self.run.tell(f"roofline (process {self.process + 1} of {self.plan.processes})")
                return
            self.index = next(i for i, known in enumerate(self.cases) if _names(known) == _names(case))
            name = f"{case['op']} {case['sample']} {case['dtype']}"
            process = f"process {self.process + 1} of {self.plan.processes}"
            self.run.tell(f"time: {name} ({process})", case_seconds(self.plan, case))
            return
        self.run.raw.append({"process": self.process, **line})
        if "roofline" in line:
            self.roof.add(line["copies"], line["products"])
            return
        self.sampled += line.get("sampled", 0.0)
        jit = {name for name, route in all_routes().items() if route.jit}
        self.compiled += sum(seconds for route, seconds in line["first"].items() if route in jit)
        if "visits" in line:
            self.visits.setdefault(self.index, {}).setdefault(line["mode"], line["visits"])
        if "roof" in line:
            self.roof.add([line["roof"]])
        self.timings.setdefault((self.index, line["mode"]), Timings()).add(line)

    def timed(self) -> list[dict[str, Any]]:
        """The cases without those that a process has left out: another one would find them as long.

        Later processes time as many calls in a row as the first one: planning them takes a fifth of their time.
        """
        gone = {index for (index, _), entry in self.timings.items() if entry.left_out}
        return [
            {**case, "visits": self.visits.get(index, {})} for index, case in enumerate(self.cases) if index not in gone
        ]

    def lost(self, case: dict[str, Any], reason: str) -> None:
        if case["kind"] == "roofline":
            self.roof.message = f"worker: {reason}"
            return
        index = next(i for i, known in enumerate(self.cases) if _names(known) == _names(case))
        for mode in case["modes"]:
            entry = self.timings.setdefault((index, mode), Timings())
            for route in case["routes"]:
                entry.refused.setdefault(route, f"worker: {reason}")

    def record(self, status: str, reason: str | None) -> None:
        """Put what was measured so far into the pack."""
        done = sorted(self.timings.items())
        between = spreads((self.cases[index], mode, entry) for (index, mode), entry in done)
        rows = [
            row
            for (index, mode), entry in done
            for row in runtime_rows(
                self.cases[index], mode, entry, self.plan.device, self.closed[index], between, self.roof
            )
        ]
        pack = self.run.pack
        pack.set_rows("runtime", rows, status, reason)
        processes = max((len(runs) for _, entry in done for runs in entry.times.values()), default=0)
        pack.set_rows("noise", noise_rows(between, self.plan.device, processes), status, reason)
        if self.roof.copies:
            pack.set_rows("roofline", self.roof.rows(), status, reason)
        else:
            pack.skip("roofline", self.roof.message or reason or "no process measured it")
        write_raw(self.run.folder, self.run.raw)


def _names(case: dict[str, Any]) -> tuple[str, str, str]:
    return case["op"], case["sample"], case["dtype"]


def spreads(measured: Iterable[tuple[dict[str, Any], str, Timings]]) -> Between:
    """The spread between processes of every row of a run, given as (case, mode, timings)."""
    return Between(
        (Kind(route, base, mode, size_class(case["elements"])), np.log(timings.medians(route, base)).tolist())
        for case, mode, timings in measured
        for route in timings.times
        for base in (TIME, *BASES)
    )


def noise_rows(between: Between, device: str, processes: int) -> list[NoiseRow]:
    """The rows of the table `noise`: every kind of ratio that was measured."""
    rows = []
    for kind, entries in between.rows.items():
        if kind.base == TIME:
            continue
        prior = between.prior(kind)
        rows.append(
            NoiseRow(
                device=device,
                route=kind.route,
                base=cast(Base, kind.base),
                mode=cast(Mode, kind.mode),
                size_class=cast(SizeClass, kind.size_class),
                rows=len(entries),
                dof=prior.pooled_dof if prior else None,
                sd=prior.pooled if prior else None,
                prior_sd=prior.sd if prior else None,
                prior_dof=prior.dof if prior else None,
                band=between.band(kind, processes),
                pooled_over=prior.over if prior else "too few rows to tell",
                pooled_rows=prior.rows if prior else 0,
                processes=processes,
            )
        )
    return rows


def runtime_rows(
    case: dict[str, Any],
    mode: str,
    timings: Timings,
    device: str,
    gated: Gated,
    between: Between,
    roof: Roof | None = None,
) -> list[RuntimeRow]:
    """Rows of one case and mode; routes that were not timed keep a row with the reason.

    `between` holds the spreads of all the run's rows (`spreads`), `roof` what the machine can do at most.
    """
    rows = []
    routes = case["routes"] if mode == "call" else case["kernel_routes"]
    for route in [*routes, *[g for g in gated if g not in routes and mode == "call"]]:
        shown: dict[str, Shown] = {}
        for base in (TIME, *BASES):
            kind = Kind(route, base, mode, size_class(case["elements"]))
            if (figure := _shown(timings, route, base, kind, between)) is not None:
                shown[base] = figure
        intervals = {base: figure.interval for base, figure in shown.items()}
        time = intervals.get(TIME)
        status: Status
        message: str | None
        status, message = gated.get(route, ("ok", None))
        if status == "ok" and time is None:
            if route not in timings.refused:
                continue  # the route has no such mode
            message = timings.refused[route]
            status = "failed correctness" if message.startswith(case["op"]) else "error"
            if timings.left_out:
                status = "left out"
        judged = [base for base in BASES if base in shown] or list(shown)
        noisy = [because for base in judged if (because := shown[base].noisy)]
        moved, flops = timings.facts.get("bytes"), timings.facts.get("flops")
        row = RuntimeRow(
            op=case["op"],
            route=route,
            device=device,
            dtype=case["dtype"],
            sample=case["sample"],
            mode=cast(Mode, mode),
            status=status,
            message=message,
            label=case["sample"],
            **interval_keys(time, "median_us", "ci_low_us", "ci_high_us"),
            **interval_keys(intervals.get("eager"), "ratio_to_eager", "ratio_low", "ratio_high"),
            **interval_keys(intervals.get("cpp"), "ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high"),
            between_eager=shown["eager"].own if "eager" in shown else None,
            between_cpp=shown["cpp"].own if "cpp" in shown else None,
            elements=case["elements"],
            bytes=moved,
            flops=flops,
            gb_per_s=moved / time.mid / 1e3 if time and moved else None,
            pairs=sum(map(len, timings.times.get(route, []))) or None,
            processes=len(timings.medians(route, TIME)) or None,
            noisy=bool(noisy),
            noisy_because="; ".join(dict.fromkeys(noisy)) or None,
        )
        if mode == "kernel" and roof is not None and time is not None and moved:
            facts = timings.facts
            shares = timings.of_copy(route)
            held = roof.hold(
                time, moved, facts.get("reads", 1.0), flops or 0, case["dtype"], facts.get("set"),
                float(np.median(shares)) if shares else None,
            )  # fmt: skip
            row = replace(row, **held)
        rows.append(row)
    return rows


def _shown(timings: Timings, route: str, base: str, kind: Kind, between: Between) -> Shown | None:
    within = timings.within(route, base)
    return None if within is None else between.show(kind, within, np.log(timings.medians(route, base)).tolist())
