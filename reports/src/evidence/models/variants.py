"""One model in many variants: every stage on every route, put in and taken out at no cost."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import model_patch
from evidence.models.functions import NOTHING, OWN
from evidence.models.zoo import INT8, ORIGINAL, Stages

OWN_ROUTE, BOUND, AGAIN = "own formulas", "no work", "original again"
PACKAGES = {
    "cpp": "cpp_ext",
    "cpp_pybind": "cpp_ext",
    "cpp_classic": "cpp_ext",
    "mojo": "mojo_ops",
    "mojo_aot": "mojo_ops",
    "mojo_stock": "mojo_ops",
    "max_graph": "mojo_ops",
}
Key = tuple[str, str]  # stage, route


def patcher(route: str) -> Callable[[Any, tuple[str, ...]], model_patch.Patch]:
    """What patches a model by a route of either side, or by one of the tables that are neither's."""
    if route in (OWN_ROUTE, BOUND):
        table = OWN if route == OWN_ROUTE else NOTHING
        return lambda model, ops: model_patch.patch(model, table, ops, route=route)
    package = importlib.import_module(PACKAGES[route])
    return lambda model, ops: package.patch(model, ops, route=route)


def cumulative(stages: Stages) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each stage with its ops and those of all before it."""
    ops: tuple[str, ...] = ()
    for stage, more in stages:
        ops += more
        yield stage, ops


class Variants:
    """The variants of one model; `use(key)` is a context in which the model is that variant.

    patches: by (stage, route), ready to be put in.
    refused: why a route has no such stage.
    """

    def __init__(self, model: Any, stages: Stages, routes: list[str]):
        self.model = model
        self.patches: dict[Key, model_patch.Patch] = {}
        self.refused: dict[Key, str] = {}
        for stage, ops in cumulative(stages):
            for route in routes:
                try:
                    patch = patcher(route)(model, ops)
                except Exception as error:  # whatever a route raises is a result of the measurement
                    self.refused[stage, route] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                    continue
                patch.off()
                self.patches[stage, route] = patch

    @contextmanager
    def use(self, key: Key) -> Iterator[Any]:
        """The model as this variant; as it was made for the stage `ORIGINAL`."""
        if key[0] == ORIGINAL:
            yield self.model
            return
        patch = self.patches[key]
        patch.on()
        try:
            yield self.model
        finally:
            patch.off()

    def keys(self, *, int8: bool = True, bounds: bool = True) -> list[Key]:
        """The original and every variant; without int8 or bounds where the answers must be the same."""
        given = [
            (stage, route) for stage, route in self.patches if (int8 or stage != INT8) and (bounds or route != BOUND)
        ]
        return [(ORIGINAL, ORIGINAL), *given]
