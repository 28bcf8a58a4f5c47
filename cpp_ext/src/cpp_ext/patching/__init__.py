"""`patch`: this side's ops in the modules of a Hugging Face `transformers` model, and out again.

A swapped module gets a subclass of its own class, with the same parameters under the same names: hooks, `state_dict`,
`copy.deepcopy` and `isinstance` work as before. Both sides have this folder, since each is complete in itself; the two
are alike but for `routes.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from .routes import DEFAULT

if TYPE_CHECKING:
    from .swap import Patch


def patch(model: nn.Module, ops: str | Iterable[str] | None = None, route: str = DEFAULT) -> Patch:
    """Swaps known modules of a transformers model for ones that call this side's ops. Inference in evaluation mode.

    Args:
        model: GPT-2, Llama, Mistral, Qwen2, or any model with their modules; changed in place.
        ops: names of ops, some of `site.OPS`; by default all that keep the answers, that is without linear_w8.
        route: one of `routes.ROUTES`.

    Returns:
        What was swapped, what was left and why; `unpatch()` undoes it, and so does the end of a `with` block.

    Raises:
        ImportError: the route is not built.
        TypeError: model is no torch.nn.Module.
        ValueError: route or an op is unknown, the model is patched already, or nothing in it can be swapped; the model
            is unchanged.
    """
    from .swap import patch_by_route  # most programs that use the ops patch nothing

    return patch_by_route(model, ops, route)
