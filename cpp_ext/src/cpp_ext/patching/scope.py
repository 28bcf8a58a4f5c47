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
    """The forward of a class with other objects under some global names. Other names are those of this moment."""
    forward = base.forward
    # Under its module's name torch.compile would look the names up there.
    scope = {name: value for name, value in forward.__globals__.items() if name != "__name__"} | dict(replaced)
    bound = types.FunctionType(forward.__code__, scope, "forward", forward.__defaults__, forward.__closure__)
    bound.__kwdefaults__ = forward.__kwdefaults__
    return bound
