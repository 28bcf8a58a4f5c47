"""Registers gradient formulas for every namespace that has the ops."""

from collections.abc import Callable
from typing import Any

from ._autocast import POLICIES, Policy, add_autocast
from ._formulas import Formula, add_formula
from ._library import library

Backward = Callable[..., Any]

FORMULAS: dict[str, Formula] = {}


def add(namespace: str, op: str) -> None:
    """Adds the registered gradient formula and autocast policy to an op in a namespace."""
    add_formula(library(namespace), op, FORMULAS[op])
    if op in POLICIES:
        add_autocast(namespace, op, library(namespace))


def _register(
    op: str, backward: Backward, setup_context: Callable[..., None] | None, no_gradient: str, autocast: Policy | None
) -> None:
    FORMULAS[op] = Formula(backward, setup_context or (lambda ctx, inputs, output: None), no_gradient)
    if autocast:
        POLICIES[op] = autocast
    add("cpp_ext", op)


def register_autograd(
    op: str,
    backward: Backward,
    setup_context: Callable[..., None] | None = None,
    *,
    autocast: Policy | None = None,
) -> None:
    """Registers the gradient of ``cpp_ext::<op>``.

    Args:
        op: name without namespace.
        backward: ``(ops, ctx, *gradients of the outputs) -> gradients of the arguments``; `ops` has the ops of the
            namespace that was called, see `Differentiable`.
        setup_context: ``(ctx, inputs, output)``: saves what `backward` needs, if it needs anything.
        autocast: what autocast casts the arguments to; None where it leaves them alone.
    """
    _register(op, backward, setup_context, "", autocast)


def no_gradient(op: str, reason: str, *, autocast: Policy | None = None) -> None:
    """Makes an op raise an error if a call needs a gradient.

    A gradient op, ``<op>_backward``, raises only when its result is differentiated, because ``create_graph=True``
    records a derivative for everything in the graph, although not all of them are used.

    Args:
        op: name without namespace.
        reason: completes "<op> ...", as in "is for inference and has no gradient".
        autocast: as in `register_autograd`.
    """

    def refuse(ops: Any, ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(f"{op}: {reason}")

    at_the_call = "" if op.endswith("_backward") else f"{op} {reason}"
    _register(op, refuse, None, at_the_call, autocast)
