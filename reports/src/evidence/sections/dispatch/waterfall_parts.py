"""Which calls make up each part of a 16-element call: the waterfall as data.

A part is a sum of times of calls, each with a factor. The sums are taken within one round of the interleaved
measurement, so that drift hits all terms alike; what the parts leave of the whole is the row “not explained”.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evidence.core.sampling import median_interval
from evidence.core.timings import Gated, Timings, interval_keys, state
from evidence.sections.dispatch.row import PartKind, WaterfallRow

SMALL, BIG = 16, 1 << 14  # elements; at BIG the three tensors of an add still lie in the second-level cache
PER_SMALL = SMALL / (BIG - SMALL)

WHOLE: PartKind = "whole"
PART: PartKind = "part"
REMAINDER: PartKind = "remainder"
DETAIL: PartKind = "detail"
FORM: PartKind = "form"
CALL, COMPILED = "call", "compiled"

Terms = tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Part:
    """One row: `terms` are (factor, name of a timed call); `context` is `call` or `compiled`."""

    route: str
    name: str
    kind: PartKind
    terms: Terms
    how: str
    context: str = CALL


def kernel_terms(route: str, factor: float = 1.0) -> Terms:
    return ((factor * PER_SMALL, f"out:big:{route}"), (-factor * PER_SMALL, f"out:{route}"))


_KERNEL_HOW = f"slope of the out variant between {SMALL} and {BIG} elements, times {SMALL}"


def _native(route: str, abi: str, made: str) -> list[Part]:
    """A route whose whole call is machine code behind the dispatcher."""
    return [
        Part(route, "whole call", WHOLE, ((1, f"call:{route}"),), "tight loop"),
        Part(route, "dispatcher", PART, ((1, f"nothing:{abi}"),), f"an op of the same schema {made} that does nothing"),
        Part(route, "output allocation", PART, ((1, f"allocate:{abi}"), (-1, f"nothing:{abi}")),
             f"an op {made} that only allocates its output, less the one that does nothing"),
        Part(route, "argument checks", PART, ((1, f"zero:{route}"), (-1, f"allocate:zero:{abi}")),
             "the op itself on tensors of no elements, less the op that only allocates such a tensor"),
        Part(route, "kernel", PART, kernel_terms(route), _KERNEL_HOW),
        Part(route, "not explained", REMAINDER, (), "the whole call less the parts"),
    ]  # fmt: skip


_MOJO = [
    Part("mojo", "whole call", WHOLE, ((1, "call:mojo"),), "tight loop"),
    Part("mojo", "dispatcher", PART, ((1, "nothing:stable"),),
         "an op of the same schema in C++, registered through the same C functions, that does nothing"),
    Part("mojo", "output allocation", PART, ((1, "allocate:stable"), (-1, "nothing:stable")),
         "an op in C++ that only allocates its output, less the one that does nothing"),
    Part("mojo", "argument checks", PART, ((1, "zero:mojo"), (-1, "allocate:zero:stable")),
         "the op itself on tensors of no elements, less the op that only allocates such a tensor"),
    Part("mojo", "engine hand-off", PART, ((1, "engine:bare"),),
         "the same engine runs the same graph without a call in it, from Python through ctypes, whose own time lies "
         "between the calls"),
    Part("mojo", "the engine's own Python floor", DETAIL, ((1, "engine:device"),),
         "Model._execute_device_tensors on three ready buffers, a graph of MAX's own that adds in place, in a process "
         "without this route"),
    Part("mojo", "kernel", PART, kernel_terms("mojo"), _KERNEL_HOW),
    Part("mojo", "not explained", REMAINDER, (), "the whole call less the parts"),
]  # fmt: skip

PARTS: tuple[Part, ...] = (
    *_native("cpp", "stable", "in C++, registered through the stable ABI,"),
    *_native("cpp_classic", "classic", "in C++, registered through TORCH_LIBRARY,"),
    *_MOJO,
    *_native("mojo_aot", "stable", "in C++, registered through the same C functions,"),
    Part("mojo_stock", "whole call", WHOLE, ((1, "call:mojo_stock"),), "tight loop"),
    Part("mojo_stock", "dispatcher and custom_op", PART, ((1, "nothing:custom_op"),),
         "a torch.library.custom_op that changes its first argument and does nothing"),
    Part("mojo_stock", "output and argument checks", PART, ((1, "python:stock_empty"), (-1, "python:bare")),
         "the op that checks the arguments and allocates the output, less a Python function that does nothing"),
    Part("mojo_stock", "DLPack and Buffer", PART, ((1, "python:stock_buffers"), (-1, "python:bare")),
         "three tensors through Tensor.__dlpack__ and Buffer.from_dlpack, less a Python function that does nothing"),
    Part("mojo_stock", "MLIR context", PART, ((1, "stock:context"), (-1, "python:bare")),
         "MAX's call_with_default_mlir_context around a function that does nothing, less that function"),
    Part("mojo_stock", "model looked up by shape", PART, ((1, "stock:lookup"), (-1, "python:bare")),
         "CustomOpLibrary's own look-up of the compiled model, less a Python function that does nothing"),
    Part("mojo_stock", "engine hand-off", PART, ((1, "stock:execute"),),
         "Model.execute of CustomOpLibrary's own graph on ready buffers: kernel and copy of the result included"),
    Part("mojo_stock", "not explained", REMAINDER, (), "the whole call less the parts"),
    Part("mojo", "whole call", WHOLE, ((1, "compiled:mojo"),), "tight loop over a torch.compile'd function", COMPILED),
    Part("mojo", "the op itself", PART, ((1, "call:mojo"),), "the same call without torch.compile", COMPILED),
    Part("mojo", "guards and wrapper", PART, ((1, "compiled:nothing:stable"), (-1, "nothing:stable")),
         "the op in C++ that does nothing: in a compiled function, less without", COMPILED),
    Part("mojo", "slower engine hand-off", PART,
         ((1, "compiled:engine:op"), (-1, "engine:op"), (-1, "compiled:nothing:python"), (1, "nothing:python")),
         "an op in Python that only runs the engine on ready buffers: in a compiled function less without, beyond the "
         "op in Python that does nothing", COMPILED),
    Part("mojo", "not explained", REMAINDER, (), "the whole call less the parts", COMPILED),
    Part("cpp", "whole call", WHOLE, ((1, "compiled:cpp"),), "tight loop over a torch.compile'd function", COMPILED),
    Part("cpp", "the op itself", PART, ((1, "call:cpp"),), "the same call without torch.compile", COMPILED),
    Part("cpp", "guards and wrapper", PART, ((1, "compiled:nothing:stable"), (-1, "nothing:stable")),
         "the op in C++ that does nothing: in a compiled function, less without", COMPILED),
    Part("cpp", "not explained", REMAINDER, (), "the whole call less the parts", COMPILED),
)  # fmt: skip

FORMULA, RECORDED = "op with its gradient formula", "the same, gradient recorded"


def _forms(route: str, namespace: str) -> list[Part]:
    """The ways to call one registered op, so that no figure of a call stands for another one."""
    op = f"torch.ops.{namespace}.add"
    return [
        Part(route, "typed function", FORM, ((1, f"call:{route}"),), "the package's function, as in the figure above"),
        Part(route, FORMULA, FORM, ((1, f"formula:{route}"),), f"{op}(a, b), no tensor requires grad"),
        Part(route, "overload without gradient", FORM, ((1, f"no_grad:{route}"),), f"{op}.no_grad(a, b)"),
        Part(route, RECORDED, FORM, ((1, f"recorded:{route}"),), f"{op}(a, b), a requires grad; forward only"),
    ]


FORM_PARTS: tuple[Part, ...] = (
    Part("eager", FORMULA, FORM, ((1, "call:eager"),), "torch.add(a, b), no tensor requires grad"),
    Part("eager", RECORDED, FORM, ((1, "recorded:eager"),), "torch.add(a, b), a requires grad; forward only"),
    *_forms("cpp", "cpp_ext"),
    *_forms("cpp_classic", "cpp_classic"),
    *_forms("mojo", "mojo_ops"),
    *_forms("mojo_aot", "mojo_aot"),
)

GAPS_US = (0, 20, 50, 100, 200, 500, 1000)


def gap_part(route: str, gap: int) -> Part:
    """What the engine (route mojo) or the op (route cpp) takes after so many microseconds of other work."""
    what = "engine hand-off" if route == "mojo" else "call"
    return Part(route, f"{what} after {gap} µs of other work", DETAIL, ((1, f"gap:{route}:{gap}"),),
                "one call at a time, each after a busy loop in Python of this length")  # fmt: skip


GAP_PARTS = tuple(gap_part(route, gap) for route in ("mojo", "cpp") for gap in GAPS_US)


def evaluate(part: Part, times: dict[str, list[float]]) -> list[float] | None:
    """The part's microseconds, one value a round, or None where one of its calls was not timed."""
    if part.kind == REMAINDER:
        return _remainder(part, times)
    if any(name not in times for _, name in part.terms):
        return None
    rounds = min(len(times[name]) for _, name in part.terms)
    values = sum(factor * np.array(times[name][:rounds]) for factor, name in part.terms)
    return list(np.asarray(values, dtype=float))


