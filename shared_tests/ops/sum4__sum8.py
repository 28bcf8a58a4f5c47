"""sum4 and sum8: the sum of so many tensors, probes of what a call costs by its number of tensors."""

from __future__ import annotations

import functools
import operator

import torch

from shared_tests.elementwise import elementwise
from shared_tests.spec import BenchSample, OpSpec
from shared_tests.tensors import big_randn

NAMES = "abcdefgh"


def chained(*tensors: torch.Tensor) -> torch.Tensor:
    """The sum in the order of the arguments: PyTorch has no op for it, so its users chain additions."""
    return functools.reduce(operator.add, tensors)


def chained_out(*tensors: torch.Tensor) -> torch.Tensor:
    first, second, *terms, out = tensors
    torch.add(first, second, out=out)
    for term in terms:
        torch.add(out, term, out=out)
    return out


def probe(count: int) -> OpSpec:
    """The spec of the sum of `count` tensors of one shape, float32."""

    def bench(dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
        return tuple(big_randn((64, 4096), dtype, device) for _ in range(count))

    return elementwise(
        f"sum{count}",
        f"({', '.join(f'Tensor {name}' for name in NAMES[:count])}) -> Tensor",
        chained,
        flops=count - 1,
        dtypes=(torch.float32,),
        eager_out=chained_out,
        bench_samples=(BenchSample("64x4096", bench, 64 * 4096, quick=True),),
        gradients=tuple(NAMES[:count]),
        autocast="float32",
        probe=True,
    )


SPECS = (probe(4), probe(8))
