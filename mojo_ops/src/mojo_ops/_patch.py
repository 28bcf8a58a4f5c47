"""`patch`: the ops of mojo_ops in a model of transformers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from model_patch import Patch

ROUTES = {
    "mojo": "mojo_ops",
    "mojo_aot": "mojo_ops.aot",
    "mojo_stock": "mojo_ops.stock",
    "max_graph": "mojo_ops.max_graph",
}
DEVICES = {"mojo_aot": ("cpu",)}


def patch(model: nn.Module, ops: str | Iterable[str] | None = None, route: str = "mojo") -> Patch:
    """Swaps modules of a transformers model for ones that call these ops: LayerNorm, RMSNorm, GELU, MLPs, attention.

    Args:
        model: GPT-2, Llama, Mistral, Qwen2, or any model with their modules, in evaluation mode; changed in place.
        ops: names of ops; by default all that keep the answers, that is without linear_w8.
        route: `mojo`, `mojo_aot` (no MAX, CPU only), or `mojo_stock` and `max_graph`, which compile at first calls.

    Returns:
        What was swapped, what was left and why; `unpatch()` undoes it, and so does the end of a `with` block.

    Raises:
        ImportError: the package model_patch is missing, or the route is not built.
        TypeError: model is no torch.nn.Module.
        ValueError: route or an op is unknown, the model is patched already, or nothing in it can be swapped.
    """
    try:
        import model_patch
    except ImportError as error:
        raise ImportError(
            f"mojo_ops.patch needs the package model_patch ({error}); install it beside mojo_ops"
        ) from error
    return model_patch.patch_by_route(model, ops, route, ROUTES, DEVICES)
