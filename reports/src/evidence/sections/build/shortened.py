"""The build lab of runs that have less time: which stages of a side they leave out, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evidence.core.plan import Plan
from evidence.sections.build.recipes import FURTHER, LabSide, Step

NOT_QUICK = "quick run: left to the full one"
BUILDS_ALL = "all ops are built again, so it takes about as long as the clean build; measured by --full only"
DECIDES_NOTHING = "no question depends on it; measured by --full only"
NO_GPU = "no question about the CPU depends on it; measured by --full only"
SOME_OPS = "a run of some ops builds only what it edits"


def shortened(side: LabSide, plan: Plan) -> LabSide:
    """The side with the stages that a plan has time for; a full run has time for all.

    A standard run leaves out the stages that build all ops once more. With `--ops` it is down to the edit: a side that
    can build the one op that changed is spared its clean build, and builds that op once untimed instead, as its
    package, so that its caches are as warm as on a developer's machine.
    """
    if plan.full:
        return side
    reasons = {kind: _reason(step, kind, plan) for kind, step in side.steps.items() if isinstance(step, Step)}
    clean, edit = side.steps["clean"], side.steps["edit"]
    warm_up = None
    if not plan.every_op and isinstance(clean, Step) and isinstance(edit, Step) and edit.build != clean.build:
        reasons |= {"clean": SOME_OPS, "noop": SOME_OPS}
        warm_up = _into_the_package(edit, clean)
    steps = {kind: _shortened(step, kind, reasons.get(kind)) for kind, step in side.steps.items()}
    return replace(side, steps=steps, warm_up=warm_up)


def _into_the_package(edit: Step, clean: Step) -> tuple[str, ...]:
    """The build of one op, which ends with its folder, into that of the clean build."""
    assert edit.build is not None
    *command, _ = edit.build
    return (*command, str(Path(clean.artifacts[0]).parent))


def _reason(step: Step, kind: str, plan: Plan) -> str | None:
    """Why a plan leaves a stage out, or None."""
    if kind in FURTHER and plan.quick:
        return NOT_QUICK
    if kind in FURTHER and not plan.every_op:
        return SOME_OPS
    if kind == "binding_edit":
        return DECIDES_NOTHING
    if kind == "add_arch":
        return NO_GPU
    return BUILDS_ALL if step.whole else None


def _shortened(step: Step | str, kind: str, reason: str | None) -> Step | str:
    if isinstance(step, str):
        return step
    # The edit behind the clean build proves within seconds that what was built is right.
    check = "" if kind == "clean" else step.check
    return replace(step, left_out=step.left_out or reason, check=check)
