"""Replaces `apply_rotary_pos_emb`, the rotary embedding that transformers' attention modules call."""

from __future__ import annotations

import pkgutil
import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from .calls import Function, Ops
from .known import form

NAME = "apply_rotary_pos_emb"


def original(module: nn.Module) -> Any:
    """The rotary function that the module's forward calls, or None."""
    forward = type(module).forward
    if isinstance(forward, types.FunctionType) and NAME in forward.__code__.co_names:
        return forward.__globals__.get(NAME)
    return None


def python_function(rotate: Any) -> Function:
    """The plain Python function. `kernels` wraps it in a module that holds it in a closure."""
    if isinstance(rotate, nn.Module):
        return next(cell.cell_contents for cell in type(rotate).forward.__closure__ or ())
    return rotate


def is_known(rotate: Any) -> bool:
    """Whether a function rotates the halves of a head, as the op does."""
    function = python_function(rotate)
    half = function.__globals__.get("rotate_half")
    return form(function) == "rope" and half is not None and form(half) == "rotate_half"


def rotation(module: nn.Module, ops: Ops) -> Function:
    """The function that a patched module calls instead of its rotary function."""
    module_globals = type(module).forward.__globals__
    original_function = module_globals[NAME]
    op, takes = ops.functions["rope"], ops.takes("rope")

    def apply_rotary_pos_emb(
        q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        original, dim = module_globals[NAME], q.shape[-1]
        is_supported = not (args or kwargs or dim % 2) and cos.dim() == 3 and cos.shape[-1] == dim
        # `kernels` turns the original into a module, so global module hooks must see its call.
        if not is_supported or original is not original_function or _has_any_global_hook() or not takes(q, k, cos, sin):
            return original(q, k, cos, sin, *args, **kwargs)
        query, key = q.transpose(1, 2), k.transpose(1, 2)
        batch, length, _ = cos.shape
        if batch == 1:
            query, key = op(query, key, cos[0], sin[0])
        else:  # each sequence has its own angles: concatenate the tables and pass the row of each token
            rows = torch.arange(batch * length, device=cos.device).view(batch, length)
            query, key = op(query, key, cos.reshape(-1, dim), sin.reshape(-1, dim), rows)
        return query.transpose(1, 2), key.transpose(1, 2)

    return apply_rotary_pos_emb


def let_pickle(model: nn.Module) -> None:
    """Makes a model picklable whose modules hold functions that `kernels` has wrapped in a local class."""
    for module in model.modules():
        for rotate in module.__dict__.get("_hidden_kernels", {}).values():
            if isinstance(rotate, nn.Module):
                function = python_function(rotate)
                reduction = pkgutil.resolve_name, (f"{function.__module__}:{function.__name__}",)
                type(rotate).__reduce__ = lambda self, reduction=reduction: reduction  # type: ignore[method-assign, misc]
