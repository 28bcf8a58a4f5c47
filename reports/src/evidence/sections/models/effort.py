"""What measuring a model in one dtype takes at the least, so that hours are refused before they are spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from evidence.sections.models import speed
from evidence.sections.models.answers import LARGE

ONE_TRY = 20.0  # seconds


@dataclass(frozen=True)
class Pace:
    """Seconds that the original takes.

    token: for each token of a prompt.
    step: for one decoding step of all prompts at once, which is far more than `token` times their number: of a model of
        1.2 billion in float32 MKL took 1.9 s for five.
    """

    token: float
    step: float


@dataclass(frozen=True)
class Work:
    """Tokens of prompts that pass the model, and decoding steps of several rows."""

    tokens: int
    steps: int

    def seconds(self, pace: Pace) -> float:
        return self.tokens * pace.token + self.steps * pace.step


def pace(model: Any, ids: torch.Tensor) -> Pace:
    """With all prompts `ids`, int64 [batch, tokens], at once; the better of two tries, since the first one also loads
    what it needs, unless that took longer than ONE_TRY."""

    def timed(call: Callable[[], Any]) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def best(call: Callable[[], Any]) -> float:
        first = timed(call)
        return first if first > ONE_TRY else min(first, timed(call))

    token = best(lambda: model(ids, use_cache=False, logits_to_keep=1)) / ids.numel()
    step = speed.Step(model, len(ids), context=ids.shape[1])

    def decode() -> None:
        step.rewind()
        step(model)

    return Pace(token, best(decode))


def least_work(ids: torch.Tensor, new_tokens: int, stages: int, routes: int, billions: float, quick: bool) -> Work:
    """All answers, and every phase with its least rounds; decoding at batch 1 is left out, which is the least of it.

    Args:
        ids: the prompts, [batch, tokens].
        new_tokens: that follow each.
        stages: the last one has int8 weights, and generates nothing.
        routes: of both sides.
        billions: of parameters: what a large model generates itself is the last float stage.
        quick: no batch of 8.
    """
    answering = 1 + stages * routes
    generating = 1 + routes * (stages - 1 if billions < LARGE else 1)
    prompts, texts = ids.numel(), ids.numel() + ids.shape[0] * new_tokens
    # Each one pass over the prompts for its error, and the original also one over its own text.
    tokens = (answering + generating) * prompts + (1 + answering - generating) * texts
    at_the_ends = 2 + 2 * (routes + 1)  # of the stages, with the original twice
    visits = 2 * at_the_ends
    tokens += visits * speed.LEAST["prefill"] * (speed.PREFILL[1] + (0 if quick else 8 * speed.PREFILL[8]))
    # A step of eight rows takes no less than one of the prompts.
    return Work(tokens, generating * (new_tokens - 1) + (0 if quick else visits * speed.LEAST["decode"]))
