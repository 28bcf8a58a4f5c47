"""The cost of a call in the measuring process: cells, waterfall, ladder of sizes, thread pools."""

from __future__ import annotations

import functools
from typing import Any

import torch

from evidence.core.calls import Judge, prepare, synchroniser
from evidence.core.json_lines import say
from evidence.core.sampling import Budget, Call, interleave
from evidence.sections.dispatch import calls as dispatch_lab
from evidence.sections.dispatch import ladder, pools, waterfall
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs
from shared_tests.tensors import big_randn, randn


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
    bench = waterfall.bench(case)
    times = waterfall.measure(bench, Budget(**case["budget"]))
    say(waterfall=True, times=times, refused=bench.refused, first={})


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
    "dispatch": run_dispatch,
    "waterfall": run_waterfall,
    "crossover": run_crossover,
    "threads": run_threads,
}
