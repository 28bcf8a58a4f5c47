"""The ops that a model can be patched with, and the ops of each route of this side."""

from __future__ import annotations

import functools
import importlib

from .._routes import DEVICES, OPAQUE, ROUTES, WITHOUT_AUTOGRAD
from .calls import Ops

# In the order in which `nox -s models` adds them, first for GPT-2 and then for Llama.
OPS = (
    "layer_norm",
    "rms_norm",
    "gelu_tanh",
    "gpt2_mlp",
    "rope",
    "silu_mul",
    "silu_and_mul",
    "add_rms_norm",
    "attention",
    "linear_w8",
)
ANSWERS_KEPT = tuple(op for op in OPS if op != "linear_w8")  # int8 weights change the results


@functools.cache
def route_ops(route: str) -> Ops:
    """The ops of a route.

    Raises:
        ImportError: the route is not built.
    """
    home = importlib.import_module(ROUTES[route], __package__.rpartition(".")[0])
    functions = {op: getattr(home, op) for op in OPS if hasattr(home, op)}
    devices = DEVICES.get(route, ("cpu", "cuda"))
    return Ops(route, functions, devices, route not in WITHOUT_AUTOGRAD, route not in OPAQUE)
