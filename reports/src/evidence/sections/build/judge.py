"""What is judged from build times: criteria, the claim about the edit loop, a statement, losses and what changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack, Row
from evidence.core.routes import MOJO, SIDES
from evidence.core.thresholds import BUILD_MATTERS, BUILD_SECONDS_MATTER, SINGLE_RUN, STARTS_MATTER
from evidence.judge.claims import Claim
from evidence.judge.comparison import BUILD_TIME, Comparison, joined, pairs, select
from evidence.judge.criteria import Criterion, Measured, absent, exact
from evidence.judge.diff import BETTER, CHANGED, REGRESSION, Diff, apart, change_of_status, common
from evidence.judge.judgement import Judgement, word
from evidence.judge.losses import Loss, loss
from evidence.judge.scope import Scope
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.build.row import BuildRow
from evidence.sections.build.table import KIND_NAMES, build, failed_builds


def compare(pack: Pack) -> list[Comparison]:
    """Every stage that the representatives of both sides have a time for, on the CPU and for a GPU."""
    table = build(pack)
    compared = []
    for kind, stages in table.items():
        for cpp, mojo in pairs(stages):
            cpp_stage, mojo_stage = stages[cpp], stages[mojo]
            cpp_time, mojo_time = _seconds(cpp_stage.row), _seconds(mojo_stage.row)
            if cpp_time and mojo_time:
                compared.append(
                    Comparison(
                        topic=BUILD_TIME,
                        name=kind,
                        base=cpp,
                        route=mojo,
                        ratio=cpp_time.over(mojo_time),
                        least=BUILD_MATTERS,
                        rows=(cpp_stage.pointer, mojo_stage.pointer),
                        figures=(cpp_time.mid, mojo_time.mid),
                        unit="s",
                    )
                )
    return compared


def failed_routes(pack: Pack) -> dict[str, str]:
    """Route -> message of those that did not build."""
    return failed_builds(build(pack))


def _waits(stage: Comparison) -> bool:
    """Whether the difference is long enough for somebody to wait for it."""
    assert stage.figures is not None
    return abs(stage.figures[0] - stage.figures[1]) >= BUILD_SECONDS_MATTER


def _stage(kind: str) -> Callable[[Scope], Measured]:
    def measure(scope: Scope) -> Measured:
        stage = scope.comparison(BUILD_TIME, kind)
        if stage is None or stage.figures is None:
            return absent(f"no time of both sides for: {KIND_NAMES.get(kind, kind)}")
        factor = stage.ratio if _waits(stage) else exact(1.0)
        message = f"{stage.base} {text.seconds(stage.figures[0])}, {stage.route} {text.seconds(stage.figures[1])}"
        return Measured(
            factor,
            message,
            stage.rows,
            stage.figures,
            stage.unit,
            least=BUILD_MATTERS,
            smallest_effect=stage.smallest_effect,
        )

    return measure


CRITERIA = (
    Criterion("edit", 50, "Edit to first correct result", _stage("edit")),
    Criterion("clean", 60, "Clean build", _stage("clean")),
)


def dev_loop(pack: Pack) -> Judgement | None:
    """C++ against Mojo, edit to first correct result and clean build: holds when C++ is shown to be slower by a
    factor of {BUILD_MATTERS} or more in both, in part in one of them. A stage that ran once counts as known to a
    factor of {SINGLE_RUN}."""
    compared = compare(pack)
    slower, parts = 0, []
    rows: list[str] = []
    for kind, name in (("edit", "Edit to result"), ("clean", "clean build")):
        stage = select(compared, BUILD_TIME, kind)
        if stage and stage.figures:
            slower += stage.won == MOJO
            rows += stage.rows
            parts.append(f"{name} {text.seconds(stage.figures[0])} in C++, {text.seconds(stage.figures[1])} in Mojo")
    if not parts:
        return None
    return Judgement(word(slower, len(parts)), "; ".join(parts) + ".", rows)


CLAIMS = (
    Claim("dev-loop", 30, "C++ has a slow development cycle.",
          "seconds from a one-line kernel edit to the first correct result, and of a clean build, on both sides",
          dev_loop),
)  # fmt: skip


def edit_loop(pack: Pack) -> Statement:
    """Build time: the edit loop and the clean build must not contradict each other."""
    question = "Build and edit loop"
    rule = (
        "One-line kernel edit to first correct result, and clean build, of each side's representative: a side is ahead "
        f"when its range lies below the other's by a factor of {BUILD_MATTERS} or more, a stage that ran once being "
        f"known to a factor of {SINGLE_RUN}; contradiction is “mixed”."
    )
    compared = compare(pack)
    verdicts: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    rows: list[str] = []
    for kind, name in (("edit", "Edit to result"), ("clean", "clean build")):
        stage = select(compared, BUILD_TIME, kind)
        if stage and stage.figures:
            verdicts.append(stage.verdict)
            rows += stage.rows
            values[kind] = {"cpp_s": stage.figures[0], "mojo_s": stage.figures[1]}
            parts.append(f"{name}: C++ {text.seconds(stage.figures[0])}, Mojo {text.seconds(stage.figures[1])}")
    if not parts:
        return not_measured("edit-loop", question, rule, why_not(pack, "build"))
    stock = build(pack).get("first_call_new_shape", {}).get("mojo_stock")
    if stock and stock.time:
        rows.append(stock.pointer)
        values["mojo_stock_new_shape_s"] = stock.time.mid
        parts.append(f"mojo_stock compiles {text.seconds(stock.time.mid)} for every new shape")
    return Statement("edit-loop", question, joined(verdicts), rule, "; ".join(parts) + ".", rows, values)


STATEMENTS = (Asked("edit-loop", 40, edit_loop),)


def losses(pack: Pack) -> list[Loss]:
    """Stages that take a side's representative longer, by a factor and by seconds that matter."""
    compared = compare(pack)
    stages = [
        stage for kind in dict.fromkeys(each.name for each in compared) if (stage := select(compared, BUILD_TIME, kind))
    ]
    lost = (
        loss(stage, side, BUILD_TIME, KIND_NAMES.get(stage.name, stage.name))
        for side in SIDES
        for stage in stages
        if _waits(stage)
    )
    return [entry for entry in lost if entry]


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Seconds of build stages: worse when B's range lies above A's, by a factor and by seconds that matter."""
    for a, b in common(before, after, BuildRow, ("route", "kind", "stage"), changes):
        what = f"{a.route}: {KIND_NAMES.get(a.kind, a.kind)}"
        change_of_status("build", what, a, b, changes)
        old, new = _seconds(a), _seconds(b)
        if old is None or new is None or not apart(old, new):
            continue
        factor = new.mid / old.mid
        if 1 / BUILD_MATTERS < factor < BUILD_MATTERS or abs(new.mid - old.mid) < STARTS_MATTER:
            continue
        kind = REGRESSION if factor > 1 else BETTER
        if a.kind == "prerequisites":
            kind = CHANGED  # its seconds are those of a download
        changes.add("build", kind, what, text.seconds(old.mid), text.seconds(new.mid), factor)


def _seconds(row: BuildRow) -> Interval | None:
    time = interval(row.seconds_median, row.seconds_low, row.seconds_high)
    if row.status != "ok" or time is None or time.low <= 0:
        return None
    return time if row.repeats > 1 else Interval(time.mid, time.mid / SINGLE_RUN, time.mid * SINGLE_RUN)
