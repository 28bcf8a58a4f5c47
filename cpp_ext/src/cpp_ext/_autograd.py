"""Registration of gradient formulas, shared by every namespace that has the ops."""

from collections.abc import Callable
from typing import Any

from ._autocast import POLICIES, Policy, add_autocast
from ._formulas import Formula, add_formula
from ._library import library

Backward = Callable[..., Any]

FORMULAS: dict[str, Formula] = {}


def add(namespace: str, op: str) -> None:
    """Gives an op of a namespace the formula and the autocast policy that were registered for it."""
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
    """Registers that an op has no gradient: a call that needs one raises.

    A gradient op, ``<op>_backward``, raises when its result is differentiated instead: ``create_graph=True`` asks for a
    derivative of everything in the graph, but only some of it is used.

    Args:
        op: name without namespace.
        reason: completes "<op> ...", as in "is for inference and has no gradient".
        autocast: as in `register_autograd`.
    """

    def refuse(ops: Any, ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(f"{op}: {reason}")

    at_the_call = "" if op.endswith("_backward") else f"{op} {reason}"
    _register(op, refuse, None, at_the_call, autocast)
