"""Registration of gradient formulas, shared by every namespace that has the ops."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from ._fake import FAKES, register_fake

Backward = Callable[..., Any]

FORMULAS: dict[str, tuple[Backward, Callable[..., None]]] = {}


def add_formula(namespace: str, op: str) -> None:
    """Gives an op of a namespace the formula that was registered for it."""
    backward, setup_context = FORMULAS[op]
    bound = once_differentiable(functools.partial(backward, getattr(torch.ops, namespace)))
    torch.library.register_autograd(f"{namespace}::{op}", bound, setup_context=setup_context)


def register_autograd(op: str, backward: Backward, setup_context: Callable[..., None] | None = None) -> None:
    """Registers the gradient of ``cpp_ext::<op>``, after its fake kernel.

    Args:
        op: name without namespace.
        backward: ``(ops, ctx, *gradients of the outputs) -> gradients of the arguments``; `ops` is the namespace, whose
            ops it calls by their overload ``no_grad``. It is differentiated once: PyTorch refuses a second derivative.
        setup_context: ``(ctx, inputs, output)``: saves what `backward` needs, if it needs anything.
    """
    register_fake(f"{op}.no_grad")(FAKES[op])
    FORMULAS[op] = backward, setup_context or (lambda ctx, inputs, output: None)
    add_formula("cpp_ext", op)


def no_gradient(op: str, why: str) -> None:
    """Registers a gradient that refuses: without one PyTorch warns, and leaves the op's part out.

    Args:
        op: name without namespace.
        why: completes «<op>: », as in «is for inference and has no gradient».
    """

    def refuse(ops: Any, ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(f"{op}: {why}")

    register_autograd(op, refuse)
