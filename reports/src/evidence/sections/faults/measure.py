"""The stage of the fault corpus: self-check, then every mistake on every side, two at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from evidence.core.child import Children, side_by_side
from evidence.core.pack import PARTIAL, Row
from evidence.core.plan import Plan
from evidence.core.recorded import Recorded
from evidence.core.routes import REPRESENTATIVE
from evidence.core.stage import Run, Stage
from evidence.sections.faults.build import Missing
from evidence.sections.faults.corpus import BASES, Fault, read_corpus
from evidence.sections.faults.ladder import OUT_OF_TIME, Ladder, absent, self_check, try_fault
from evidence.sections.faults.row import FaultRow

Job = tuple[Fault, str]

SECONDS, QUICK_SECONDS = 1200.0, 60.0
"""Of the whole stage; what is left then did not run."""

AT_ONCE = 2
QUICK = ("misspelt_name", "missing_return", "read_past_end", "wrong_dtype")
NOT_IN_QUICK = "quick: only " + ", ".join(QUICK) + ", without sanitizers and MAX"
NOTE = f"{AT_ONCE} mistakes at once, so that compilers share the cores"
"""Stands in every row that has seconds."""


class SelfCheckFailed(RuntimeError):
    """The ladder found something in the correct op, so what it finds in the others cannot be believed."""


def sides_of(plan: Plan) -> list[str]:
    """The sides of the corpus that a plan has routes of."""
    sides = {route.side for route in plan.route_objects()}
    return [side for side in BASES if side.split("_")[0] in sides]


def stage(run: Run) -> None:
    """The stage of `evidence compare`."""
    wanted = sides_of(run.plan)

    def save(rows: list[FaultRow], done: bool) -> None:
        run.pack.set_rows("faults", rows, *(() if done else (PARTIAL, "interrupted")))

    reasons = {side: run.not_built.get(side) or run.not_built.get(side.split("_")[0]) for side in wanted}
    missing = {side: reason for side, reason in reasons.items() if reason}
    measure(read_corpus(), wanted, missing, run.plan.quick, run.log, run.tell, save)


def measure(
    corpus: list[Fault],
    sides: list[str],
    missing: dict[str, str],
    quick: bool,
    log: Path,
    tell: Callable[[str], None],
    save: Callable[[list[FaultRow], bool], None],
) -> list[FaultRow]:
    """Rows of the section `faults`, handed to `save` as they come.

    Args:
        corpus: the mistakes.
        sides: of BASES.
        missing: sides that cannot be built, with the reason.
        quick: a named few, without the builds that look for mistakes.
        log: gets what compilers and processes print.
        tell: told what is being done.
        save: gets all rows so far, in the order of the corpus, and whether they are all.

    Raises:
        SelfCheckFailed: the correct op does not pass.
    """
    jobs = [(fault, side) for fault in corpus for side in sides if side in fault.sides]
    rows: dict[tuple[str, str], FaultRow] = {}

    def record(row: FaultRow, done: bool = False) -> None:
        rows[row.fault, row.side] = row
        save([rows[f.name, s] for f, s in jobs if (f.name, s) in rows], done)

    children = Children(QUICK_SECONDS if quick else SECONDS)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        ladders = _ladders(sides, missing, children, log, Path(folder))
        left: list[Job] = []
        for fault, side in jobs:
            if side in missing:
                record(absent(fault, side, f"did not build: {missing[side]}"))
            elif quick and (fault.name not in QUICK or side not in REPRESENTATIVE.values()):
                record(absent(fault, side, NOT_IN_QUICK))
            else:
                left.append((fault, side))
        _run_all(left, ladders, children, not quick, tell, record)
    all_rows = [rows[fault.name, side] for fault, side in jobs]
    save(all_rows, True)
    return all_rows


def _ladders(
    sides: list[str], missing: dict[str, str], children: Children, log: Path, folder: Path
) -> dict[str, Ladder]:
    """A ladder for each side that can be built; for the others the reason is added to `missing`."""
    ladders = {}
    for side in sides:
        if side in missing:
            continue
        try:
            ladders[side] = Ladder(side, children, log, folder)
        except Missing as reason:
            missing[side] = str(reason)
    return ladders


def _run_all(
    jobs: list[Job],
    ladders: dict[str, Ladder],
    children: Children,
    with_tools: bool,
    tell: Callable[[str], None],
    record: Callable[[FaultRow], None],
) -> None:
    tell_lock = threading.Lock()

    def check(side: str) -> str | None:
        return self_check(ladders[side], with_tools)

    def attempt(job: Job) -> FaultRow:
        fault, side = job
        with tell_lock:
            tell(f"fault: {fault.title} ({side})")
        row = try_fault(ladders[side], fault, with_tools)
        return row if row.seconds is None else replace(row, note=NOTE)

    used = sorted((side for side in ladders if any(side == s for _, s in jobs)), key=("mojo", "mojo_aot", "cpp").index)
    problems = list(side_by_side([partial(check, side) for side in used], AT_ONCE, children=children))
    if problem := next(filter(None, problems), None):
        raise SelfCheckFailed(problem)
    # MAX compiles for half a minute in one process: what is long begins first.
    order = sorted(jobs, key=lambda job: job[1] != "mojo")
    with closing(side_by_side([partial(attempt, job) for job in order], AT_ONCE, children=children)) as results:
        for row in results:
            record(row)


def estimate(plan: Plan) -> float:
    """Seconds of the stage on two cores; MAX compiles each op in a process of its own, which is most of it."""
    return QUICK_SECONDS if plan.quick else 470.0


def _belongs(plan: Plan, row: Row) -> bool:
    return row["side"] in sides_of(plan)


def _complete(row: Row) -> bool:
    return not (row["caught"] == "did not run" and OUT_OF_TIME in (row["message"] or ""))


RECORDED = Recorded(
    (
        "reports/faults/**/*", "reports/src/evidence/sections/faults/*.py",
        "cpp_ext/setup.py", "cpp_ext/csrc/common/*", "mojo_ops/kernels/common/*", "mojo_ops/src/mojo_ops/native.py",
    ),
    belongs=_belongs,
    complete=_complete,
)  # fmt: skip

STAGES = (Stage("fault corpus", 120, estimate, stage, ("faults",), recorded=RECORDED),)
