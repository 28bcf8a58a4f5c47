"""Finds what can be swapped, says what cannot, and swaps."""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from . import attention, int8, layer, mlp, norms
from .routes import DEVICES, ROUTES
from .site import ANSWERS_KEPT, OPS, Decision, Derived, Function, Site

Rule = Callable[[Site], Decision]
_SHOWN = 5  # reasons in an error


def _rules() -> dict[tuple[str, str], tuple[tuple[str, ...], Rule]]:
    """Ops that have a place in a module and the rule that decides, by module and name of its class."""
    rules: dict[tuple[str, str], tuple[tuple[str, ...], Rule]] = {
        ("torch.nn.modules.normalization", "LayerNorm"): (("layer_norm",), norms.layer_norm),
        ("torch.nn.modules.activation", "GELU"): (("gelu_tanh",), mlp.gelu),
        ("torch.nn.modules.linear", "Linear"): (("linear_w8",), int8.linear),
        ("transformers.pytorch_utils", "Conv1D"): (("linear_w8",), int8.linear),
        ("transformers.activations", "NewGELUActivation"): (("gelu_tanh",), mlp.gelu),
        ("transformers.activations", "GELUTanh"): (("gelu_tanh",), mlp.gelu),
        ("transformers.models.gpt2.modeling_gpt2", "GPT2MLP"): (("gpt2_mlp",), mlp.gpt2_mlp),
        ("transformers.models.gpt2.modeling_gpt2", "GPT2Attention"): (("attention",), attention.gpt2),
    }
    for family in ("Llama", "Mistral", "Qwen2"):
        home = f"transformers.models.{family.lower()}.modeling_{family.lower()}"
        rules[home, f"{family}RMSNorm"] = (("rms_norm",), norms.rms_norm)
        rules[home, f"{family}MLP"] = (("silu_and_mul",), mlp.gated_mlp)
        rules[home, f"{family}Attention"] = (("rope", "attention"), attention.rotary)
        rules[home, f"{family}DecoderLayer"] = (("add_rms_norm",), layer.decoder_layer)
    return rules


RULES = _rules()


@dataclass(frozen=True)
class Swapped:
    """An op that a module calls now: op, name of the module, name of its class."""

    op: str
    module: str
    kind: str


@dataclass(frozen=True)
class Left:
    """A place of an op that was left as it was, with the reason; `module` is empty where the model has no place."""

    op: str
    module: str
    reason: str


@dataclass
class _Place:
    name: str
    module: Any
    base: type
    new: type
    decision: Decision


class Patch:
    """What was done to a model. As a context manager it undoes it at the end of the block.

    model: the patched model.
    route: the name of where the ops come from.
    swapped: the ops in their places.
    left: the places left as they were.
    """

    def __init__(self, model: nn.Module, route: str, places: list[_Place], swapped: list[Swapped], left: list[Left]):
        self.model, self.route = model, route
        self.swapped, self.left = tuple(swapped), tuple(left)
        self._places: list[_Place] | None = places
        self._on = False

    @property
    def counts(self) -> dict[str, int]:
        """How many places each op has got, in the order of `OPS`."""
        found = Counter(one.op for one in self.swapped)
        return {op: found[op] for op in OPS if found[op]}

    def __str__(self) -> str:
        lines = [f"{type(self.model).__name__}, route {self.route}:"]
        lines += [f"  {op}: {count} swapped" for op, count in self.counts.items()]
        reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
        for one in self.left:
            reasons[one.op, one.reason].append(one.module)
        lines += [
            f"  {op}: {len(names)} left, {reason}"
            + (f" ({names[0]}{', ...' if names[1:] else ''})" if names[0] else "")
            for (op, reason), names in reasons.items()
        ]
        return "\n".join(lines)

    def on(self) -> None:
        """Puts the ops in again after `off`.

        Raises:
            RuntimeError: after `unpatch`, or the model is no longer what was patched.
        """
        self._turn(to_ops=True)

    def off(self) -> None:
        """Takes the ops out and keeps what was prepared for them, as int8 weights, so that `on` costs nothing.

        Parameters must keep device and dtype until then.

        Raises:
            RuntimeError: as for `on`.
        """
        self._turn(to_ops=False)

    def unpatch(self) -> None:
        """Makes the model what it was: classes, and every bit of its parameters. A second call does nothing.

        Raises:
            RuntimeError: a module has been replaced, removed or patched since; nothing is undone then.
        """
        if self._places is None:
            return
        self.off()
        for place in self._places:
            if place.decision.prepare:
                _give_back(place.module)
        self._places = None

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unpatch()

    def _turn(self, to_ops: bool) -> None:
        if self._places is None:
            raise RuntimeError("patch: this patch was undone by unpatch(); patch the model again")
        changed = []
        for place in self._places:
            try:
                now = self.model.get_submodule(place.name)
            except AttributeError:
                changed.append(f"{place.name} is gone")
                continue
            expected = place.new if self._on else place.base
            if now is not place.module:
                changed.append(f"{place.name} is another {type(now).__name__}")
            elif type(now) is not expected:
                changed.append(f"{place.name} has got another class")
        if changed:
            raise RuntimeError(
                f"patch: {type(self.model).__name__} was changed since it was patched, and is left as it is: "
                + "; ".join(changed[:_SHOWN])
                + (f"; and {len(changed) - _SHOWN} more" if changed[_SHOWN:] else "")
            )
        for place in self._places:
            place.module.__class__ = place.new if to_ops else place.base
        self._on = to_ops


