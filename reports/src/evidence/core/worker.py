"""The measuring process: takes a job as JSON on its command line, writes one JSON line a finished case.

A process of its own, so that a crash or a hang costs one case, and so that several fresh processes give the spread
between processes. Lines on standard output begin with `@@ `; anything else is a library's own chatter.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import statistics
import sys
import time
from typing import Any

import torch

from evidence.core import clock, honesty, quiet
from evidence.core.device_clock import DeviceClock
from evidence.core.sampling import Budget, Call, interleave
from evidence.sections.dispatch import calls as dispatch_lab
from evidence.sections.dispatch import ladder, pools, waterfall
from evidence.sections.runtime import roofline
from shared_tests.accuracy import expected, left_open, mismatch
from shared_tests.routes import all_routes
from shared_tests.spec import BenchSample, OpSpec, all_specs
from shared_tests.tensors import big_randn, randn

CHECKED_IN_FLOAT64 = 1 << 20  # elements; above, the float64 reference would take longer than the timing
RESULTS_IN_FLOAT64 = 1 << 23  # unless the results are no more than these


def say(**line: Any) -> None:
    print("@@ " + json.dumps(line), flush=True)


class Judge:
    """Holds results on a benchmark's own arguments to the spec; what they are held to is computed once.

    `whole`: large results are compared in every element, else in some 65,536 of each output.
    """

    def __init__(self, spec: OpSpec, args: tuple, elements: int, whole: bool = True):
        self.spec, self.whole = spec, whole
        # Long sums of few results differ by more than the few rounding steps that large results are held to.
        few = max(y.numel() for y in spec.empty_outputs(*args)) <= RESULTS_IN_FLOAT64
        self.want = expected(spec, args) if few or elements <= CHECKED_IN_FLOAT64 else None
        self.eager = () if self.want else self._seen(spec.results(spec.yardstick(*args)))

    def _seen(self, outs: honesty.Outputs) -> honesty.Outputs:
        return outs if self.whole else honesty.sample(outs, honesty.SAMPLED)

    def wrong(self, value: Any, contiguous: bool) -> str | None:
        """What is wrong with a result, or None. Large ones are held to eager's, within four rounding steps."""
        if self.want:
            return mismatch(self.spec, self.want, value, contiguous)
        for y, eager in zip(self._seen(self.spec.results(value)), self.eager, strict=True):
            if not contiguous and left_open(self.spec, y):
                continue
            step = 4 * torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0
            for begin in range(0, y.numel(), 1 << 24):
                a = y.view(-1)[begin : begin + (1 << 24)].float()
                b = eager.reshape(-1)[begin : begin + (1 << 24)].float()
                allowed = step * b.abs().max().item()
                if not (error := (a - b).abs().max().item()) <= allowed:
                    return f"{self.spec.name}: differs from eager by {error:.3e}, allowed {allowed:.3e}"
        return None

    def allowed(self, outs: honesty.Outputs) -> list[float]:
        """Error per output that two right results may have between them."""
        if self.want:
            return [2 * error for error in self.want.allowed]
        steps = [8 * torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0 for y in outs]
        return [step * eager.abs().max().item() for step, eager in zip(steps, self.eager, strict=True)]


def synchroniser(device: str) -> Call:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def prepare(
    spec: OpSpec, args: tuple, judge: Judge, routes: list[str], mode: str, outs: honesty.Outputs = ()
) -> tuple[dict[str, Call], dict[str, str], dict[str, float]]:
    """Calls ready to be timed, by route; reasons of those that are not; seconds of each first call.

    `outs`: what the calls write into, in mode `kernel`, and in both modes for an op that writes its arguments: each
    call gives them their values first, which `repeated` leaves out.
    """
    ready: dict[str, Call] = {}
    refused: dict[str, str] = {}
    first: dict[str, float] = {}
    for name in routes:
        route = all_routes()[name]
        try:
            call = route.out(spec) if mode == "kernel" or spec.mutates else route.functional(spec)
            if call is None:
                continue
            honesty.poison(outs)
            begin = time.perf_counter()
            value = call(*args, *outs)
            first[name] = time.perf_counter() - begin
            if wrong := judge.wrong(outs or value, route.ours):
                refused[name] = wrong
                continue
            del value
        except Exception as error:  # whatever a route raises is a result of the measurement
            refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            continue
        ready[name] = functools.partial(call, *args, *outs)
    return ready, refused, first


