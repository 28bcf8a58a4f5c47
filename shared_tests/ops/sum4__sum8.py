"""sum4 and sum8: the sum of so many tensors, probes of what a call costs by its number of tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from shared_tests.drawn import Draw
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import (
    LARGE_COLUMNS,
    LARGE_ROWS,
    PARALLEL,
    big_randn,
    offset,
    randn,
    special_values,
    strided,
    transposed,
)

NAMES = "abcdefgh"


def inputs(count: int, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    return tuple(randn(shape, dtype, device, seed=NAMES[i]) for i in range(count))


def chained(*tensors: torch.Tensor) -> torch.Tensor:
    """The sum in the order of the arguments: PyTorch has no op for it, so its users chain additions."""
    return functools.reduce(torch.add, tensors)


def chained_out(*tensors: torch.Tensor) -> torch.Tensor:
    first, second, *terms, out = tensors
    torch.add(first, second, out=out)
    for term in terms:
        torch.add(out, term, out=out)
    return out


def samples(count: int, dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in ((), (1,), (0,), (3, 0, 2), (7,), (83,), (5125,), (5, 83), (2, 3, 4, 5), (PARALLEL,)):
        yield Sample("x".join(map(str, shape)) or "0-d", inputs(count, shape, dtype, device))
    first, second, third, *rest = inputs(count, (33, 18), dtype, device)
    yield Sample("layouts", (transposed(first), strided(second), offset(third), *rest))
    yield Sample("same tensor each time", (first,) * count)
    special = special_values(dtype, device)
    yield Sample("special values", (special, special.flip(0), *[torch.zeros_like(special)] * (count - 2)))


def error_samples(count: int, device: str) -> Iterator[ErrorSample]:
    a = torch.ones(4, device=device)
    rest, last = (a,) * (count - 1), NAMES[count - 1]
    yield ErrorSample("wrong dtype", (a.half(),) * count, ("a", "float16", "expected float32"))
    yield ErrorSample("dtypes differ", (*rest, a.half()), (last, "float16", "expected float32"))
    yield ErrorSample("shapes differ", (*rest, a[:3]), (last, "[3]", "expected [4]"))
    yield ErrorSample("ranks differ", (*rest, a.view(2, 2)), (last, "[2, 2]", "expected [4]"))
    yield ErrorSample("mixed devices", (*rest, a.to("meta")), (last, "meta", f"expected {device}"))
    yield ErrorSample("non-tensor", (*rest, 1.0), (last, "float", "Tensor"))


def drawn(count: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    shape = draw.shape()
    return tuple(draw.tensor(shape) for _ in range(count))


def large(count: int, device: str) -> tuple[tuple, tuple]:
    """As `tensors.large_matrix`, in the only dtype of the probes."""
    x = torch.zeros((LARGE_ROWS, LARGE_COLUMNS), device=device)
    x[-4:] = randn((4, LARGE_COLUMNS), torch.float32, device)
    return (x,) * count, (x[-4:],) * count


def bench(count: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    return tuple(big_randn((64, 4096), dtype, device) for _ in range(count))


def cost(count: int, *tensors: torch.Tensor) -> Cost:
    elements = tensors[0].numel()
    return Cost(bytes=(count + 1) * elements * tensors[0].element_size(), flops=(count - 1) * elements)


def probe(count: int) -> OpSpec:
    """The spec of the sum of `count` tensors of one shape, float32."""
    arguments = ", ".join(f"Tensor {name}" for name in NAMES[:count])
    return OpSpec(
        name=f"sum{count}",
        schema=f"({arguments}) -> Tensor",
        out_schema=f"({arguments}, *, Tensor(a!) out) -> ()",
        reference=chained,
        formula=lambda *tensors: sum(tensors[1:], tensors[0]),
        eager=chained,
        eager_out=chained_out,
        samples=functools.partial(samples, count),
        jit_samples=("5x83",),
        sized=lambda n, dtype, device: inputs(count, (2 * n, 9 * n), dtype, device),
        rows=lambda length, dtype, device: [inputs(count, (3, length), dtype, device)],
        large=functools.partial(large, count),
        drawn=functools.partial(drawn, count),
        bench_samples=(BenchSample("64x4096", functools.partial(bench, count), 64 * 4096, quick=True),),
        error_samples=functools.partial(error_samples, count),
        dtypes=(torch.float32,),
        out_may_be_input=True,
        gradients=tuple(NAMES[:count]),
        autocast="float32",
        cost=functools.partial(cost, count),
        probe=True,
    )


SPECS = (probe(4), probe(8))
