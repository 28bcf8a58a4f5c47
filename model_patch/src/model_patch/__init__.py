"""Puts custom ops into the modules of a Hugging Face `transformers` model, and takes them out again.

`cpp_ext.patch` and `mojo_ops.patch` call `patch` with their own ops; neither needs the other. A swapped module gets a
subclass of its own class, with the same parameters under the same names: hooks, `state_dict`, `copy.deepcopy` and
`isinstance` work as before.
"""

from .patch import Left, Patch, Swapped, patch, patch_by_route
from .site import ANSWERS_KEPT, OPS

__all__ = ["ANSWERS_KEPT", "OPS", "Left", "Patch", "Swapped", "patch", "patch_by_route"]