def repeated(spec: OpSpec, args: tuple, ready: dict[str, Call], outs: honesty.Outputs) -> dict[str, Call]:
    """The calls to be timed. Those of an op that writes its arguments work on what they have written before."""
    if not spec.mutates:
        return ready
    given = list(args)
    for i, out in zip(spec.mutates, outs, strict=True):
        given[i] = out
    return {name: functools.partial(all_routes()[name].call(spec), *given) for name in ready}


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


LONG_CASE = 1 << 22  # elements; from here on the checks around timing are made in a run's first process only
LONGEST_CALL = 8.0  # seconds of eager PyTorch, at its first call; some twenty calls of it would take minutes
RETRY_SECONDS = 6.0  # of each process, for cases that others disturbed
KEPT_BLOCK = (32 << 20) - (64 << 10)  # bytes


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


def settle_allocator() -> None:
    """Bring glibc's allocator to where every long-lived program ends up.

    Freeing one block just below 32 MiB raises its thresholds for good: blocks up to there then stay with the process.
    Before, whether an output of 1 to 32 MB costs thousands of page faults depends on what was freed earlier, and a
    16 MB result took 0.6 or 3 ms, for every route alike, from one process to the next.
    """
    torch.empty(KEPT_BLOCK, dtype=torch.uint8)


def honest(spec: OpSpec, args: tuple, ready: dict[str, Call], outs: honesty.Outputs, refused: dict[str, str]) -> None:
    """Take calls that return early, write later or hand out old memory out of `ready`, with the reason."""
    like = outs or spec.empty_outputs(*args)
    for name, call in list(ready.items()):
        # Eager's own results may be views of its inputs; it is the yardstick, and the judge has seen it.
        if name != "eager" and (wrong := honesty.complete_at_return(spec, call, outs, args, like)):
            refused[name] = wrong
            del ready[name]


def timed(
    ready: dict[str, Call], budget: Budget, baseline: str | None, sync: Call, events: DeviceClock | None = None
) -> tuple[dict[str, list[float]], Any]:
    """Times by route; how many cores others used meanwhile (`others`), and the seconds that sampling took (`sampled`).

    Where others used many it is done once more, after a wait; the less disturbed one counts, the other one stays in the
    raw samples.
    """
    before = quiet.Load.now()
    visit_of = events.visit if events else None
    times = interleave(ready, budget, baseline, sync, visit_of)
    now = quiet.Load.now()
    others = now.others_since(before)
    sampled = {"sampled": now.wall - before.wall}
    if others is None or others < quiet.DISTURBED or Session.retries_left < now.wall - before.wall:
        return times, {"others": others, **sampled}
    quiet.wait()
    again = quiet.Load.now()
    second = interleave(ready, budget, baseline, sync, visit_of)
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
    """Every route of a case in each of its modes: checked, timed between two readings of its roof, checked again."""
    spec = all_specs()[case["op"]]
    sample: BenchSample = next(s for s in spec.bench_samples if s.id == case["sample"])
    dtype = getattr(torch, case["dtype"])
    args = sample.make(dtype, device)
    cost = spec.cost(*args)
    first_process = case.get("first", True)
    sync = synchroniser(device)
    key = {k: case[k] for k in ("op", "sample", "dtype")}
    if why := too_long(spec, args, sync):
        say(case=key, mode=case["modes"][0], times={}, refused={"eager": why}, first={}, left_out=True)
        return
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
        times, load = timed(calls, Budget(**case["budget"]), baseline, sync, events) if ready else ({}, {})
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


