"""OpSpec: the description of an op from which tests, benchmarks and report rows are made."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from shared_tests.op_files import ops_in

if TYPE_CHECKING:
    from shared_tests.drawn import Draw

FLOAT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Sample:
    """One call of an op. `args` are in schema order; tensors may be views of any layout."""

    id: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class BenchSample:
    """A realistic size: `id` names model and shape, `make(dtype, device)` builds the arguments.

    in_turn: calls cycle through several equal sets of arguments that together exceed every cache. This is how a layer
        of a model finds its weights while decoding, because the other layers ran in between.
    """

    id: str
    make: Callable[[torch.dtype, str], tuple[Any, ...]]
    elements: int
    quick: bool = False
    in_turn: bool = False


@dataclass(frozen=True)
class ErrorSample:
    """A bad call, the exception types allowed, and the strings that the message must contain."""

    id: str
    args: tuple[Any, ...]
    message_parts: tuple[str, ...]
    exceptions: tuple[type[Exception], ...] = (ValueError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Cost:
    """The least work of a call: `bytes` that it must read or write, each counted once, and `flops` of its formula."""

    bytes: int
    flops: int


@dataclass(frozen=True)
class Skip:
    """A known gap: the route, dtype and sample id that it applies to (None means all), the reason, and a link."""

    why: str
    link: str
    route: str | None = None
    dtype: torch.dtype | None = None
    sample: str | None = None

    def covers(self, route: str, dtype: torch.dtype, sample: str) -> bool:
        return self.route in (None, route) and self.dtype in (None, dtype) and self.sample in (None, sample)


@dataclass(frozen=True)
class OpSpec:
    """Everything about an op that does not depend on its implementation.

    name: the op's name everywhere (files, namespaces, report rows).
    schema: its PyTorch schema without the name, `"(Tensor a, Tensor b) -> Tensor"`.
    out_schema: the schema of its `out` overload, which writes into existing outputs; None for an op that writes its
        arguments, `"(Tensor(a!) x, ...) -> ()"`.
    reference: the op in eager PyTorch; runs in the op's dtypes and in float64. For an op that writes its arguments,
        it returns their new values, in order, and changes nothing.
    formula: the op in `rounding.Bounded` arithmetic, which gives the floor of its tolerance. Floating-point tensors
        are passed as `Bounded`; an output that is not rounded is None.
    eager: what a PyTorch user would write, using the fused ATen op where one exists; it writes what the op writes.
    eager_out: the form of `eager` that writes into existing outputs (the last arguments), where PyTorch has one.
    samples: small calls, many of them edge cases, built lazily for a dtype and a device.
    jit_samples: ids of the few samples that are run on routes that compile at run time.
    sized: a call of fixed ranks whose dimensions grow with n (n >= 1), for dynamic shapes.
    rows: calls with rows of `length` elements, a multiple of 16 bytes. Such rows run through the vectorised loops of
        a kernel, which the small samples rarely reach. A row is what one thread block of a kernel works on.
    large: for a device, a call with over 2^31 elements and the same call on its last rows only; None where another op
        of the same kind has one.
    bench_samples: a few realistic calls, for benchmarks.
    drawn: builds the arguments of a call from values that hypothesis draws.
    error_samples: bad calls.
    cost: the least bytes and flops of a call.
    dtypes: the dtypes that the op accepts.
    dependent: recomputes, in place, the arguments that are derived from others, such as results that a forward op has
        saved; for callers that change argument values and need a consistent call.
    out_may_be_input: the `out` overload may write over its first argument.
    gradients: names of the arguments for which every registered route has a gradient, equal to that of `reference`.
    autocast: the dtype that autocast casts floating-point arguments to, following PyTorch's lists
        (ATen/autocast_mode.h): `float32` as for norms and losses, the `widest` dtype among them, or `lower` precision
        as for matrix products; None means no cast.
    eager_is_exact: whether eager gives the result that the spec asks for, element by element. Otherwise `reference`
        does, as for `top_k`, because torch.topk leaves the order of equal values open.
    no_max_graph: why the op cannot be written in MAX's own graph operations, or None if it can.
    deterministic: a sentence for readers on whether two runs with the same arguments give the same bits.
    skips: known gaps.
    probe: whether the op only measures the dispatch of a call with many arguments. A probe is in every correctness
        test, but in no run-time or code-size row, no claim and no headline.
    """

    name: str
    schema: str
    out_schema: str | None
    reference: Callable[..., Any]
    formula: Callable[..., Any]
    eager: Callable[..., Any]
    samples: Callable[[torch.dtype, str], Iterator[Sample]]
    jit_samples: tuple[str, ...]
    sized: Callable[[int, torch.dtype, str], tuple[Any, ...]]
    rows: Callable[[int, torch.dtype, str], list[tuple[Any, ...]]]
    bench_samples: tuple[BenchSample, ...]
    error_samples: Callable[[str], Iterator[ErrorSample]]
    cost: Callable[..., Cost]
    drawn: Callable[[Draw], tuple[Any, ...]] | None = None
    eager_out: Callable[..., Any] | None = None
    large: Callable[[str], tuple[tuple[Any, ...], tuple[Any, ...]]] | None = None
    dtypes: tuple[torch.dtype, ...] = FLOAT_DTYPES
    dependent: Callable[..., None] | None = None
    out_may_be_input: bool = False
    gradients: tuple[str, ...] = ()
    autocast: Literal["float32", "widest", "lower"] | None = None
    eager_is_exact: bool = True
    no_max_graph: str | None = None
    deterministic: str = "bit for bit, whatever the number of threads"
    skips: tuple[Skip, ...] = ()
    probe: bool = False

    @property
    def tensor_args(self) -> tuple[str, ...]:
        """Names of the tensor arguments, in order."""
        return tuple(a.name for a in self.parsed.arguments if str(a.type) in ("Tensor", "Optional[Tensor]"))

    @functools.cached_property
    def mutates(self) -> tuple[int, ...]:
        """Positions of the arguments that the op writes."""
        return tuple(i for i, a in enumerate(self.parsed.arguments) if a.alias_info is not None and a.is_write)

    @functools.cached_property
    def parsed(self) -> torch._C.FunctionSchema:
        return torch._C.parse_schema(f"spec::{self.name}{self.schema}")

    @functools.cached_property
    def parsed_out(self) -> torch._C.FunctionSchema:
        if self.out_schema is None:
            raise ValueError(f"{self.name} writes its arguments and has no `out` overload")
        return torch._C.parse_schema(f"spec::{self.name}.out{self.out_schema}")

    @property
    def out_names(self) -> tuple[str, ...]:
        """Names of the `out` overload's outputs, in the order of the functional results."""
        if self.out_schema is None:
            return tuple(self.parsed.arguments[i].name for i in self.mutates)
        return tuple(a.name for a in self.parsed_out.arguments if a.kwarg_only)

    def results(self, value: Any) -> tuple[torch.Tensor, ...]:
        """The op's result as a tuple of tensors, also if it is a single tensor."""
        return (value,) if isinstance(value, torch.Tensor) else tuple(value)

    def functional(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `call`, an implementation of the op, so that it changes none of its arguments.

        If the op writes its arguments, `call` gets copies of them, and the function returns their new values.
        """
        if not self.mutates:
            return call

        def function(*args: Any) -> Any:
            copies = list(args)
            for i in self.mutates:
                if isinstance(copies[i], torch.Tensor):
                    copies[i] = copies[i].clone(memory_format=torch.preserve_format)
            result = call(*copies)
            if result is not None:
                raise TypeError(f"{self.name} returned {type(result).__name__}, expected None")
            return tuple(copies[i] for i in self.mutates)

        return function

    @property
    def yardstick(self) -> Callable[..., Any]:
        """The function that results in the op's own dtype are compared with."""
        return self.functional(self.eager) if self.eager_is_exact else self.reference

    def empty_outputs(self, *args: Any) -> tuple[torch.Tensor, ...]:
        """Fresh, contiguous, uninitialised outputs for a call with `args`."""
        meta = [a.to("meta") if isinstance(a, torch.Tensor) else a for a in args]
        device = next(a.device for a in args if isinstance(a, torch.Tensor))
        return tuple(torch.empty(r.shape, dtype=r.dtype, device=device) for r in self.results(self.reference(*meta)))

    def why_skipped(self, route: str, dtype: torch.dtype, sample: str) -> str | None:
        """The reason and link of the first skip that covers this case, or None."""
        return next((f"{s.why} ({s.link})" for s in self.skips if s.covers(route, dtype, sample)), None)


@functools.cache
def all_specs() -> dict[str, OpSpec]:
    """Every op of the catalogue by name, found in `shared_tests.ops`: `SPEC` of a module, or `SPECS` of several ops.

    Raises:
        ValueError: a module whose specs are not those of the ops in its name.
    """
    from shared_tests import ops

    specs: dict[str, OpSpec] = {}
    for name in sorted(m.name for m in pkgutil.iter_modules(ops.__path__)):
        module = importlib.import_module(f"{ops.__name__}.{name}")
        module_specs: tuple[Any, ...] = getattr(module, "SPECS", (getattr(module, "SPEC", None),))
        if not all(isinstance(spec, OpSpec) for spec in module_specs) or [spec.name for spec in module_specs] != ops_in(
            name
        ):
            raise ValueError(
                f"shared_tests/ops/{name}.py: expected SPEC = OpSpec(name={name!r}, ...), got {module_specs!r}"
            )
        specs.update({spec.name: spec for spec in module_specs})
    return specs
