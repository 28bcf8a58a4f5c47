"""Stages of `compare` about the world around a library: what is installed for it, and what becomes of it afterwards."""

from __future__ import annotations

from evidence.core.pack import PARTIAL
from evidence.core.plan import Plan
from evidence.core.recorded import KERNELS, TOOLCHAINS, Recorded
from evidence.core.stage import Run, Stage
from evidence.sections.install import footprint, upgrade, upgrade_bare, upgrade_load, upgrade_max


def stage(run: Run) -> None:
    """The sections `footprint` and `upgrade`; a quick run reads records and symbol tables and starts nothing else."""
    _footprint(run)
    _upgrade(run)


def _footprint(run: Run) -> None:
    run.tell("install footprint")
    rows = footprint.rows_of(run.plan.routes)
    run.pack.set_rows("footprint", rows)


def _upgrade(run: Run) -> None:
    routes = run.plan.routes
    run.tell("upgrade survival: symbol tables", 5)
    rows = upgrade.symbol_rows(routes) + upgrade.source_rows(routes)
    run.pack.set_rows("upgrade", rows, PARTIAL, "interrupted")
    if upgrade_load.other_pythons():
        run.tell("upgrade survival: other interpreters", 1)
    rows += upgrade_load.load_rows(routes, upgrade.torch_version(), upgrade.built())
    run.pack.set_rows("upgrade", rows, PARTIAL, "interrupted")
    if not run.plan.quick:
        run.tell("upgrade survival: PyTorch alone", 15)
        rows += upgrade_bare.bare_rows(routes, upgrade.torch_version(), upgrade.built())
        run.pack.set_rows("upgrade", rows, PARTIAL, "interrupted")
    rows += upgrade_max.max_rows(routes, run.plan.quick, run.tell)
    run.pack.set_rows("upgrade", rows)


def estimate(plan: Plan) -> float:
    """Seconds of the stage on two cores; the first time that another MAX is installed it takes a minute longer."""
    return 15.0 if plan.quick else 50.0


RECORDED = Recorded(
    (
        *KERNELS, "*/pyproject.toml", "requirements.txt", "constraints.txt",
        "reports/src/evidence/sections/install/*", "reports/src/evidence/core/packages.py",
    ),
    (*TOOLCHAINS, "setuptools", "ninja"),
    ("architecture", "torch_simd"),
    (upgrade_load.VARIABLE,),
)  # fmt: skip

STAGES = (
    Stage("install footprint, upgrade survival", 50, estimate, stage, ("footprint", "upgrade"), recorded=RECORDED),
)
