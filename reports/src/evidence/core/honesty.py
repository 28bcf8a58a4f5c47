"""Does a timed call do its work, now, and all of it? What timing alone would reward is looked for before and after.

A call could return before its result is there (another thread writes it later), hand back what it computed last time,
write into memory that it handed out before, or change a result afterwards. So, before timing: outputs are poisoned and
looked at right after the return, without waiting, and once more after a pause. After timing: the inputs are changed
behind PyTorch's back (no version counter moves) and the call must follow them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from shared_tests.accuracy import left_open
from shared_tests.routes import all_routes
from shared_tests.saved import computed_again
from shared_tests.spec import OpSpec

Call = Callable[[], Any]
Outputs = tuple[torch.Tensor, ...]

PROBES = 64  # elements that are read at once after the return: quicker than any thread wakes up
SAMPLED = 1 << 16  # elements of an output that the slower checks read
PAUSE_S = 0.02


def poison(outs: Sequence[torch.Tensor]) -> None:
    """Fill outputs with what no result is: NaN, or 0xA5 bytes."""
    for out in outs:
        if out.is_floating_point():
            out.fill_(float("nan"))
        else:
            out.fill_(0xA5 if out.dtype == torch.uint8 else 0x25)


def poison_free_memory(like: Sequence[torch.Tensor]) -> None:
    """Leave poison in the blocks that the allocator hands out next: a fresh output then does not hold an old result."""
    blocks = [torch.empty_like(tensor) for tensor in like]
    poison(blocks)


def sample(outs: Sequence[torch.Tensor], count: int) -> tuple[torch.Tensor, ...]:
    """`count` elements of each output, evenly spaced, the first and the last among them, in one copy."""
    samples = []
    for out in outs:
        if out.numel() == 0:
            samples.append(out.reshape(-1).clone())
            continue
        places = torch.linspace(0, out.numel() - 1, min(count, out.numel()), dtype=torch.float64, device=out.device)
        samples.append(torch.take(out.detach(), places.long()))
    return tuple(samples)


class Probe:
    """Positions of a few elements of outputs, computed beforehand so that reading them takes microseconds."""

    def __init__(self, outs: Sequence[torch.Tensor]):
        self.places = [
            torch.linspace(0, max(out.numel() - 1, 0), min(PROBES, out.numel()), dtype=torch.float64, device=out.device)
            .long()
            .flip(0)  # the last element first: it is written last
            for out in outs
        ]

    def read(self, outs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(torch.take(out, places) for out, places in zip(outs, self.places, strict=True))


def same(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> bool:
    """Whether two sequences of tensors are equal bit for bit; NaN equals NaN."""
    return all(
        a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())
        for a, b in zip(left, right, strict=True)
    )


def complete_at_return(spec: OpSpec, call: Call, outs: Outputs, args: tuple[Any, ...], like: Outputs) -> str | None:
    """What is wrong with when and where a call writes, or None. Two calls and a pause.

    Args:
        call: ready to be called; writes into `outs`, or returns fresh outputs where `outs` is empty.
        outs: ready outputs of the kernel form.
        args: the arguments that the call was bound to.
        like: tensors of the shape of the outputs.
    """
    probe = Probe(like)
    if outs:
        poison(outs)
    else:
        poison_free_memory(like)
    value = call()
    results = outs or spec.results(value)
    at_once = probe.read(results)
    first = sample(results, SAMPLED)
    if not same(at_once, probe.read(results)):
        return f"{spec.name}: the call returned before its result was written"
    time.sleep(PAUSE_S)
    if not same(first, sample(results, SAMPLED)):
        return f"{spec.name}: the result changed within {PAUSE_S * 1e3:.0f} ms after the call had returned"
    return None if outs else _own_memory(spec, results, spec.results(call()), args)


def _own_memory(spec: OpSpec, first: Outputs, second: Outputs, args: tuple[Any, ...]) -> str | None:
    """A functional call must return fresh memory each time: neither an input's nor an earlier result's."""
    inputs = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor) and a.numel()}
    for a, b in zip(first, second, strict=True):
        if a.numel() and a.untyped_storage().data_ptr() in inputs:
            return f"{spec.name}: the result is an input's own memory"
        if a.numel() and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr():
            return f"{spec.name}: two calls returned the same memory, the second one over the first one's result"
    return None


@contextmanager
def changed(spec: OpSpec, args: tuple[Any, ...]) -> Iterator[None]:
    """The tensors among `args` with other values in the same memory; exactly as before afterwards.

    `.data` moves no version counter: a route that keys a cache on it must not be believed. Powers of two and signs are
    exact to undo; each tensor gets another factor, or what the op does to them could cancel out.
    """
    tensors = list({a.data_ptr(): a for a in args if isinstance(a, torch.Tensor)}.values())
    for index, tensor in enumerate(tensors):
        _scale(tensor, index, 1)
    if spec.dependent:
        spec.dependent(*args)
    try:
        yield
    finally:
        for index, tensor in enumerate(tensors):
            _scale(tensor, index, -1)
        if spec.dependent:
            spec.dependent(*args)


def _scale(tensor: torch.Tensor, index: int, direction: int) -> None:
    if tensor.is_floating_point():
        tensor.data.mul_(-(2.0 ** (direction * index)))
    elif tensor.dtype in (torch.uint8, torch.int8):
        tensor.data.bitwise_xor_(0x55)
    else:  # indices, which must stay in their range
        tensor.data.copy_(tensor.view(-1).roll(direction).view(tensor.shape))


def follows(
    spec: OpSpec, calls: dict[str, tuple[Call, Outputs]], args: tuple[Any, ...], allowed: Sequence[float]
) -> dict[str, str]:
    """Routes whose result does not follow changed inputs, with the reason.

    Args:
        calls: by route, the timed call and its ready outputs (none in functional form).
        args: the arguments that the calls were bound to.
        allowed: error per output against eager, at the scale of the unchanged call.
    """
    before = sample(spec.results(spec.yardstick(*args)), SAMPLED)
    like = spec.empty_outputs(*args)
    wrong: dict[str, str] = {}
    with changed(spec, args), computed_again():
        want = sample(spec.results(spec.yardstick(*args)), SAMPLED)
        for name, (call, outs) in calls.items():
            poison(outs)
            if not outs:
                poison_free_memory(like)  # it holds a right result: that of the call before
            value = call()
            got = sample(outs or spec.results(value), SAMPLED)
            del value
            for i, (y, w, b, most) in enumerate(zip(got, want, before, allowed, strict=True)):
                if left_open(spec, y) and not all_routes()[name].ours:
                    continue
                # a scaled result has a scaled error; the reference that earned `allowed` was not scaled
                grown = max(1.0, _largest(w) / max(_largest(b), 1e-30))
                error = difference(y, w)
                if error > most * grown:
                    same_as_before = difference(y, b) <= most
                    what = "repeats the result of the inputs before" if same_as_before else f"is wrong by {error:.3e}"
                    wrong[name] = f"{spec.name} output {i}: after its inputs changed in place the call {what}"
                    break
    return wrong


def _largest(x: torch.Tensor) -> float:
    finite = x[torch.isfinite(x)].double()
    return finite.abs().max().item() if finite.numel() else 0.0


def difference(y: torch.Tensor, want: torch.Tensor) -> float:
    """Largest absolute error; infinite where one is not finite and the other is."""
    y, want = y.double(), want.double()
    if bool((torch.isfinite(y) != torch.isfinite(want)).any()):
        return float("inf")
    both = torch.isfinite(want)
    return (y - want)[both].abs().max().item() if bool(both.any()) else 0.0
