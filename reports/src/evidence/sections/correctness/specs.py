"""What an op is, recorded from its spec so that a pack says it where the repository is not at hand."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable

from evidence.core.stage import Run
from evidence.sections.correctness.row import SpecRow
from shared_tests.spec import OpSpec, all_specs


def spec_rows(ops: Iterable[str]) -> list[SpecRow]:
    """A row for each op. Its samples are built once, in its first dtype on the CPU."""
    return [_row(all_specs()[op]) for op in ops]


def stage(run: Run) -> None:
    """The specs of the ops of the plan."""
    run.pack.set_rows("specs", spec_rows(run.plan.ops))


def _row(spec: OpSpec) -> SpecRow:
    module = sys.modules[spec.samples.__module__]
    return SpecRow(
        op=spec.name,
        what=re.sub(r"^\w+: ", "", " ".join((module.__doc__ or "").split())),
        schema=spec.schema,
        out_schema=spec.out_schema,
        reference=source(spec.reference),
        dtypes=tuple(_name(dtype) for dtype in spec.dtypes),
        gradients=spec.gradients,
        autocast=spec.autocast,
        deterministic=spec.deterministic,
        samples=tuple(sample.id for sample in spec.samples(spec.dtypes[0], "cpu")),
        errors=tuple(sample.id for sample in spec.error_samples("cpu")),
        timed=tuple(sample.id for sample in spec.bench_samples),
        skips=tuple(f"{skip.why} ({skip.link})" for skip in spec.skips),
    )


def source(function: Callable[..., object]) -> str:
    """Source of a function, empty where Python cannot find it."""
    try:
        return textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        return ""


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
