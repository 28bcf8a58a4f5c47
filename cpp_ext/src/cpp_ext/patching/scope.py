"""Attention modules with other functions in the scope of their forward, for one model at a time.

transformers' attention modules look up the rotary function and the table of attention functions in their Python
module. Replaced there (`kernelize` does so with the rotary function), they would change for every model of the family
in the process; here the patched modules get their own forward with other objects under the same names.
"""

from __future__ import annotations

import types
from typing import Any

from torch import nn

from .calls import Function


def rescoped(base: type[nn.Module], replaced: tuple[tuple[str, Any], ...]) -> Function:
    """The forward of a class with other objects under some global names. Functions under other names are looked up at
    each call, so that one that is replaced in the Python module later runs here too."""
    forward, home = base.forward, base.forward.__globals__
    # Under its module's name torch.compile would look the names up there.
    scope = {name: value for name, value in home.items() if name != "__name__"}
    for name in forward.__code__.co_names:
        if isinstance(home.get(name), (types.FunctionType, nn.Module)):  # `kernels` makes modules of functions
            scope[name] = _looked_up(home, name)
    scope |= dict(replaced)
    bound = types.FunctionType(forward.__code__, scope, "forward", forward.__defaults__, forward.__closure__)
    bound.__kwdefaults__ = forward.__kwdefaults__
    return bound


def _looked_up(home: dict[str, Any], name: str) -> Function:
    return lambda *args, **kwargs: home[name](*args, **kwargs)
