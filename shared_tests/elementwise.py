"""Derives the spec of an elementwise op on tensors of the same shape and dtype from its schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from shared_tests.drawn import Draw
from shared_tests.spec import FLOAT_DTYPES, BenchSample, Cost, ErrorSample, OpSpec, Sample
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

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = (
    (), (1,), (0,), (3, 0, 2), (7,), (83,), (769,), (5125,), (5, 83), (2, 3, 4, 5), (PARALLEL,),
)  # fmt: skip
# Values of a scalar argument by type. Samples that do not test the scalar use the first value.
VALUES: dict[str, tuple[Any, ...]] = {"float": (0.75, -2.5, 0.0), "int": (3, -1, 0), "bool": (True, False)}
BENCH = {(1, 4096): "decode, 1x4096", (64, 4096): "batch 64, 64x4096", (2048, 4096): "prefill, 2048x4096"}


def out_schema(schema: str) -> str:
    """The schema of the overload `out` of an op with one result."""
    return schema.replace(") -> Tensor", ", *, Tensor(a!) out) -> ()")


@dataclass(frozen=True)
class Calls:
    """Generates calls of an elementwise op, with tensors first, then scalars.

    tensors: names of the tensor arguments.
    scalars: names and types of the scalar arguments.
    dtypes: dtypes that the op accepts.
    """

    tensors: tuple[str, ...]
    scalars: tuple[tuple[str, str], ...]
    dtypes: tuple[torch.dtype, ...]

    @property
    def default_scalars(self) -> tuple[Any, ...]:
        """The default value of each scalar."""
        return tuple(VALUES[kind][0] for _, kind in self.scalars)

    def of(self, shape: Shape, dtype: torch.dtype, device: str) -> tuple[Any, ...]:
        """Arguments with normally distributed tensors."""
        return (*(randn(shape, dtype, device, seed=name) for name in self.tensors), *self.default_scalars)

    def samples(self, dtype: torch.dtype, device: str) -> Iterator[Sample]:
        """Samples of sizes, layouts, scalar values and special element values."""
        for shape in SHAPES:
            yield Sample("x".join(map(str, shape)) or "0-d", self.of(shape, dtype, device))
        tensors = self.of((33, 18), dtype, device)[: len(self.tensors)]
        layouts = {
            "transposed": transposed,
            "strided": strided,
            "offset": offset,
            "expanded": lambda x: x[:1].expand(33, 18),
        }
        for name, layout in layouts.items():
            for i in range(len(tensors)):
                of = f" {self.tensors[i]}" if len(tensors) > 1 else ""
                yield Sample(
                    f"{name}{of}", (*tensors[:i], layout(tensors[i]), *tensors[i + 1 :], *self.default_scalars)
                )
        if len(tensors) > 1:
            yield Sample("same tensor each time", (tensors[0],) * len(tensors) + self.default_scalars)
        for i, (name, kind) in enumerate(self.scalars):
            for value in VALUES[kind][1:]:
                yield Sample(
                    f"{name} {value}", (*tensors, *self.default_scalars[:i], value, *self.default_scalars[i + 1 :])
                )
        special = special_values(dtype, device)
        other_tensors = (special.flip(0), *[torch.zeros_like(special)] * len(tensors))
        yield Sample("special values", ((special, *other_tensors)[: len(tensors)] + self.default_scalars))

    def error_samples(self, device: str) -> Iterator[ErrorSample]:
        """Calls with wrong dtypes, shapes, devices and types."""
        x, first, last = torch.ones(4, device=device), self.tensors[0], self.tensors[-1]
        expected = "expected " + " or ".join(
            ", ".join(str(d).removeprefix("torch.") for d in self.dtypes).rsplit(", ", 1)
        )
        other_tensors = (x,) * (len(self.tensors) - 1)
        yield ErrorSample(
            "wrong dtype", ((x.double(),) * len(self.tensors) + self.default_scalars), (first, "float64", expected)
        )
        yield ErrorSample(
            "integer", ((x.int(),) * len(self.tensors) + self.default_scalars), (first, "int32", expected)
        )
        yield ErrorSample("non-tensor", (*other_tensors, 1.0, *self.default_scalars), (last, "float", "Tensor"))
        if other_tensors:
            yield ErrorSample(
                "dtypes differ",
                (*other_tensors, x.half(), *self.default_scalars),
                (last, "float16", "expected float32"),
            )
            yield ErrorSample(
                "shapes differ", (*other_tensors, x[:3], *self.default_scalars), (last, "[3]", "expected [4]")
            )
            yield ErrorSample(
                "no broadcasting", (*other_tensors, x[:1], *self.default_scalars), (last, "[1]", "expected [4]")
            )
            yield ErrorSample(
                "ranks differ", (*other_tensors, x.view(2, 2), *self.default_scalars), (last, "[2, 2]", "expected [4]")
            )
            yield ErrorSample(
                "mixed devices",
                (*other_tensors, x.to("meta"), *self.default_scalars),
                (last, "meta", f"expected {device}"),
            )
        for i, (name, kind) in enumerate(self.scalars):
            scalars = (*self.default_scalars[:i], "text", *self.default_scalars[i + 1 :])
            yield ErrorSample(f"{name} of another type", (*other_tensors, x, *scalars), (name, kind))

    def drawn(self, draw: Draw) -> tuple[Any, ...]:
        """The arguments of a call that hypothesis draws."""
        shape = draw.shape()
        return (*(draw.tensor(shape) for _ in self.tensors), *(draw.choice(VALUES[kind]) for _, kind in self.scalars))

    def large(self, device: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """A call with more than 2^31 elements in the smallest dtype, and the call of its last elements."""
        dtype = min(self.dtypes, key=lambda d: d.itemsize)
        x = torch.zeros((LARGE_ROWS, LARGE_COLUMNS), dtype=dtype, device=device)
        x[-4:] = randn((4, LARGE_COLUMNS), dtype, device)
        return (x,) * len(self.tensors) + self.default_scalars, (x[-4:],) * len(self.tensors) + self.default_scalars

    def bench(self, shape: Shape, name: str, **options: bool) -> BenchSample:
        """A realistic size."""
        make = lambda dtype, device: (*(big_randn(shape, dtype, device) for _ in self.tensors), *self.default_scalars)  # noqa: E731
        return BenchSample(name, make, math.prod(shape), **options)


def elementwise(
    name: str,
    schema: str,
    compute: Callable[..., Any],
    *,
    flops: int,
    dtypes: tuple[torch.dtype, ...] = FLOAT_DTYPES,
    **fields: Any,
) -> OpSpec:
    """Makes the spec of an op that takes tensors of one shape and dtype, then scalars, and returns such a tensor.

    Args:
        name: name of the op.
        schema: schema without the name.
        compute: the op, in operations that tensors and `rounding.Bounded` both have.
        flops: number of floating-point operations per element.
        dtypes: dtypes that the op accepts.
        fields: other fields of `OpSpec`, which override those made here.
    """
    arguments = torch._C.parse_schema(f"spec::{name}{schema}").arguments
    tensors = tuple(a.name for a in arguments if str(a.type) == "Tensor")
    scalars = tuple((a.name, str(a.type)) for a in arguments if str(a.type) != "Tensor")
    calls = Calls(tensors, scalars, dtypes)
    spec = OpSpec(
        name=name,
        schema=schema,
        out_schema=out_schema(schema),
        reference=compute,
        formula=compute,
        eager=compute,
        samples=calls.samples,
        jit_samples=("5x83",),
        sized=lambda n, dtype, device: calls.of((2 * n, 9 * n), dtype, device),
        rows=lambda length, dtype, device: [calls.of((3, length), dtype, device)],
        large=calls.large,
        drawn=calls.drawn,
        bench_samples=tuple(calls.bench(shape, name, quick=shape[0] > 1) for shape, name in BENCH.items()),
        error_samples=calls.error_samples,
        dtypes=dtypes,
        out_may_be_input=True,
        autocast="widest",
        cost=lambda x, *other_tensors: Cost(
            bytes=(len(tensors) + 1) * x.numel() * x.element_size(), flops=flops * x.numel()
        ),
    )
    return replace(spec, **fields)
