"""What autograd has at hand when it calls a gradient kernel: eager PyTorch must not be timed computing it again."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch

_keeps = True


@contextlib.contextmanager
def computed_again() -> Iterator[None]:
    """Within it nothing is kept: for those who change values where no version counter sees it."""
    global _keeps
    before, _keeps = _keeps, False
    try:
        yield
    finally:
        _keeps = before


def saved(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A form of `forward` that keeps its last result for as long as it is called with the same tensors, unchanged.

    It runs with gradients on. Tensors of inference mode, of which changes cannot be seen, are copied at every call, and
    so are all within `computed_again`.
    """
    last: tuple[Any, Any] = (None, None)

    def state(arg: Any) -> Any:
        return (weakref.ref(arg), arg._version, arg.data_ptr()) if isinstance(arg, torch.Tensor) else arg

    def same(now: Any, then: Any) -> bool:
        if isinstance(now, torch.Tensor) and isinstance(then, tuple):
            return then[0]() is now and then[1:] == (now._version, now.data_ptr())
        return not isinstance(now, torch.Tensor) and now == then

    def function(*args: Any) -> Any:
        nonlocal last
        with torch.inference_mode(False), torch.enable_grad():
            if not _keeps or any(isinstance(a, torch.Tensor) and a.is_inference() for a in args):
                return forward(*(a.clone() if isinstance(a, torch.Tensor) else a for a in args))
            before, result = last
            if before is None or len(before) != len(args) or not all(map(same, args, before)):
                result = forward(*args)
                last = (tuple(map(state, args)), result)
            return result

    return function
