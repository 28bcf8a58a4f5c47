"""Rows of the section `gpu`, from what the emulator reports of each call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, cast

from evidence.core.recorded import Recorded, of_the_ops
from evidence.core.stage import taken_over
from evidence.sections.gpu.row import GpuRow, Kernel, Side
from shared_tests.spec import all_specs

if TYPE_CHECKING:  # the emulator is needed to make results, not to read them
    from shared_tests.emulator.run import CaseResult

RECORDED = Recorded(
    (
        "cpp_ext/csrc/**/*", "mojo_ops/kernels/**/*", "shared_tests/emulator/**/*", "shared_tests/spec.py",
        "shared_tests/ops/*.py", "reports/src/evidence/sections/gpu/*.py",
    ),
    ("torch", "mojo"),
    of_a_run=False,
    belongs=of_the_ops,
)  # fmt: skip
"""The emulator's own CUDA toolkit is pinned in its folder."""

COMMAND = "`nox -s emulate -- --pack PACK` runs the GPU kernels of both sides without a GPU and writes this section"
STAGES = (taken_over("GPU kernels, emulated", 130, ("gpu",), COMMAND, RECORDED),)

SECTOR = 32  # bytes, the unit in which a GPU reads and writes memory


def rows(results: Sequence[CaseResult], tool: str | None) -> list[GpuRow]:
    """One row for each op, side and dtype, in the order of their names; probes have none, as in every other section.

    Args:
        results: emulated calls.
        tool: the compilers and ptxas with their versions.
    """
    specs = all_specs()
    ordered = sorted((result for result in results if not specs[result.op].probe), key=_key)
    return [_row(*key, list(cases), tool) for key, cases in groupby(ordered, _key)]


def _key(result: CaseResult) -> tuple[str, Side, str]:
    return result.op, cast(Side, result.side), result.dtype


def _row(op: str, side: Side, dtype: str, results: Sequence[CaseResult], tool: str | None) -> GpuRow:
    tried = [result for result in results if result.ran]
    whole = [result for result in tried if result.whole_rows and result.launches and result.passed]
    counters = [launch.counters for result in whole for launch in result.launches]
    messages = [message for result in results for message in (result.wrong, *result.problems) if message]
    return GpuRow(
        op=op,
        side=side,
        dtype=dtype,
        cases=len(tried),
        wrong=sum(result.wrong is not None for result in tried),
        problems=sum(bool(result.problems) for result in results),  # a process that died made no call
        message=messages[0] if messages else None,
        tool=tool,
        sample="rows of whole vectors" if whole else None,
        elements=sum(result.elements for result in whole) or None,
        op_sectors=sum(math.ceil(result.least_bytes / SECTOR) for result in whole) or None,
        kernels=tuple(_kernels(tried)),
        load_sectors=sum(each.load_sectors for each in counters) if whole else None,
        store_sectors=sum(each.store_sectors for each in counters) if whole else None,
        least_sectors=sum(each.least_load_sectors + each.least_store_sectors for each in counters) if whole else None,
        wavefronts=sum(each.wavefronts for each in counters) if whole else None,
        least_wavefronts=sum(each.least_wavefronts for each in counters) if whole else None,
        warp_instructions=sum(each.warp_instructions for each in counters) if whole else None,
    )


def _kernels(results: Sequence[CaseResult]) -> Iterator[Kernel]:
    """Every kernel with every block size that it was launched with, on each target."""
    seen = set()
    for result in results:
        for target, needs in result.needs.items():
            for need in needs:
                key = need.kernel, need.threads, target
                if key not in seen:
                    seen.add(key)
                    yield Kernel(
                        kernel=need.kernel,
                        target=target,
                        threads=need.threads,
                        registers=need.registers,
                        spill_bytes=need.spill_stores,
                        occupancy=need.occupancy,
                    )
