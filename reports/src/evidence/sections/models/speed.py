"""Tokens a second of every variant, interleaved: prefill and decode, and what share of the time each op has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evidence.core.sampling import Budget, alternate, median_interval, settle
from evidence.sections.models.functions import OWN, labelled
from evidence.sections.models.names import AGAIN, ORIGINAL
from evidence.sections.models.variants import Key, Variants, patch_with

CONTEXT = 128  # tokens in the cache when decoding begins
PREFILL = {1: 128, 8: 16}  # tokens of a prompt, by batch
LEAST = {"decode": 4, "prefill": 2}  # rounds; the interval of two is 13 times their distance, that of four 1.5 times
VISIT_SECONDS = 0.1
MOST_STEPS = 8
LONG = 1e6  # microseconds; calls this long get none before that does not count: it would take half a round more


class Step:
    """One decoding step, or several, from a cache that begins with CONTEXT tokens every time.

    The cache is filled with random keys and values, which take no time to compute and as long to read.
    """

    def __init__(self, model: Any, batch: int, context: int = CONTEXT):
        chance = torch.Generator().manual_seed(batch)
        self.tokens = torch.randint(0, model.config.vocab_size, (batch, 1), generator=chance)
        self.cache = model(self.tokens, use_cache=True).past_key_values
        self.saved = []
        for layer in self.cache.layers:
            shape = (batch, layer.keys.shape[1], context, layer.keys.shape[3])
            self.saved.append(tuple(torch.randn(shape, generator=chance).to(layer.keys.dtype) for _ in range(2)))

    def rewind(self) -> None:
        """The cache as it was at the beginning."""
        for layer, (keys, values) in zip(self.cache.layers, self.saved, strict=True):
            layer.keys, layer.values = keys, values

    def __call__(self, model: Any) -> Tensor:
        return model(self.tokens, past_key_values=self.cache, use_cache=True).logits


def visit(variants: Variants, key: Key, prepare: Callable[[], None], call: Callable[[Any], Any], count: int) -> float:
    """Microseconds of one call, the mean of `count`, after `prepare`, with the model as a variant.

    Short calls get one before that does not count: after the pause and another variant's weights it is slower.
    """
    with variants.use(key) as model:
        prepare()
        settle()
        if count > 1:
            call(model)
        begin = time.perf_counter_ns()
        for _ in range(count):
            call(model)
        return (time.perf_counter_ns() - begin) / count / 1000


def rows_of(variants: Variants, keys: list[Key], phase: str, batch: int, budget: Budget) -> list[dict[str, Any]]:
    """A row for each variant with its tokens a second and its ratio to the original's, from the same rounds.

    In the middle of each round the original stands again: its ratio to itself shows what the place in a round does.
    """
    model = variants.model
    keys = [*keys[: len(keys) // 2 + 1], (ORIGINAL, AGAIN), *keys[len(keys) // 2 + 1 :]]
    if phase == "decode":
        step = Step(model, batch)
        prepare: Callable[[], None] = step.rewind
        call: Callable[[Any], Any] = step
        tokens = batch
    else:
        ids = torch.randint(0, model.config.vocab_size, (batch, PREFILL[batch]))
        tokens = ids.numel()

        def prepare() -> None:
            return None

        def call(variant: Any) -> Any:
            return variant(ids, use_cache=True, logits_to_keep=1)

    once = min(visit(variants, keys[0], prepare, call, 1) for _ in range(2))
    count = int(min(MOST_STEPS, max(1, VISIT_SECONDS * 1e6 // once))) if phase == "decode" else 1
    for key in keys[1:] if once < LONG else ():
        visit(variants, key, prepare, call, 1)
    names = {f"{stage}, {route}": (stage, route) for stage, route in keys}
    visits = {name: partial(visit, variants, key, prepare, call, count) for name, key in names.items()}
    # Also where one round spends the budget several times over.
    a_round = 2 * len(keys) * count * once / 1e6
    budget = replace(budget, seconds=max(budget.seconds, (LEAST[phase] - 0.5) * a_round))
    times = {name: np.array(values) for name, values in alternate(visits, budget).items()}
    base = times[next(iter(names))]
    rows = []
    for name, (stage, route) in names.items():
        ratio, rate = median_interval(base / times[name]), median_interval(tokens * 1e6 / times[name])
        rows.append(
            {
                "kind": "speed", "stage": stage, "route": route, "how": "eager", "phase": phase, "batch": batch,
                "tokens_per_second": rate.mid, "ratio": ratio.mid, "low": ratio.low, "high": ratio.high,
                "rounds": len(base),
            }
        )  # fmt: skip
    return rows


def read_bandwidth() -> float:
    """Bytes a second of the best of some sums over 256 MB in float32: what reading weights can reach here."""
    x = torch.ones(1 << 26)
    best = 0.0
    for _ in range(8):
        begin = time.perf_counter()
        x.sum()
        best = max(best, x.nbytes / (time.perf_counter() - begin))
    return best


def weight_bytes(variants: Variants, key: Key) -> int:
    """Bytes of the weights that the swapped matrix products read at every step, if they are read once."""
    total = 0
    for swap in variants.patches[key].swapped:
        module = variants.model.get_submodule(swap.module)
        if swap.op == "gpt2_mlp":
            total += sum(parameter.nbytes for parameter in module.parameters())
        elif swap.op == "linear_w8":
            total += module.weight.numel()
    return total


def shares(variants: Variants, stage: str, phase: str, batch: int = 1) -> list[dict[str, Any]]:
    """Share of the model's time in each op of a stage, by PyTorch's profiler, with transformers' own formulas."""
    counts = next(patch for (name, _), patch in variants.patches.items() if name == stage).counts
    # GELU is inside of the MLP: the one is seen in a profile without the other.
    whole = {"gpt2_mlp"} & set(counts)
    by_op: dict[str, float] = {}
    for ops in (set(counts) - whole, whole):
        if ops:
            by_op |= _profiled(variants.model, tuple(op for op in counts if op in ops), phase, batch)
    return [
        {
            "kind": "share", "stage": ORIGINAL, "route": ORIGINAL, "phase": phase, "batch": batch, "op": op,
            "share": by_op[op], "places": count,
        }
        for op, count in counts.items()
    ]  # fmt: skip


def _profiled(model: Any, ops: tuple[str, ...], phase: str, batch: int) -> dict[str, float]:
    step = Step(model, batch)
    ids = torch.randint(0, model.config.vocab_size, (batch, PREFILL[batch]))
    activities = [torch.profiler.ProfilerActivity.CPU]
    with patch_with(model, labelled(OWN), ops, "profile"):
        for _ in range(2):  # the first one is slower
            step.rewind()
            with torch.profiler.profile(activities=activities) as profile, torch.profiler.record_function("model"):
                step(model) if phase == "decode" else model(ids, use_cache=True, logits_to_keep=1)
    times = {event.key: event.cpu_time_total for event in profile.key_averages()}
    return {op: times.get(f"op:{op}", 0.0) / times["model"] for op in ops}