_HOOK = -1  # a key that PyTorch's own counter of hooks never takes


def _make_again(module: Any, keys: Any = None) -> None:
    """After `load_state_dict` and `.to(...)`: what was made of the weights is made again, for every patch."""
    for make in module._patch_makers:
        make(module)


def _prepare(module: Any, decision: Decision) -> None:
    """Several patches of one model, of which at most one is on, share what is made of the weights: it is the same."""
    assert decision.prepare is not None
    decision.prepare(module)
    makers = getattr(module, "_patch_makers", ())
    module._patch_makers = makers if decision.prepare in makers else (*makers, decision.prepare)
    module._load_state_dict_post_hooks[_HOOK] = _make_again
    module._patch_users = getattr(module, "_patch_users", 0) + 1
    if decision.restore:
        module._patch_restore = decision.restore


def _give_back(module: Any) -> None:
    """After the last patch that used it, the module is what it was."""
    module._patch_users -= 1
    if module._patch_users:
        return
    if restore := getattr(module, "_patch_restore", None):  # perhaps that of a patch given back before
        restore(module)
    for name in [name for name in vars(module) if name.startswith("_patch_")]:
        delattr(module, name)
    module._load_state_dict_post_hooks.pop(_HOOK, None)


def _site_dtype(model: nn.Module) -> torch.dtype:
    sizes: Counter[torch.dtype] = Counter()
    for parameter in model.parameters():
        if parameter.is_floating_point():
            sizes[parameter.dtype] += parameter.numel()
    return sizes.most_common(1)[0][0] if sizes else torch.get_default_dtype()


def _shared(model: nn.Module) -> dict[int, list[str]]:
    names = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return {key: found for key, found in names.items() if len(found) > 1}


def _asked(ops: str | Iterable[str] | None) -> tuple[str, ...]:
    if ops is None:
        return ANSWERS_KEPT
    asked = (ops,) if isinstance(ops, str) else tuple(ops)
    unknown = [op for op in asked if op not in OPS]
    if unknown:
        raise ValueError(f"patch: ops has {', '.join(map(repr, unknown))}, expected some of {', '.join(OPS)}")
    if not asked:
        raise ValueError(f"patch: ops is empty, expected some of {', '.join(OPS)}")
    return asked


def _other_forward(module: Any) -> tuple[tuple[str, ...], str] | None:
    """For what looks like a known module and computes something of its own: the ops and the reason to leave it."""
    kind = type(module)
    if "forward" in vars(module):
        found = RULES.get((kind.__module__, kind.__name__))
        return (found[0], "its forward was replaced on the instance") if found else None
    for base in kind.__mro__[1:]:
        if found := RULES.get((base.__module__, base.__name__)):
            return found[0], f"{kind.__name__} is a subclass of {base.__name__}, and only the class itself is known"
    return None


