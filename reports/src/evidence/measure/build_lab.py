"""Build time: what a developer waits for, each stage in a clean copy with emptied caches.

Stages that correspond stand on the same line (`kind`): clean build, build again with nothing changed, a one-line kernel
edit up to the first correct result in a fresh process (each side rebuilds the least that its build allows: C++ one
object and the link, Mojo a MEF of the one op), import and load, and the first call of an op and of a further shape,
which is where a JIT route compiles. C++ is built without ccache; Mojo with an empty MODULAR_CACHE_DIR, which then stays
warm for the no-op and the edit, as it does on a developer's machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evidence.measure.sides import SIDES, Side, clean_copy, environment
from evidence.measure.timed import Finished, run_timed

Row = dict[str, Any]
STAGES = {
    "clean": "clean build, empty caches",
    "noop": "build again, nothing changed",
    "edit": "one-line kernel edit to first correct result",
    "import_load": "import and load, fresh process",
    "first_call": "first call of an op in a dtype",
    "first_call_new_shape": "first call of a further shape",
}

CHECK = """
import sys, torch
{use}
x = torch.arange(64.0).view(8, 8); y = x.flip(0)
got = torch.ops.{namespace}.add(x, y)
want = x {sign} y
sys.exit(0 if torch.equal(got, want) else "wrong result: the edited kernel is not the one that ran")
"""

LOAD = """
import time
import torch
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs
begin = time.perf_counter()
call = all_routes()["{route}"].functional(all_specs()["{op}"])
print("@@", time.perf_counter() - begin)
"""


def row(route: str, kind: str, runs: list[tuple[float, float | None]], message: str | None = None) -> Row:
    """One row of the `build` section from (seconds, peak MB) of each repeat."""
    seconds = sorted(s for s, _ in runs)
    peaks = [p for _, p in runs if p is not None]
    middle = seconds[len(seconds) // 2] if len(seconds) % 2 else sum(seconds[len(seconds) // 2 - 1 :][:2]) / 2
    return {
        "route": route,
        "stage": STAGES[kind],
        "kind": kind,
        "status": "ok",
        "seconds_median": middle,
        "seconds_low": seconds[0],
        "seconds_high": seconds[-1],
        "peak_mb": max(peaks) if peaks else None,
        "repeats": len(runs),
        "message": message,
    }


def absent(route: str, kind: str, status: str, message: str) -> Row:
    """A row without a time, and why there is none."""
    empty = dict.fromkeys(("seconds_median", "seconds_low", "seconds_high", "peak_mb"))
    return {
        "route": route,
        "stage": STAGES[kind],
        "kind": kind,
        "status": status,
        **empty,
        "repeats": 0,
        "message": message,
    }


def lab_environment(copy: Path, caches: Path) -> dict[str, str]:
    """Sources from `copy`, caches in a folder that the caller empties, no ccache."""
    env = environment(copy, MODULAR_CACHE_DIR=str(caches / "modular"), CCACHE_DISABLE="1")
    root = Path(__file__).resolve().parents[4]
    env["PYTHONPATH"] += os.pathsep + os.pathsep.join((str(root), str(root / "reports/src")))
    return env


def side_rows(side: Side, folder: Path, repeats: int, tell: Callable[[str], None]) -> list[Row]:
    """Clean, no-op and edit rows of one side; the first failure ends it and is written on the rows that are missing."""
    runs: dict[str, list[tuple[float, float | None]]] = {"clean": [], "noop": [], "edit": []}
    for repeat in range(repeats):
        caches = folder / f"caches-{side.name}"
        shutil.rmtree(caches, ignore_errors=True)
        with clean_copy(side, folder) as copy:
            env = lab_environment(copy, caches)
            for kind in runs:
                tell(f"{side.name}: {STAGES[kind]} ({repeat + 1} of {repeats})")
                finished = _edit(side, copy, env) if kind == "edit" else side.run_build(copy, env)
                if finished.code != 0:
                    done = [row(side.name, k, r) for k, r in runs.items() if r]
                    missing = [k for k, r in runs.items() if not r]
                    return done + [absent(side.name, k, "did not build", finished.error) for k in missing]
                runs[kind].append((finished.seconds, finished.peak_mb))
        shutil.rmtree(caches, ignore_errors=True)
    return [row(side.name, kind, r) for kind, r in runs.items()]


def _edit(side: Side, copy: Path, env: dict[str, str]) -> Finished:
    """Edit the add kernel, build, and run the op in a fresh process until its result is the edited one's."""
    side.edit.apply(copy)
    built = side.run_build(copy, env, edited=True)
    if built.code != 0:
        return built
    script = CHECK.format(namespace=side.namespace, use=side.use, sign="-")
    checked = run_timed([sys.executable, "-c", script], copy, env)
    return Finished(
        checked.code,
        built.seconds + checked.seconds,
        max(built.peak_mb, checked.peak_mb),
        built.output + checked.output,
    )


def load_row(route: str, op: str, repeats: int, root: Path, tell: Callable[[str], None]) -> Row:
    """Import and load of a route in fresh processes, beyond the import of torch itself."""
    runs: list[tuple[float, float | None]] = []
    for repeat in range(repeats):
        tell(f"{route}: import and load ({repeat + 1} of {repeats})")
        finished = run_timed([sys.executable, "-c", LOAD.format(route=route, op=op)], root, environment(root), 300)
        found = [line[2:] for line in finished.output.splitlines() if line.startswith("@@")]
        if finished.code != 0 or not found:
            return absent(route, "import_load", "did not run", finished.error)
        runs.append((float(found[-1]), finished.peak_mb))
    return row(route, "import_load", runs)


def no_such_stage(route: str) -> list[Row]:
    """JIT routes have no build to run or to repeat: their compile is in the first call of every shape."""
    why = "nothing is built ahead of time: this route compiles at the first call of a shape"
    return [absent(route, kind, "no such stage", why) for kind in ("clean", "noop")]


def sides_of(routes: list[str]) -> list[Side]:
    """The sides that the chosen routes need built."""
    needed = {
        # the package of the classic library is that of the stable one, and mojo_aot's that of the engine's graphs
        "cpp": ("cpp", "cpp_pybind", "cpp_classic"),
        "cpp_classic": ("cpp_classic",),
        "mojo": ("mojo", "mojo_aot", "mojo_stock", "max_graph"),
        "mojo_aot": ("mojo_aot",),
    }
    return [SIDES[name] for name, users in needed.items() if set(users) & set(routes)]