def run_dispatch(case: dict[str, Any], device: str) -> None:
    """Cost of a call at 16 elements, cell by cell; see `dispatch_lab`."""
    spec = all_specs()[case["op"]]
    args = tuple(randn((dispatch_lab.ELEMENTS,), torch.float32, device, seed=n) for n in spec.tensor_args)
    judge = Judge(spec, args, dispatch_lab.ELEMENTS)
    ready, refused, _ = prepare(spec, args, judge, case["routes"], "call")
    for cell in case["cells"]:
        if cell["openmp"] == "active" and torch.get_num_threads() == 1:
            message = dict.fromkeys(ready, "PyTorch has one thread here: no worker can be active")
            say(cell=cell, times={}, refused=refused | message, first={}, tensors=len(args))
            continue
        calls, missing = (ready, {}) if cell["mode"] != "compiled" else in_compiled_function(ready, args, judge)
        times = dispatch_lab.measure(cell, calls, Budget(**case["budget"]), synchroniser(device))
        say(cell=cell, times=times, refused=refused | missing, first={}, tensors=len(args))


def in_compiled_function(ready: dict[str, Call], args: tuple, judge: Judge) -> tuple[dict[str, Call], dict[str, str]]:
    """Each route's call inside a torch.compile'd function; `eager` stays as it is, the yardstick of the ratios."""
    calls: dict[str, Call] = {"eager": ready["eager"]} if "eager" in ready else {}
    refused: dict[str, str] = {}
    for name, call in ready.items():
        if name == "eager":
            continue
        inner = getattr(call, "func", call)
        try:
            function = inner if name == "compile" else dispatch_lab.compiled(inner)
            if wrong := judge.wrong(function(*args), all_routes()[name].ours):
                refused[name] = wrong
                continue
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        calls[name] = functools.partial(function, *args)
    return calls, refused


def run_waterfall(case: dict[str, Any], device: str) -> None:
    found = waterfall.bench(case)
    times = waterfall.measure(found, Budget(**case["budget"]))
    say(waterfall=True, times=times, refused=found.refused, first={})


def run_crossover(case: dict[str, Any], device: str) -> None:
    spec = all_specs()[case["op"]]
    for elements in case["elements"]:
        args = ladder.make(spec, elements, getattr(torch, case["dtype"]), device)
        count = ladder.elements_of(args)
        ready, refused, _ = prepare(spec, args, Judge(spec, args, count), case["routes"], "call")
        times = interleave(ready, Budget(**case["budget"]), "eager", synchroniser(device))
        say(crossover=count, times=times, refused=refused, first={})


def run_threads(case: dict[str, Any], device: str) -> None:
    spec = all_specs()[case["op"]]
    routes = [all_routes()[name] for name in case["routes"]]
    with pools.narrowed(case["narrow"]):
        for route in routes:
            if route.side == "mojo":
                route.unavailable()  # imports it: MAX starts its workers
    mojo = all_routes()["mojo"].out(spec) if "mojo" in case["routes"] else None
    for elements in case["elements"]:
        args = tuple(big_randn((elements,), getattr(torch, case["dtype"]), device) for _ in spec.tensor_args)
        ready, refused, _ = prepare(spec, args, Judge(spec, args, elements), case["routes"], "call")
        others = {name: pools.other_pool(name, mojo) for name in ready}
        for pattern in ("alone", "alternating"):
            times = pools.measure(ready, others, pattern, Budget(**case["budget"]))
            say(threads=[elements, pattern], times=times, refused=refused, first={})


RUNNERS = {
    "runtime": run_case,
    "roofline": run_roofline,
    "dispatch": run_dispatch,
    "waterfall": run_waterfall,
    "crossover": run_crossover,
    "threads": run_threads,
}


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        clock.check()
    except clock.ClockError as error:
        say(fatal=str(error))
        os._exit(3)
    settle_allocator()
    for case in job["cases"]:
        say(begin=case)
        RUNNERS[case["kind"]](case, job["device"])
    sys.stdout.flush()
    # Everything was said; MAX sometimes aborts at interpreter exit (26.7: «terminate called without an active
    # exception»), which would read as the loss of the last case.
    os._exit(0)


if __name__ == "__main__":
    main()