def patch_with(
    model: nn.Module,
    functions: Mapping[str, Function],
    ops: str | Iterable[str] | None = None,
    *,
    route: str,
    devices: tuple[str, ...] = ("cpu", "cuda"),
) -> Patch:
    """Swaps known modules of a `transformers` model for ones that call custom ops. Inference in evaluation mode.

    Args:
        model: GPT-2, Llama, Mistral or Qwen2 of transformers, or any model with their modules; changed in place.
        functions: the route's ops by name, with the signatures of the catalogue.
        ops: which of `OPS`; by default all that keep the answers, that is without linear_w8.
        route: for reports.
        devices: device types that the functions run on.

    Returns:
        What was swapped and what was left, with the reason, and the way back.

    Raises:
        TypeError: model is no torch.nn.Module.
        ValueError: an op is unknown, the model is patched already, or nothing in it can be swapped; it is unchanged.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"patch: model is a {type(model).__name__}, expected a torch.nn.Module")
    asked = _asked(ops)
    for name, module in model.named_modules():
        if hasattr(type(module), "_patch_base"):
            raise ValueError(f"patch: {name} of the model is patched already; call unpatch() first")
    here = {op: functions[op] for op in asked if op in functions}
    left = [Left(op, "", f"route {route} does not have it") for op in asked if op not in functions]
    swapped: list[Swapped] = []
    places: list[_Place] = []
    classes: dict[tuple[Any, ...], type] = {}
    dtype, shared = _site_dtype(model), _shared(model)
    covered: dict[str, str] = {}
    for name, module in model.named_modules():
        kind = type(module)
        if other := _other_forward(module):
            left += [Left(op, name, other[1]) for op in other[0] if op in here]
            continue
        found = RULES.get((kind.__module__, kind.__name__))
        if found is None or not any(op in here for op in found[0]):
            continue
        if name in covered:
            swapped.append(Swapped(covered[name], name, kind.__name__))
            continue
        decision = found[1](Site(name, module, here, dtype, devices, shared))
        left += [Left(op, name, reason) for op, reason in decision.left]
        if not decision.swapped:
            continue
        swapped += [Swapped(op, name, kind.__name__) for op in decision.swapped]
        covered |= {f"{name}.{child}": op for child, op in decision.covers.items()}
        key = (kind, decision.build, decision.swapped)
        if key not in classes:
            assert decision.build is not None
            classes[key] = _subclass(kind, decision, here)
        places.append(_Place(name, module, kind, classes[key], decision))
    placed = {one.op for one in swapped} | {one.op for one in left}
    without = [op for op in here if ops is not None and op not in placed]
    left += [Left(op, "", f"no module of {type(model).__name__} has a place for it") for op in without]
    result = Patch(model, route, places, swapped, left)
    if not places:
        raise ValueError(f"patch: nothing to swap in {result}")
    for place in places:
        if place.decision.prepare:
            _prepare(place.module, place.decision)
    result.on()
    return result


def patch_by_route(model: nn.Module, ops: str | Iterable[str] | None, route: str) -> Patch:
    """`patch_with` the ops of a route of this side; errors as for it, and ImportError where the route is not built."""
    if route not in ROUTES:
        raise ValueError(f"patch: route is {route!r}, expected one of {', '.join(ROUTES)}")
    home = importlib.import_module(ROUTES[route])
    functions = {op: getattr(home, op) for op in OPS if hasattr(home, op)}
    return patch_with(model, functions, ops, route=route, devices=DEVICES.get(route, ("cpu", "cuda")))


def _subclass(kind: type, decision: Decision, functions: Mapping[str, Function]) -> type:
    assert decision.build is not None
    forward = decision.build(kind, {op: functions[op] for op in functions if op in decision.calls})
    bases = (Derived, kind) if decision.prepare else (kind,)
    return type(kind.__name__, bases, {
        "forward": forward,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "_patch_base": kind,
        "_patch_prepare": _make_again,
    })  # fmt: skip
