"""Compares every op of the given routes with eager PyTorch, in an environment in which only a wheel is installed.

``python -m shared_tests.wheel_child cpp`` prints what was compared and exits with 1 if a result is wrong.
"""

from __future__ import annotations

import shutil
import sys

import torch

from shared_tests.accuracy import expected, mismatch
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs

COMPILERS = ("c++", "g++", "gcc", "cc", "clang++", "clang", "nvcc", "ninja", "mojo")


def wrong_results(route_name: str) -> tuple[int, list[str]]:
    """The number of calls on a route, functional and into existing outputs, and a line for each wrong result."""
    route = all_routes()[route_name]
    calls, messages = 0, []
    for spec in all_specs().values():
        dtype = torch.float32 if torch.float32 in spec.dtypes else spec.dtypes[0]
        functional, out = route.functional(spec), route.out(spec)
        for sample in spec.samples(dtype, "cpu"):
            reference = expected(spec, sample.args)
            results = [functional(*sample.args)]
            if out is not None:
                outputs = spec.empty_outputs(*sample.args)
                out(*sample.args, *outputs)
                results.append(outputs if len(outputs) > 1 else outputs[0])
            calls += len(results)
            messages += [
                f"{route_name} {spec.name} {sample.id}: {message}"
                for r in results
                if (message := mismatch(spec, reference, r))
            ]
    return calls, messages


def main(routes: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    if compilers := [c for c in COMPILERS if shutil.which(c)]:
        print(f"compilers on PATH: {', '.join(compilers)}")
        return 1
    failed = False
    for route in routes:
        calls, messages = wrong_results(route)
        print(f"{route}: {calls} calls of {len(all_specs())} ops, {len(messages)} wrong", *messages, sep="\n")
        failed |= bool(messages) or calls == 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
