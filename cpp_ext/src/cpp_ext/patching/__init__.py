"""`patch` makes a `transformers` model run on this side's ops, and can be undone.

A patched model keeps its modules, parameters, hooks and `state_dict`; only forward functions are replaced, on the
module instances. Layers that transformers marks for Hugging Face's `kernels` library are replaced through that library,
attention through the table of attention functions that its module sees. If an op does not fit a call (another dtype, a
gradient that it does not have, a hook on a child that it would skip), the module's own forward runs.

Both sides share this folder: in `mojo_ops` it is a link to the folder in `cpp_ext`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from .._routes import DEFAULT

if TYPE_CHECKING:
    from .patch import Patch


def patch(model: nn.Module, ops: str | Iterable[str] | None = None, route: str = DEFAULT) -> Patch:
    """Replaces the forward functions of known modules with functions that call this side's ops.

    Repeating a call returns the patch that is in place. Pickled, saved and spawned copies of a patched model are
    unpatched; `copy.deepcopy` returns a patched copy.

    Args:
        model: a model of transformers, or any module that contains known modules.
        ops: names of ops from `OPS` in `catalogue.py`; by default all except `linear_w8`, whose int8 weights change
            the model's results.
        route: one of `ROUTES` in `_routes.py`.

    Returns:
        The patch, which lists what was replaced, and what was not and why. `unpatch()` or the end of a `with` block
        undoes it.

    Raises:
        ImportError: the route is not built, or `kernels` or `transformers` is missing or does not fit.
        TypeError: model is not a torch.nn.Module.
        ValueError: route or an op is unknown, the model is patched with other arguments, or nothing in it can be
            replaced; the model is unchanged.
    """
    from .requirements import check

    check()
    from .patch import patch_by_route  # imported late, because most programs that use the ops patch nothing

    return patch_by_route(model, ops, route)
