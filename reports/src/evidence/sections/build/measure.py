"""The build lab as a stage of `compare`: rows of the section `build`, set as they come."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from evidence.core import text
from evidence.core.machine import ROOT
from evidence.core.mode import FULL, QUICK, STANDARD
from evidence.core.pack import DID_NOT_RUN, PARTIAL
from evidence.core.plan import Plan
from evidence.core.routes import representatives
from evidence.core.stage import Run, Stage
from evidence.core.child import run_command
from evidence.sections.build import stages
from evidence.sections.build.prerequisites import Installer, prerequisites_row
from evidence.sections.build.recipes import LAB_SIDES, LabSide
from evidence.sections.build.row import BuildRow, Status
from evidence.sections.build.shortened import NOT_QUICK, SOME_OPS, shortened
from evidence.sections.build.stages import Cost, Lab, absent, load_row, row
from shared_tests.route_table import facts


SECONDS = {
    STANDARD: {"cpp": 50.0, "mojo": 125.0, "mojo_aot": 100.0},
    FULL: {"cpp": 180.0, "cpp_classic": 215.0, "mojo": 330.0, "mojo_aot": 315.0, "mojo_stock": 85.0},
    QUICK: {"cpp": 45.0, "mojo": 115.0, "mojo_aot": 80.0},
}
"""Of each side of the lab on two cores, prerequisites and load included; a side that is not named has few stages."""

SOME_SECONDS = {"cpp": 45.0, "mojo": 55.0, "mojo_aot": 35.0}
"""The same in a run of some ops; the engine's route is built there only by a full run, since it decides nothing."""


def estimate(plan: Plan) -> float:
    """Seconds of the stage on two cores."""
    seconds = SECONDS[plan.mode] if plan.every_op else SOME_SECONDS
    sides = [side for side in LAB_SIDES.values() if side.name in plan.routes and not left_to_full(side, plan)]
    return sum(seconds.get(side.name, 30.0) for side in sides)


def extent(plan: Plan) -> str:
    """Whose builds are timed, and how often."""
    names = ", ".join(name for name in LAB_SIDES if name in plan.routes)
    return f"{names}; {text.count(plan.repeats, 'build')} of each" if names else ""


def stage(run: Run) -> None:
    """Build time of every route of the plan, and its import and load."""
    plan = run.plan
    chosen = [side for name, side in LAB_SIDES.items() if name in [route.name for route in plan.route_objects()]]
    missing = not_measured(run, chosen)
    sides = [side for side in chosen if side.name not in {row.route for row in missing}]
    rows: list[BuildRow] = []
    lab_rows: list[BuildRow] = []

    def record() -> None:
        run.pack.set_rows("build", [*rows, *missing, *lab_rows], PARTIAL, "interrupted")

    with tempfile.TemporaryDirectory(prefix="prerequisites-") as folder:
        without = NOT_QUICK if plan.quick else None if plan.every_op else SOME_OPS
        installer = without or Installer(Path(folder))
        for side in chosen:
            run.tell(f"{side.name}: {stages.STAGES['prerequisites']}", 0 if without else 10)
            rows.append(prerequisites_row(side, installer, plan.repeats))
            record()
    with tempfile.TemporaryDirectory(prefix="build-lab-") as folder:
        lab = Lab([shortened(side, plan) for side in sides], Path(folder), plan.repeats, run.tell)

        def changed() -> None:
            lab_rows[:] = lab.rows(ended=False)
            record()
            run.progress.advance(run.task, 30)

        lab.run(changed)
        lab_rows[:] = lab.rows(ended=True)
        if plan.full:
            parse_headers(sides, lab_rows, Path(folder), run.tell)
    rows += [*missing, *lab_rows]
    missing, lab_rows = [], []
    _loads(run, rows, record)
    run.pack.set_rows("build", rows)


