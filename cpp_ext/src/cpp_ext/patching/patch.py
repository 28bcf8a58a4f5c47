"""Puts ops into a model and takes them out again."""

from __future__ import annotations

import copy
import functools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any
from weakref import WeakSet

from torch import nn

from .._routes import ROUTES
from . import int8, rotary
from .calls import Function, Ops, current, patched, replacement
from .catalogue import ANSWERS_KEPT, OPS, route_ops
from .kernelized import kernelized_forwards
from .places import Finder
from .scope import rescoped

_PATCH_ATTRIBUTE = "_custom_op_patch"  # the attribute of a model that holds its patch


@dataclass(frozen=True)
class Swapped:
    """An op that a module now calls: the op, the name of the module and the name of its class."""

    op: str
    module: str
    kind: str


@dataclass(frozen=True)
class Left:
    """A module that an op could not replace, and the reason. `module` is empty if the model has no place for the op."""

    op: str
    module: str
    reason: str


_patches: WeakSet[Patch] = WeakSet()  # all patches that are alive


class Patch:
    """The changes made to a model. Used as a context manager, it undoes them at the end of the block.

    Attributes:
        model: the patched model.
        route: name of the route of the ops.
        requested: the ops that were requested.
        swapped: the modules that call an op.
        left: the modules that do not, with the reasons.
    """

    def __init__(
        self,
        model: nn.Module,
        route: str,
        requested: tuple[str, ...],
        forwards: list[tuple[nn.Module, Function]],
        swapped: Iterable[Swapped],
        left: Iterable[Left],
    ):
        self.model, self.route, self.requested = model, route, requested
        self.swapped, self.left = tuple(swapped), tuple(left)
        self._forwards = forwards
        _patches.add(self)
        self._on = self._undone = False

    @property
    def counts(self) -> dict[str, int]:
        """The number of modules that call each op, in the order of `OPS`."""
        counts = Counter(swapped.op for swapped in self.swapped)
        return {op: counts[op] for op in OPS if counts[op]}

    def __str__(self) -> str:
        lines = [f"{type(self.model).__name__}, route {self.route}:"]
        lines += [f"  {op}: {count} swapped" for op, count in self.counts.items()]
        reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
        for left in self.left:
            reasons[left.op, left.reason].append(left.module)
        lines += [
            f"  {op}: {len(names)} left, {reason}"
            + (f" ({names[0]}{', ...' if names[1:] else ''})" if names[0] else "")
            for (op, reason), names in reasons.items()
        ]
        return "\n".join(lines)

    @property
    def is_on(self) -> bool:
        """Whether the model calls the ops now."""
        return self._on

    def on(self) -> None:
        """Puts the ops in again after `off`.

        Raises:
            RuntimeError: `unpatch` was called, or another patch of the model is in place.
        """
        if self._undone:
            raise RuntimeError("patch: this patch was undone by unpatch(); patch the model again")
        if self._on:
            return
        if _current_patch(self.model) or any(patched(module) for module, _ in self._forwards):
            raise RuntimeError(f"patch: another patch of {type(self.model).__name__} is in place; call its off() first")
        self._refuse_changed({type(module).__name__ for module, _ in self._forwards if replacement(module) is not None})
        for module, forward in self._forwards:
            module.forward = MethodType(forward, module)
        self.model.__dict__[_PATCH_ATTRIBUTE] = self
        self._on = True

    def off(self) -> None:
        """Takes the ops out but keeps the int8 weights, so that `on` is cheap.

        Raises:
            RuntimeError: something else has replaced the forward function of a module since; nothing is undone.
        """
        if not self._on:
            return
        self._refuse_changed(
            {type(module).__name__ for module, forward in self._forwards if replacement(module) is not forward}
        )
        for module, _ in self._forwards:
            del module.forward
        self.model.__dict__.pop(_PATCH_ATTRIBUTE, None)
        self._on = False

    def _refuse_changed(self, changed: set[str]) -> None:
        """Raises RuntimeError if any forward functions were changed; `changed` has the class names of their modules."""
        if changed:
            raise RuntimeError(
                f"patch: {type(self.model).__name__} is left as it is, because something replaced forward functions of "
                f"modules of the patch: {', '.join(sorted(changed))}; undo that first"
            )

    def unpatch(self) -> None:
        """Restores the model. A second call does nothing.

        Raises:
            RuntimeError: as for `off`.
        """
        self.off()
        if not self._undone:
            for module, _ in self._forwards:
                int8.forget(module)
        self._undone = True

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unpatch()

    def __deepcopy__(self, memo: dict[int, Any]) -> Patch:
        """The patch of a copied model, which has the same forward functions; the new patch undoes them in the copy."""
        twin = copy.copy(self)
        memo[id(self)] = twin
        twin.model = copy.deepcopy(self.model, memo)
        _patches.add(twin)
        twin._forwards = [(copy.deepcopy(module, memo), forward) for module, forward in self._forwards]
        return twin

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        """Pickled as False, because an unpickled model has the forward functions of its classes and is not patched."""
        return bool, ()

    def __copy__(self) -> Patch:
        twin = object.__new__(Patch)
        twin.__dict__.update(self.__dict__)
        return twin


