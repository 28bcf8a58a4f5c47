"""`patch`: runs a `transformers` model on this side's ops, and undoes it.

A patched model keeps its modules, parameters, hooks and `state_dict`; only forward functions are replaced, on the
module instances. Layers that transformers marks for Hugging Face's `kernels` library are replaced through that library,
attention through `transformers.AttentionInterface`. Wherever an op does not fit a call (another dtype, a gradient that
it does not have, a hook on a child that it would skip), the module's own forward runs.

This folder is one source for both sides: in `mojo_ops` it is a link to that of `cpp_ext`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from .._routes import DEFAULT

if TYPE_CHECKING:
    from .patch import Patch


def patch(model: nn.Module, ops: str | Iterable[str] | None = None, route: str = DEFAULT) -> Patch:
    """Replaces the forward functions of known modules by ones that call this side's ops.

    The same call again returns the patch that is in place. Pickled, saved and spawned copies of a patched model are the
    original model, `copy.deepcopy` gives a patched one.

    Args:
        model: a model of transformers, or any module that contains known modules.
        ops: names of ops, some of `OPS` in `catalogue.py`; by default all but `linear_w8`, whose int8 weights change
            the answers of the model.
        route: one of `ROUTES` in `_routes.py`.

    Returns:
        What was replaced, what was left and why; `unpatch()` undoes it, and so does the end of a `with` block.

    Raises:
        ImportError: the route is not built, or `kernels` or `transformers` is missing or does not fit.
        TypeError: model is not a torch.nn.Module.
        ValueError: route or an op is unknown, the model is patched with other arguments, or nothing in it can be
            replaced; the model is unchanged.
    """
    from .requirements import check

    check()
    from .patch import patch_by_route  # most programs that use the ops patch nothing

    return patch_by_route(model, ops, route)