def _remainder(part: Part, times: dict[str, list[float]]) -> list[float] | None:
    """The whole less all parts that could be measured."""
    family = [p for p in PARTS if (p.route, p.context) == (part.route, part.context)]
    whole = next((evaluate(p, times) for p in family if p.kind == WHOLE), None)
    if whole is None:
        return None
    left = np.array(whole)
    for member in family:
        values = evaluate(member, times) if member.kind == PART else None
        if values is not None:
            rounds = min(len(left), len(values))  # two processes seldom end at the same round
            left = left[:rounds] - np.array(values[:rounds])
    return list(left)


def waterfall_rows(timings: Timings, routes: list[str], gated: Gated, message: str | None = None) -> list[WaterfallRow]:
    """The `waterfall` rows of the routes that were asked for; a part that has no time says why."""
    times = {name: runs[0] for name, runs in timings.times.items() if runs}
    rows = []
    for part in (*PARTS, *FORM_PARTS, *GAP_PARTS):
        if part.route not in (*routes, *gated):
            continue
        values = evaluate(part, times)
        absent = [timings.refused[name] for _, name in part.terms if name in timings.refused]
        reason = (absent or [message or "was not timed"])[0]
        status, why = state(gated, part.route, values is not None, "error", reason)
        rows.append(
            WaterfallRow(
                route=part.route,
                part=part.name,
                kind=part.kind,
                context=part.context,
                how=part.how,
                **interval_keys(median_interval(values) if values else None, "median_us", "low_us", "high_us"),
                status=status,
                message=why,
            )
        )
    return rows
