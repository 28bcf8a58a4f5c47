"""Emulates the GPU kernels of both sides on this CPU: values must be right and no problems reported.

`nox -s emulate` runs every small sample, more lengths of rows, and the launch limits of five GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from shared_tests import accuracy
from shared_tests.emulated_builds import missing_toolchain
from shared_tests.emulator.cases import Case, contiguous, elements, row_cases
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.run import SIDES, Settings, run_case
from shared_tests.spec import OpSpec

SMALL = 5000  # number of elements in a call
LENGTHS = (64, 8200)  # one warp for a row, and 1,024 threads


@pytest.mark.parametrize("side", SIDES)
def test_kernels_are_right_under_emulation(spec: OpSpec, dtype: torch.dtype, side: str, compiled: None) -> None:
    """Runs the usual sample, and rows of whole vectors for a warp and for 1,024 threads."""
    if reason := missing_toolchain(side):
        pytest.skip(reason)
    name = str(dtype).removeprefix("torch.")
    samples = (s for s in spec.samples(dtype, "cpu") if s.id in spec.jit_samples)
    cases = [*(Case(s.id, contiguous(s.args)) for s in samples), *row_cases(spec, dtype, LENGTHS)]
    assert len(cases) > len(LENGTHS)
    for case in cases:
        result = run_case(side, spec, name, case, Settings())
        assert result.passed, f"{case.id}: {result.wrong or result.problems}"
        assert result.launches, f"{case.id} launched no kernel"


class Idle:
    """A host whose kernels do not write anything."""

    def call(
        self, spec: OpSpec, args: Sequence[Any], outputs: Sequence[torch.Tensor], **options: Any
    ) -> tuple[Launched, ...]:
        return ()


def test_outputs_that_no_kernel_writes_are_wrong(spec: OpSpec, dtype: torch.dtype) -> None:
    """Unwritten outputs are wrong even if results are close to 0, such as gradients of ignored targets."""
    name = str(dtype).removeprefix("torch.")
    for sample in spec.samples(dtype, "cpu"):
        args = contiguous(sample.args)
        if spec.mutates or elements(args) > SMALL:
            continue
        if any(t.isfinite().any() for t in accuracy.expected(spec, args).eager):
            result = run_case("cpp", spec, name, Case(sample.id, args), Settings(), lambda target: Idle())
            assert result.wrong, sample.id


# Extra sectors of 32 bytes per row, for rows that consist of whole sectors: one for each value that an op reads or
# writes once per row, such as a class index or a log-sum-exp.
WHOLE_SECTORS = 8192
SLACK, SECTORS_PER_ROW = 1.02, 12


@pytest.mark.parametrize("side", SIDES)
def test_requests_touch_no_more_sectors_than_their_bytes_need(
    spec: OpSpec, dtype: torch.dtype, side: str, compiled: None
) -> None:
    """Every op of both sides loads and stores vectors that are adjacent for neighbouring threads, with two exceptions.

    top_k picks its results from anywhere in a row. The probes sum4 and sum8 measure only the cost of a call.
    """
    if reason := missing_toolchain(side):
        pytest.skip(reason)
    if spec.probe or spec.name == "top_k":
        pytest.skip("not bound by whole rows")
    name = str(dtype).removeprefix("torch.")
    for case in row_cases(spec, dtype, [WHOLE_SECTORS]):
        result = run_case(side, spec, name, case, Settings())
        assert result.passed, f"{case.id}: {result.wrong or result.problems}"
        counters = [launch.counters for launch in result.launches]
        sectors = sum(c.load_sectors + c.store_sectors for c in counters)
        least = sum(c.least_load_sectors + c.least_store_sectors for c in counters)
        rows = max(a.numel() // a.shape[-1] for a in case.args if isinstance(a, torch.Tensor) and a.dim() > 1)
        assert sectors <= SLACK * least + SECTORS_PER_ROW * rows, f"{case.id}: {sectors} sectors, {least} at the least"
        assert sum(c.wavefronts for c in counters) <= 1.5 * sum(c.least_wavefronts for c in counters), case.id