def _current_patch(module: nn.Module) -> Any:
    """The patch of either side that is in place on a module or on one inside it, or None."""
    return next((patch for inner in module.modules() if (patch := inner.__dict__.get(_PATCH_ATTRIBUTE))), None)


def _requested(ops: str | Iterable[str] | None) -> tuple[str, ...]:
    if ops is None:
        return ANSWERS_KEPT
    requested = (ops,) if isinstance(ops, str) else tuple(ops)
    if unknown := [op for op in requested if op not in OPS]:
        raise ValueError(f"patch: ops has {', '.join(map(repr, unknown))}, expected some of {', '.join(OPS)}")
    if not requested:
        raise ValueError(f"patch: ops is empty, expected some of {', '.join(OPS)}")
    return requested


def patch_with(model: nn.Module, table: Ops, ops: str | Iterable[str] | None = None) -> Patch:
    """Patches a model with any table of functions.

    Args:
        model: the model, which is changed in place.
        table: the functions, with the signatures of the catalogue.
        ops: names from `catalogue.OPS`; by default all that keep the model's results.

    Returns:
        The patch, which is in place.

    Raises:
        ImportError: `kernels` or `transformers` is missing or does not fit.
        TypeError: model is not a torch.nn.Module.
        ValueError: an op is unknown, the model is patched with other arguments, or nothing in it can be replaced; the
            model is unchanged.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"patch: model is a {type(model).__name__}, expected a torch.nn.Module")
    requested = _requested(ops)
    current_patch = _current_patch(model)
    if current_patch and (current_patch.model, current_patch.route, current_patch.requested) == (
        model,
        table.route,
        requested,
    ):
        return current_patch
    _refuse_patched(model, current_patch)
    functions = {op: function for op, function in table.functions.items() if op in requested}
    available = replace(table, functions=functions)
    left = [Left(op, "", f"route {table.route} does not have it") for op in requested if op not in functions]
    swapped: list[Swapped] = []
    forwards: list[tuple[nn.Module, Function]] = []
    marked: list[nn.Module] = []
    scopes: dict[nn.Module, dict[str, Any]] = defaultdict(dict)
    # Modules of one class share a function, so that torch.compile compiles it once for all of them.
    builds: dict[tuple[Any, ...], Any] = {}
    rescope: Any = functools.cache(rescoped)
    check: Any = functools.cache(current)
    for place in Finder(model, available).places():
        if place.reason:
            left.append(Left(place.op, place.name, place.reason))
            continue
        swapped.append(Swapped(place.op, place.name, type(place.module).__name__))
        if place.build is None:
            marked.append(place.module)
            continue
        key = (place.op, type(place.module), *(type(child) for child in place.module.children()))
        if key not in builds:
            builds[key] = place.build(place.module, available)
        if place.scope:
            scopes[place.module][place.scope] = builds[key]
        else:
            forwards.append((place.module, builds[key]))
    forwards += [(module, rescope(type(module), tuple(scope.items()))) for module, scope in scopes.items()]
    forwards += kernelized_forwards(marked, table)
    forwards = [(module, check(forward, type(module).forward)) for module, forward in forwards]
    placed_ops = {place.op for place in swapped} | {place.op for place in left}
    unplaced = [op for op in requested if ops is not None and op not in placed_ops]
    left += [Left(op, "", f"no module of {type(model).__name__} has a place for it") for op in unplaced]
    result = Patch(model, table.route, requested, forwards, swapped, left)
    if not swapped:
        raise ValueError(f"patch: nothing to swap in {result}")
    rotary.let_pickle(model)
    result.on()
    return result


def _refuse_patched(model: nn.Module, current_patch: Any) -> None:
    """Raises ValueError if the model, a part of it, or a model that it is a part of is patched already."""
    if current_patch:
        raise ValueError(
            f"patch: {type(model).__name__} is patched already, by route {current_patch.route} with "
            f"{', '.join(current_patch.requested)}; patch() with these arguments returns it, and unpatch() undoes it"
        )
    patched_ids = {id(module) for patch in _patches if patch.is_on for module, _ in patch._forwards}
    for name, module in model.named_modules():
        if patched(module) and id(module) in patched_ids:
            raise ValueError(
                f"patch: {name} of {type(model).__name__} is patched already, as a part of another model; "
                "call unpatch() of that patch first"
            )
        if patched(module):  # a copy of a module of a patched model, which no patch undoes
            del module.forward


def patch_by_route(model: nn.Module, ops: str | Iterable[str] | None, route: str) -> Patch:
    """Calls `patch_with` with the ops of a route of this side. Raises ImportError if the route is not built."""
    if route not in ROUTES:
        raise ValueError(f"patch: route is {route!r}, expected one of {', '.join(ROUTES)}")
    return patch_with(model, route_ops(route), ops)
