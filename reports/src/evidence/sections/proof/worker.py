"""A route under several names in one process, timed as the routes of a run-time row are."""

from __future__ import annotations

import functools
import statistics
from typing import Any

import torch

from evidence.core.calls import synchroniser
from evidence.core.json_lines import say
from evidence.core.sampling import Budget, interleave, plan_visit
from evidence.sections.proof.planted import BASE, EFFECTS, added, followed, nothing, steps_for
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs

VISITS = 5  # whose median says how much work is a share of the call


def run_proof(case: dict[str, Any], device: str) -> None:
    """Reports for each route the times by name, and the microseconds that were added, measured right after them.

    The results of these calls are checked where the run-time rows check them; a route that fails there is not here.
    """
    spec = all_specs()[case["op"]]
    sample = next(sample for sample in spec.bench_samples if sample.id == case["sample"])
    args = sample.make(getattr(torch, case["dtype"]), device)
    sync = synchroniser(device)
    for route in case["routes"]:
        try:
            bare = functools.partial(all_routes()[route].functional(spec), *args)
            bare()
        except Exception as error:  # whatever a route raises is a result of the measurement
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            say(route=route, times={}, refused=dict.fromkeys(EFFECTS, why), first={})
            continue
        call = followed(bare, 0)
        visit = plan_visit(call, sync)
        usual = statistics.median(visit.time(call, sync) / visit.calls / 1000 for _ in range(VISITS))
        steps = {name: steps_for(share * usual) for name, share in EFFECTS.items()}
        calls = {BASE: call} | {name: followed(bare, count) for name, count in steps.items()}
        times = interleave(calls, Budget(**case["budget"]), BASE, sync)
        planted = added({name: followed(nothing, count) for name, count in steps.items() if EFFECTS[name]})
        say(route=route, times=times, refused={}, first={}, added=planted)


RUNNERS = {"proof": run_proof}
