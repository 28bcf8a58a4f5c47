"""Run time and roofline in the measuring process."""

from __future__ import annotations

import functools
import itertools
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from evidence.core import honesty, quiet
from evidence.core.calls import Judge, SampledJudge, honest, prepare, synchroniser
from evidence.core.device_clock import DeviceClock
from evidence.core.json_lines import say
from evidence.core.sampling import Budget, Call, Visit, interleave, plan_visit
from evidence.sections.runtime import roofline
from shared_tests.routes import all_routes
from shared_tests.spec import BenchSample, OpSpec, all_specs

LONG_CASE = 1 << 22  # elements; from here on the checks around timing are made in a run's first process only
LONGEST_CALL = 8.0  # seconds of eager PyTorch, at its first call; some twenty calls of it would take minutes
RETRY_SECONDS = 6.0  # of each process, for cases that others disturbed


class Session:
    """What one measuring process keeps from case to case."""

    retries_left = RETRY_SECONDS
    bandwidth: roofline.Bandwidth | None = None
    events: DeviceClock | None = None

    @classmethod
    def device_clock(cls, device: str) -> DeviceClock | None:
        """The GPU's own clock, where the calls run on one."""
        if device == "cuda" and cls.events is None:
            cls.events = DeviceClock(device)
        return cls.events


def repeated(spec: OpSpec, args: tuple, ready: dict[str, Call], outs: honesty.Outputs) -> dict[str, Call]:
    """The calls to be timed. An op that mutates its arguments runs on its own earlier output."""
    if not spec.mutates:
        return ready
    arguments = list(args)
    for i, out in zip(spec.mutates, outs, strict=True):
        arguments[i] = out
    return {name: functools.partial(all_routes()[name].call(spec), *arguments) for name in ready}


TOGETHER = 512 << 20  # bytes of all sets: a machine whose caches were said to be 32 MB read 134 at their speed


