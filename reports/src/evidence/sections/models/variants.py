"""One model in many variants: every stage on every route, put in and taken out at no cost."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evidence.sections.models.functions import NOTHING, OWN, Function
from evidence.sections.models.names import NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.zoo import Stages, cumulative
from shared_tests.routes import all_routes

if TYPE_CHECKING:
    from cpp_ext.patching.patch import Patch

SIDES = {"cpp": "cpp_ext", "mojo": "mojo_ops"}
PACKAGES = {name: SIDES[route.side] for name, route in all_routes().items() if route.side in SIDES}
Key = tuple[str, str]  # stage, route


def patch_with(model: Any, functions: Mapping[str, Function], ops: tuple[str, ...], route: str) -> Patch:
    """Patches a model with functions that are neither side's, by the code of the side that is built: both have it."""
    for package in SIDES.values():
        try:
            patching = importlib.import_module(f"{package}.patching.patch")
        except ImportError:
            continue
        return patching.patch_with(model, patching.Ops(route, functions), ops)
    raise ImportError("neither cpp_ext nor mojo_ops is built; run `nox -s build_cpp build_mojo`")


def patcher(route: str) -> Callable[[Any, tuple[str, ...]], Patch]:
    """What patches a model by a route of either side, or by one of the tables that are neither's."""
    if route in (OWN_FORMULAS, NO_WORK):
        table = OWN if route == OWN_FORMULAS else NOTHING
        return lambda model, ops: patch_with(model, table, ops, route)
    package = importlib.import_module(PACKAGES[route])
    return lambda model, ops: package.patch(model, ops, route=route)


class Variants:
    """The variants of one model; `use(key)` is a context in which the model is that variant.

    patches: by (stage, route), ready to be put in.
    refused: why a route has no such stage.
    """

    def __init__(self, model: Any, stages: Stages, routes: list[str]):
        self.model = model
        self.patches: dict[Key, Patch] = {}
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

    def keys(self, *, bounds: bool = True) -> list[Key]:
        """The original and every variant; without bounds where answers are asked for."""
        return [(ORIGINAL, ORIGINAL), *((stage, route) for stage, route in self.patches if bounds or route != NO_WORK)]
