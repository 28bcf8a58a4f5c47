"""Gives the attention modules of one model a forward with other global functions.

transformers' attention modules look up the rotary function and the table of attention functions in their Python
module. Replacing them there, as `kernelize` does with the rotary function, would change every model of the family in
the process. Instead, each patched module gets its own forward with other objects under the same names.
"""

from __future__ import annotations

import types
from typing import Any

from torch import nn

from .calls import Function


def rescoped(base: type[nn.Module], replaced: tuple[tuple[str, Any], ...]) -> Function:
    """The forward of a class in which the global names in `replaced` refer to other objects.

    Other functions are looked up at each call, so that later replacements in the Python module take effect.
    """
    forward, home = base.forward, base.forward.__globals__
    # With the module's `__name__`, torch.compile would look the names up in that module.
    scope = {name: value for name, value in home.items() if name != "__name__"}
    for name in forward.__code__.co_names:
        if isinstance(home.get(name), (types.FunctionType, nn.Module)):  # `kernels` turns functions into modules
            scope[name] = _looked_up(home, name)
    scope |= dict(replaced)
    bound = types.FunctionType(forward.__code__, scope, "forward", forward.__defaults__, forward.__closure__)
    bound.__kwdefaults__ = forward.__kwdefaults__
    return bound


def _looked_up(home: dict[str, Any], name: str) -> Function:
    return lambda *args, **kwargs: home[name](*args, **kwargs)