def equal_sets(args: tuple, moved: int) -> list[tuple]:
    """`args` and copies of them, together beyond every cache, where a call moves `moved` bytes."""

    def copied() -> tuple:
        return tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)

    return [args, *(copied() for _ in range(-(-TOGETHER // moved) - 1))]


def in_turn(sets: list[tuple], ready: dict[str, Call], outs: honesty.Outputs) -> dict[str, Call]:
    """The calls to be timed, each on the next of the sets of arguments."""

    def round_and_round(call: Any) -> Call:
        # What a route's own partial holds comes first: Python makes one partial of two.
        before = call.args[: len(call.args) - len(sets[0]) - len(outs)]
        own = [functools.partial(call.func, *before, *args, *outs, **call.keywords) for args in sets]
        following = itertools.cycle(own).__next__
        return lambda: following()()

    return {name: round_and_round(call) for name, call in ready.items()}


def timed(
    ready: dict[str, Call],
    budget: Budget,
    baseline: str | None,
    sync: Call,
    events: DeviceClock | None = None,
    planned: dict[str, tuple[int, bool]] | None = None,
) -> tuple[dict[str, list[float]], Any]:
    """Times by route; how many cores others used meanwhile (`others`), and the seconds that sampling took (`sampled`).

    `planned` holds the visits of an earlier process, as (calls, warm) by route; those that were used are reported
    (`visits`) where wall time is the clock. Where others used many cores it is done once more, after a wait; the less
    disturbed one counts, the other one stays in the raw samples.
    """
    before = quiet.Load.now()
    visit_of = events.visit if events else None
    visits = {name: Visit(*plan) for name, plan in (planned or {}).items()}
    if visit_of is None:
        visits = {name: visits.get(name) or plan_visit(call, sync) for name, call in ready.items()}
    times = interleave(ready, budget, baseline, sync, visit_of, visits)
    now = quiet.Load.now()
    others = now.others_since(before)
    sampled: dict[str, Any] = {"sampled": now.wall - before.wall}
    if visit_of is None:
        sampled["visits"] = {name: (visit.calls, visit.warm) for name, visit in visits.items()}
    if others is None or others < quiet.DISTURBED or Session.retries_left < now.wall - before.wall:
        return times, {"others": others, **sampled}
    quiet.wait()
    again = quiet.Load.now()
    second = interleave(ready, budget, baseline, sync, visit_of, visits)
    end = quiet.Load.now()
    Session.retries_left -= end.wall - now.wall
    others_again = end.others_since(again)
    assert others_again is not None
    if others_again < others:
        return second, {"others": others_again, "disturbed": {"others": others, "times": times}, **sampled}
    return times, {"others": others, "disturbed": {"others": others_again, "times": second}, **sampled}


def too_long(spec: OpSpec, args: tuple, sync: Call) -> str | None:
    """Why a case is left out, where eager PyTorch takes very long for it: float16 products on most CPUs, 7 s each."""
    begin = time.perf_counter()
    spec.yardstick(*args)
    sync()
    if (seconds := time.perf_counter() - begin) <= LONGEST_CALL:
        return None
    return f"one call of eager PyTorch takes {seconds:.1f} s here; cases above {LONGEST_CALL:g} s are left out"


def roof_of(sample: BenchSample, moved: int, outs: honesty.Outputs) -> dict[str, Any]:
    """Bytes read for each one written, the working set, and the roof for it as it is now, where it is measured."""
    written = sum(out.numel() * out.element_size() for out in outs)
    facts: dict[str, Any] = {"reads": roofline.reads_per_write(moved - written, written)}
    if Session.bandwidth is not None:
        facts["set"] = max(moved, roofline.LARGEST) if sample.in_turn else moved
        facts["roof"] = Session.bandwidth.measure(facts["set"], facts["reads"])
    return facts


def run_case(case: dict[str, Any], device: str) -> None:
    """Every route of a case in each of its modes: checked, timed between two readings of its roof, checked again.

    With `reference` in the case, a file that the first process writes, results are compared with that in some elements,
    and only the first process makes the checks around timing. `until` is the time, in seconds since the epoch, from
    which on a case is left to the processes that have measured it. `visits` holds by mode how the first process timed
    each route.
    """
    if time.time() > case.get("until", math.inf):
        return
    spec = all_specs()[case["op"]]
    sample: BenchSample = next(s for s in spec.bench_samples if s.id == case["sample"])
    dtype = getattr(torch, case["dtype"])
    args = sample.make(dtype, device)
    cost = spec.cost(*args)
    first_process = case.get("first", True)
    sync = synchroniser(device)
    key = {k: case[k] for k in ("op", "sample", "dtype")}
    # A case that the first process has left out does not reach the others.
    if first_process and (why := too_long(spec, args, sync)):
        say(case=key, mode=case["modes"][0], times={}, refused={"eager": why}, first={}, left_out=True)
        return
    judge: Judge | SampledJudge
    if "reference" in case:
        judge = SampledJudge(spec, args, sample.elements, Path(case["reference"]))
        checked = first_process
    else:
        judge = Judge(spec, args, sample.elements, whole=first_process)
        checked = first_process or sample.elements < LONG_CASE
    sets = equal_sets(args, cost.bytes) if sample.in_turn else []
    for mode in case["modes"]:
        routes = case["routes"] if mode == "call" else case["kernel_routes"]
        outs = spec.empty_outputs(*args) if mode == "kernel" or spec.mutates else ()
        ready, refused, first = prepare(spec, args, judge, routes, mode, outs)
        if checked:
            honest(spec, args, ready, outs, refused)
        baseline = "eager" if "eager" in ready else None
        events = Session.device_clock(device) if mode == "kernel" else None
        calls = in_turn(sets, ready, outs) if sample.in_turn else repeated(spec, args, ready, outs)
        more = roof_of(sample, cost.bytes, outs) if mode == "kernel" else {}
        planned = case.get("visits", {}).get(mode)
        times, load = timed(calls, Budget(**case["budget"]), baseline, sync, events, planned) if ready else ({}, {})
        if checked and ready:
            used = {name: (call, outs) for name, call in ready.items()}
            wrong = honesty.follows(spec, used, args, judge.allowed(outs or spec.empty_outputs(*args)))
            refused |= wrong
            times = {name: values for name, values in times.items() if name not in wrong}
        if "roof" in more:
            if (load.get("others") or 0.0) > quiet.DISTURBED:
                quiet.wait(1.0)  # a roof that others held down is none
            after = roof_of(sample, cost.bytes, outs)["roof"]
            more["beside"] = statistics.mean(roof["typical"] for roof in (more["roof"], after))
            more["roof"] = max(more["roof"], after, key=lambda roof: roof["gb_per_s"])
        say(case=key, mode=mode, times=times, refused=refused, first=first, elements=sample.elements,
            bytes=cost.bytes, flops=cost.flops, **load, **more)  # fmt: skip


def run_roofline(case: dict[str, Any], device: str) -> None:
    """What this process can move and multiply at most; later cases add their own working sets."""
    sync = synchroniser(device)
    quiet.wait()
    Session.bandwidth = roofline.Bandwidth(case["library"], device, sync, Session.device_clock(device))
    ladder = [Session.bandwidth.measure(moved, 1) for moved in roofline.LADDER]
    say(roofline=True, copies=ladder, products=[*roofline.matmul(device, sync), *Session.bandwidth.registers()])


RUNNERS = {"runtime": run_case, "roofline": run_roofline}
