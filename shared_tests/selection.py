"""Which combinations the suite runs without `--all-combinations`.

A product of factors, such as sample x route x dtype, is cut down so that every pair of values of two factors still
occurs together. The choice is an orthogonal array: number the values of each factor, and keep the combinations whose
numbers add up to a multiple of `share`. For any two values of two factors exactly one value in `share` of a third
factor completes the sum, so each pair occurs as soon as the third factor has `share` values.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import torch

from shared_tests.routes import Route, all_routes
from shared_tests.spec import OpSpec, Sample

if TYPE_CHECKING:
    import pytest

FORMS = ("call", "out")
LARGE = 1 << 18  # elements of the largest tensor from which on a sample is run in one dtype


def in_default_part(share: int, *numbers: int) -> bool:
    """Whether the combination of these values, given by their numbers, is among the one in `share` that is kept."""
    return sum(numbers) % share == 0


def every_combination(config: pytest.Config) -> bool:
    """Whether this run takes the whole product: as the option says, and where the evidence pack counts the results."""
    return bool(config.getoption("--all-combinations") or config.getoption("--verdicts"))


def dtype_in_default_part(spec: OpSpec, dtype: torch.dtype, route: Route) -> bool:
    """One dtype for each op and route, for tests that look at what all dtypes share, such as a registration."""
    return in_default_part(len(spec.dtypes), spec.dtypes.index(dtype), list(all_routes()).index(route.name))


def samples_in_default_part(
    spec: OpSpec, dtype: torch.dtype, route: Route, form: str, samples: list[Sample]
) -> list[Sample]:
    """The usual samples of the op, and of the others a share of one in the number of its dtypes.

    Over all combinations of an op, each sample that every dtype has meets every route and every dtype in both forms.
    Large samples, which are there for the work of several threads, meet every route in one dtype: the error bounds of
    each dtype take seconds. A sample's number comes from its id, since a dtype may lack samples before it.

    Args:
        form: of `FORMS`.
        samples: all of the op's samples in this dtype.
    """
    of_dtype = spec.dtypes.index(dtype)
    of_case = of_dtype + list(all_routes()).index(route.name) + FORMS.index(form)
    return [
        sample
        for sample in samples
        if sample.id in spec.jit_samples
        or in_default_part(len(spec.dtypes), zlib.crc32(sample.id.encode()), of_dtype if is_large(sample) else of_case)
    ]


def is_large(sample: Sample) -> bool:
    """Whether one of the sample's tensors has `LARGE` elements or more."""
    return any(isinstance(a, torch.Tensor) and a.numel() >= LARGE for a in sample.args)
