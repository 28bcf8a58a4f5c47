"""The measuring process: takes a job as JSON on its command line, writes one JSON line a finished case.

A process of its own, so that a crash or a hang costs one case, and so that several fresh processes give the spread
between processes. Lines on standard output begin with `@@ `; anything else is a library's own chatter.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import sys
import time
from typing import Any

import torch

from evidence.measure import dispatch_lab, ladder, pools, waterfall
from evidence.measure.sampling import Budget, Call, interleave
from shared_tests.accuracy import expected, mismatch
from shared_tests.routes import all_routes
from shared_tests.spec import BenchSample, OpSpec, all_specs
from shared_tests.tensors import big_randn, randn

CHECKED_IN_FLOAT64 = 1 << 23  # elements; above, the float64 reference would take longer than the timing


def say(**line: Any) -> None:
    print("@@ " + json.dumps(line), flush=True)


class Judge:
    """Holds results on a benchmark's own arguments to the spec; what they are held to is computed once."""

    def __init__(self, spec: OpSpec, args: tuple, elements: int):
        self.spec = spec
        self.want = expected(spec, args) if elements <= CHECKED_IN_FLOAT64 else None
        self.eager = () if self.want else spec.results(spec.eager(*args))

    def wrong(self, value: Any, contiguous: bool) -> str | None:
        """What is wrong with a result, or None. Large ones are held to eager's, within four rounding steps."""
        if self.want:
            return mismatch(self.spec, self.want, value, contiguous)
        for y, eager in zip(self.spec.results(value), self.eager, strict=True):
            step = 4 * torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0
            for begin in range(0, y.numel(), 1 << 24):
                a = y.view(-1)[begin : begin + (1 << 24)].float()
                b = eager.reshape(-1)[begin : begin + (1 << 24)].float()
                allowed = step * b.abs().max().item() + self.spec.absolute_slack.get(y.dtype, 0)
                if not (error := (a - b).abs().max().item()) <= allowed:
                    return f"{self.spec.name}: differs from eager by {error:.3e}, allowed {allowed:.3e}"
        return None


def synchroniser(device: str) -> Call:
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def prepare(
    spec: OpSpec, args: tuple, judge: Judge, routes: list[str], mode: str
) -> tuple[dict[str, Call], dict[str, str], dict[str, float]]:
    """Calls ready to be timed, by route; reasons of those that are not; seconds of each first call."""
    ready: dict[str, Call] = {}
    refused: dict[str, str] = {}
    first: dict[str, float] = {}
    outs = spec.empty_outputs(*args) if mode == "kernel" else ()
    for name in routes:
        route = all_routes()[name]
        try:
            call = route.functional(spec) if mode == "call" else route.out(spec)
            if call is None:
                continue
            for out in outs:
                out.zero_()
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


def run_case(case: dict[str, Any], device: str) -> None:
    spec = all_specs()[case["op"]]
    sample: BenchSample = next(s for s in spec.bench_samples if s.id == case["sample"])
    dtype = getattr(torch, case["dtype"])
    args = sample.make(dtype, device)
    cost = spec.cost(*args)
    judge = Judge(spec, args, sample.elements)
    for mode in case["modes"]:
        routes = case["routes"] if mode == "call" else case["kernel_routes"]
        ready, refused, first = prepare(spec, args, judge, routes, mode)
        budget = Budget(**case["budget"])
        times = interleave(ready, budget, "eager" if "eager" in ready else None, synchroniser(device)) if ready else {}
        key = {k: case[k] for k in ("op", "sample", "dtype")}
        say(case=key, mode=mode, times=times, refused=refused, first=first, elements=sample.elements,
            bytes=cost.bytes, flops=cost.flops)  # fmt: skip


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
    "dispatch": run_dispatch,
    "waterfall": run_waterfall,
    "crossover": run_crossover,
    "threads": run_threads,
}


def main() -> None:
    faulthandler.enable()
    job = json.loads(sys.argv[1])
    for case in job["cases"]:
        say(begin=case)
        RUNNERS[case["kind"]](case, job["device"])
    sys.stdout.flush()
    # Everything was said; MAX sometimes aborts at interpreter exit (26.7: «terminate called without an active
    # exception»), which would read as the loss of the last case.
    os._exit(0)


if __name__ == "__main__":
    main()