def left_to_full(side: LabSide, plan: Plan) -> str | None:
    """Why a plan builds nothing of a side, or None."""
    if plan.quick and side.name not in representatives():
        return NOT_QUICK
    if not plan.full and not plan.every_op and plan.device not in facts()[side.name].represents:
        return f"a run of some ops builds the routes that represent a side on {plan.device}"
    return None


def not_measured(run: Run, sides: list[LabSide]) -> list[BuildRow]:
    """Rows of the sides that this run's builds could not make, and of those that a quick run leaves out."""
    rows = []
    for side in sides:
        status: Status
        if side.name in run.not_built:
            status, why = "did not build", run.not_built[side.name]
        elif reason := left_to_full(side, run.plan):
            status, why = "did not run", reason
        else:
            continue
        for kind, step in side.steps.items():
            if isinstance(step, str):
                rows.append(absent(side.name, kind, "no such stage", step))
            else:
                rows.append(absent(side.name, kind, status, why))
    return rows


def parse_headers(sides: list[LabSide], rows: list[BuildRow], folder: Path, tell: Callable[[str], None]) -> None:
    """Add to the clean row of each side what parsing the framework's header costs in each file that includes it."""
    for side in sides:
        index, row = next((i, row) for i, row in enumerate(rows) if (row.route, row.kind) == (side.name, "clean"))
        if side.header is None or row.status != "ok":
            continue
        tell(f"{side.name}: parse {side.header}")
        cost = header_cost(side.header, folder)
        if cost:
            note = f"parsing {side.header} alone takes {cost.seconds:.1f} s and {cost.peak_mb:.0f} MB (1 run)"
            rows[index] = structs.replace(row, message="; ".join(filter(None, (row.message, note))))


def header_cost(header: str, folder: Path) -> Cost | None:
    """What the compiler takes for a file that holds nothing but one of PyTorch's headers; None where it fails."""
    import sysconfig

    from torch.utils.cpp_extension import get_cxx_compiler, include_paths

    source = folder / "header.cpp"
    source.write_text(f"#include <{header}>\n")
    includes = [f"-I{path}" for path in (*include_paths(), sysconfig.get_paths()["include"])]
    command = [*shlex.split(get_cxx_compiler()), "-std=c++20", "-fsyntax-only", *includes, str(source)]
    done = run_command(command, folder, timeout=300, peak_memory=True)
    return Cost(done.seconds, done.peak_mb, done.cpu_seconds) if done.code == 0 else None


def _loads(run: Run, rows: list[BuildRow], record: Callable[[], None]) -> None:
    """Import and load of every route that is built, in fresh processes."""
    plan = run.plan
    op = plan.compared_ops()[0] if plan.compared_ops() else plan.ops[0]
    for route in plan.route_objects():
        if route.package is None:
            continue
        if reason := run.not_built.get(route.name) or run.not_built.get(route.side):
            rows.append(absent(route.name, "import_load", "did not build", reason))
        elif plan.quick and not route.represents:
            rows.append(absent(route.name, "import_load", "did not run", NOT_QUICK))
        else:
            repeats = plan.repeats if route.name in LAB_SIDES else 1
            rows.append(load_row(route.name, op, repeats, ROOT, run.tell))
        record()


def add_first_calls(run: Run, calls: dict[tuple[str, str], list[float]]) -> None:
    """Rows of first calls, from the timed cases of a process whose caches were empty.

    Args:
        run: whose pack gets them.
        calls: (route, kind of stage) -> seconds.
    """
    rows = [row(route, kind, [Cost(seconds) for seconds in runs]) for (route, kind), runs in calls.items()]
    pack, status = run.pack, run.pack.section_status("build")
    if rows and status == DID_NOT_RUN:
        status = PARTIAL
    pack.set_rows("build", [*pack.table(BuildRow), *rows], status, pack.reason("build"))


STAGES = (Stage("build time", 30, estimate, stage, ("build",), what=extent),)
