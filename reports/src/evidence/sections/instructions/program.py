"""Counts instructions in a process of its own: `python -m evidence.sections.instructions.program JOB`.

JOB is JSON: `tool`, and `cases` with op, sample, dtype and routes. Lines of JSON report the calls in order. Callgrind
writes a file at each of its dumps, which `callgrind.py` reads; perf's counts are in the lines.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

CALLS = 100
WARM_CALLS = 100  # the interpreter specialises its bytecode during the first ones
REPEATS = 7  # of perf's counts, whose median leaves out interrupts and the garbage collector

Call = Callable[[], object]


def without_max() -> None:
    """Let `mojo_ops` find no MAX: its engine would be loaded for routes that do not use it."""
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "max" else find(name, *rest)


def looped(call: Call) -> None:
    for _ in range(CALLS):
        call()


def by_perf(call: Call) -> float:
    """Instructions of `CALLS` calls."""
    from evidence.sections.instructions.perf import Counter

    counter = Counter()
    counts = []
    for _ in range(REPEATS):
        counter.start()
        looped(call)
        counts.append(counter.stop())
    return statistics.median(counts)


def by_callgrind(call: Call) -> None:
    """The same, dumped by callgrind, to which PyTorch has the client requests."""
    import torch

    torch._C._valgrind_toggle()
    looped(call)
    torch._C._valgrind_toggle_and_dump_stats()


def main() -> None:
    job = json.loads(sys.argv[1])
    without_max()
    import gc

    import torch

    from evidence.core.json_lines import say
    from shared_tests.routes import all_routes
    from shared_tests.spec import all_specs

    torch.set_num_threads(1)  # the whole call is then in the thread that is counted
    count: Callable[[Call], Any] = by_perf if job["tool"] == "perf" else by_callgrind
    gc.disable()
    say(begin=None)
    nothing = functools.partial(bool)
    looped(nothing)
    say(case=None, count=count(nothing))
    for case in job["cases"]:
        spec = all_specs()[case["op"]]
        sample = next(sample for sample in spec.bench_samples if sample.id == case["sample"])
        args = sample.make(getattr(torch, case["dtype"]), "cpu")
        for route in case["routes"]:
            key = {"op": case["op"], "route": route}
            say(begin=key)  # a crash is that of the route which was begun last
            try:
                call = functools.partial(all_routes()[route].functional(spec), *args)
                for _ in range(WARM_CALLS):
                    call()
            except Exception as error:  # whatever a route raises is a result
                say(case=key, error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
                continue
            say(case=key, count=count(call))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
