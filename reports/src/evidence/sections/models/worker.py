"""One model in one dtype in the measuring process, which reports a line for each row."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from evidence.core.json_lines import say
from evidence.core.sampling import Budget, alternate, median_interval
from evidence.sections.models import answers, effort, speed, zoo
from evidence.sections.models.names import INT8, NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.variants import Variants, patcher

QUICK_TOKENS = 16
# Of one model in one dtype. On two cores with AVX2 alone PyTorch's products in bfloat16 give 0.4e9 to 3e9 operations a
# second and those in float32 90e9: what takes minutes in the one would take hours in the other.
MOST_SECONDS = 1800.0


def measure(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything about one model in one dtype except start-up and torch.compile."""
    model = zoo.load(case["model"], zoo.dtype_of(case["dtype"]))
    stages = zoo.stages(model)
    quick, billions = case["quick"], sum(p.numel() for p in model.parameters()) / 1e9
    ids = zoo.prompts(case["model"], model.config.vocab_size)
    new_tokens = QUICK_TOKENS if quick else answers.NEW_TOKENS
    pace = effort.pace(model, ids)
    work = effort.least_work(ids, new_tokens, len(stages), len(case["routes"]), billions, quick)
    if (seconds := work.seconds(pace)) > MOST_SECONDS:
        yield {
            "kind": "lost", "stage": "measure", "route": "all",
            "message": f"not measured: the original reads a prompt at {2 * billions / pace.token:.1f} GFLOP/s here and "
            f"takes {pace.step:.2g} s for a step of {len(ids)} rows, at which all rows would take "
            f"{seconds / 3600:.1f} hours and more; the limit is {MOST_SECONDS / 60:.0f} minutes",
        }  # fmt: skip
        return
    exact = answers.exact_logits(model, ids)
    variants = Variants(model, stages, [OWN_FORMULAS, NO_WORK, *case["routes"]])
    for (stage, route), why in variants.refused.items():
        yield {"kind": "refused", "stage": stage, "route": route, "message": why}
    for (stage, route), patch in variants.patches.items():
        left = sorted({(skipped.op, skipped.reason) for skipped in patch.left})
        yield {"kind": "stage", "stage": stage, "route": route, "swapped": patch.counts, "left": left}
    yield from answers.answers(variants, ids, exact, billions, new_tokens)
    last_float = zoo.float_stages(model)[-1][0]
    bandwidth = speed.read_bandwidth()
    for stage, route in variants.patches:
        if route == NO_WORK:
            read = speed.weight_bytes(variants, (stage, route))
            yield {"kind": "weights", "stage": stage, "route": route, "bytes": read, "bandwidth": bandwidth}
    for phase in ("decode", "prefill"):
        yield from speed.shares(variants, last_float, phase)
    everything = variants.keys()
    last = [key for key in everything if key[0] in (ORIGINAL, last_float, INT8)]
    for phase, batch in (("decode", 1), ("prefill", 1), ("decode", 8), ("prefill", 8)):
        if quick and batch > 1:
            continue
        keys, seconds = everything, case["seconds"]
        if (phase, batch) != ("decode", 1):
            # The other phases at their two ends only: all of them took a quarter of an hour for one large model.
            # PyTorch's int8 product of several rows in float32 gives 30 tokens a second.
            keys = [key for key in last if key != (INT8, OWN_FORMULAS)]
            seconds *= 0.4
        yield from speed.rows_of(variants, keys, phase, batch, Budget(seconds, least_rounds=4, most_rounds=40))
    yield {"kind": "memory", "stage": "all at once", "route": "all", "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compiled(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One route's last float stage under torch.compile, beside the original as it is: decode at batch 1."""
    model = zoo.load(case["model"], zoo.dtype_of(case["dtype"]))
    stage, ops = zoo.float_stages(model)[-1]
    step = speed.Step(model, 1)
    route = case["route"]
    patch = None
    if route != ORIGINAL:
        patch = patcher(route)(model, ops)
    run = torch.compile(lambda: step(model), dynamic=True)
    begin = time.perf_counter()
    for _ in range(3):  # the second length makes the sizes symbolic
        step.rewind()
        run()
        run()
    seconds = time.perf_counter() - begin

    def timed(call: Any) -> float:
        step.rewind()
        start = time.perf_counter_ns()
        for _ in range(4):
            call()
        return (time.perf_counter_ns() - start) / 4000

    def as_it_is() -> float:
        if patch is None:
            return timed(lambda: step(model))
        patch.off()
        try:
            return timed(lambda: step(model))
        finally:
            patch.on()

    as_it_is()
    times = alternate({"original": as_it_is, "compiled": lambda: timed(run)}, Budget(case["seconds"], least_rounds=4))
    ratios = [own / other for own, other in zip(times["original"], times["compiled"], strict=True)]
    ratio, rate = median_interval(ratios), median_interval([1e6 / value for value in times["compiled"]])
    yield {
        "kind": "speed", "stage": stage if patch else ORIGINAL, "route": route, "how": "torch.compile",
        "phase": "decode", "batch": 1, "tokens_per_second": rate.mid, "ratio": ratio.mid, "low": ratio.low,
        "high": ratio.high, "rounds": len(ratios), "compile_seconds": seconds,
    }  # fmt: skip


def _report(rows: Callable[[dict[str, Any]], Iterator[dict[str, Any]]], case: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with torch.inference_mode() if case["kind"] == "measure" else torch.no_grad():
        for row in rows(case):
            say(row=row)


RUNNERS = {
    "measure": lambda case, device: _report(measure, case),
    "compiled": lambda case, device: _report(compiled, case),
}
