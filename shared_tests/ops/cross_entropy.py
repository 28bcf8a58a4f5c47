"""cross_entropy: torch.nn.functional.cross_entropy with class indices, and the log-sum-exp of each row of logits."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded, exponentials
from shared_tests.saved import saved
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import PARALLEL, big_randn, offset, randn, strided, transposed

IGNORE = -100
NONE, MEAN, SUM = range(3)
REDUCTIONS = ("none", "mean", "sum")


def log_sum_exp(logits: torch.Tensor) -> torch.Tensor:
    """The log-sum-exp that the gradient is computed from; like the loss, NaN where a logit is NaN or +inf."""
    lse = torch.logsumexp(logits.double(), 1)
    return lse.masked_fill(lse == math.inf, math.nan)


def loss_of(
    logits: torch.Tensor, target: torch.Tensor, label_smoothing: float, ignore_index: int, reduction: int
) -> torch.Tensor:
    return F.cross_entropy(
        logits,
        target,
        ignore_index=ignore_index,
        reduction=REDUCTIONS[reduction],
        label_smoothing=label_smoothing,
    )


def reference(logits: torch.Tensor, target: torch.Tensor, *options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return loss_of(logits, target, *options), log_sum_exp(logits)


def formula(
    logits: Bounded, target: torch.Tensor, label_smoothing: float, ignore_index: int, reduction: int
) -> tuple[Bounded, Bounded]:
    """The loss is computed from the maximum, because the log-sum-exp loses digits where the maximum is large."""
    counted = target != ignore_index
    target_index = target.where(counted, 0)[:, None]
    largest, log = logits.amax(-1), exponentials(logits).sum(-1).log()
    loss = (largest - logits.moved(lambda t: t.gather(1, target_index))) + log
    if label_smoothing:
        loss = loss * (1 - label_smoothing) + (largest - logits.mean(-1) + log) * label_smoothing
    loss = loss.moved(lambda t: t[:, 0]).masked(~counted, 0)
    if reduction != NONE:
        loss = loss.sum(0, keepdim=False)
    if reduction == MEAN:
        loss = loss / int(counted.sum())
    return loss, largest.plus_exactly(log).moved(lambda t: t[:, 0])


saved_log_sum_exp = saved(log_sum_exp)


def eager(logits: torch.Tensor, target: torch.Tensor, *options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """PyTorch users compute the loss alone, so the log-sum-exp of the same logits is kept and not timed again."""
    is_recomputed = torch.compiler.is_compiling() or logits.requires_grad
    lse = log_sum_exp(logits) if is_recomputed else saved_log_sum_exp(logits)
    return loss_of(logits, target, *options), lse


def call(
    rows: int,
    classes: int,
    dtype: torch.dtype,
    device: str,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE,
    reduction: int = MEAN,
) -> tuple:
    logits = 3 * randn((rows, classes), dtype, device)
    generator = torch.Generator().manual_seed(rows * classes)
    target = torch.randint(classes, (rows,), generator=generator).to(device)
    return logits, target, label_smoothing, ignore_index, reduction


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for rows, classes in ((1, 1), (5, 1), (0, 8), (7, 7), (5, 83), (3, 769), (2, 5125), (2, 13824), (2, 50257)):
        for reduction in (NONE, MEAN, SUM):
            yield Sample(
                f"{rows}x{classes} {REDUCTIONS[reduction]}", call(rows, classes, dtype, device, 0.0, IGNORE, reduction)
            )
    # In float16, PyTorch's own smoothed loss overflows beyond a few thousand classes.
    for rows, classes in ((5, 83), (3, 769)):
        for smoothing in (0.1, 1.0):
            for reduction in (NONE, MEAN, SUM):
                args = call(rows, classes, dtype, device, smoothing, IGNORE, reduction)
                yield Sample(f"{rows}x{classes} {REDUCTIONS[reduction]}, smoothing {smoothing:g}", args)
    yield Sample("split over threads", call(PARALLEL // 2045 + 1, 2045, dtype, device, reduction=NONE))
    if dtype is not torch.float16:
        yield Sample("few long rows, smoothing", call(2, 20001, dtype, device, 0.1, IGNORE, SUM))
    yield Sample("one long row", call(1, 128256, dtype, device, reduction=NONE))
    yield Sample("split over threads, mean", call(PARALLEL // 2045 + 1, 2045, dtype, device, reduction=MEAN))
    logits, target, *_ = call(33, 18, dtype, device)
    for reduction in (NONE, MEAN, SUM):
        name = REDUCTIONS[reduction]
        partly_ignored = target.clone()
        partly_ignored[::3] = IGNORE
        yield Sample(f"some ignored, {name}", (logits, partly_ignored, 0.0, IGNORE, reduction))
        yield Sample(f"some ignored, smoothing, {name}", (logits, partly_ignored, 0.1, IGNORE, reduction))
        yield Sample(f"a class ignored, {name}", (logits, target, 0.1, 7, reduction))
        none = torch.full_like(target, IGNORE)
        yield Sample(f"all ignored, {name}", (logits, none, 0.0, IGNORE, reduction))
        yield Sample(f"all ignored, smoothing, {name}", (logits, none, 0.1, IGNORE, reduction))
    yield Sample("first and last class", (logits[:2], target.new_tensor([0, 17]), 0.0, IGNORE, NONE))
    yield Sample("transposed", (transposed(logits), target, 0.0, IGNORE, MEAN))
    yield Sample("strided", (strided(logits), strided(target), 0.0, IGNORE, MEAN))
    yield Sample("offset", (offset(logits), offset(target), 0.0, IGNORE, MEAN))
    yield Sample("expanded", (logits[:1].expand(33, 18), target[:1].expand(33), 0.0, IGNORE, MEAN))
    yield Sample("large values", (100 * logits, target, 0.0, IGNORE, NONE))
    special = logits[:7].clone()
    for row, value in enumerate((math.nan, math.inf, -math.inf, torch.finfo(dtype).max, torch.finfo(dtype).min)):
        special[row, 5] = value
    special[5] = -math.inf
    special[6] = torch.finfo(dtype).min
    yield Sample("special values", (special, torch.full((7,), 2, device=device), 0.0, IGNORE, NONE))
    yield Sample("the target at -inf", (special[2:3], torch.full((1,), 5, device=device), 0.0, IGNORE, NONE))


def bad_arguments(device: str) -> Iterator[tuple[str, tuple, tuple[str, ...]]]:
    """Names and arguments of bad calls, and what the messages of the op and of its gradient must both contain."""
    x, t = torch.ones(3, 8, device=device), torch.tensor([1, 2, 3], device=device)
    rest = 0.0, IGNORE, MEAN
    yield "wrong dtype", (x.double(), t, *rest), ("float64", "float32")
    yield "target dtype", (x, t.int(), *rest), ("target", "int32", "expected int64")
    yield "target of floats", (x, t.float(), *rest), ("target", "float32", "expected int64")
    yield "logits of rank 1", (x[0], t, *rest), ("logits", "1 dimensions", "expected 2")
    yield "logits of rank 3", (x[None], t, *rest), ("logits", "3 dimensions", "expected 2")
    yield "target too short", (x, t[:2], *rest), ("target", "[2]", "expected [3]")
    yield "target of rank 2", (x, t[None], *rest), ("target", "[1, 3]", "expected [3]")
    yield "mixed devices", (x, t.to("meta"), *rest), ("target", "meta", f"expected {device}")
    yield "None for target", (x, None, *rest), ("target",)
    yield "smoothing above 1", (x, t, 1.5, IGNORE, MEAN), ("label_smoothing", "1.5", "0 to 1")
    yield "smoothing below 0", (x, t, -0.5, IGNORE, MEAN), ("label_smoothing", "-0.5", "0 to 1")
    yield "smoothing NaN", (x, t, math.nan, IGNORE, MEAN), ("label_smoothing", "nan", "0 to 1")
    yield "no such reduction", (x, t, 0.0, IGNORE, 3), ("reduction", "3", "0 (none), 1 (mean) or 2 (sum)")
    yield "reduction by name", (x, t, 0.0, IGNORE, "mean"), ("reduction", "int")
    if device == "cpu":
        for value in (8, -1, 1 << 40, -(1 << 40)):
            message_parts = ("target", "row 1", str(value), "0 to 7", str(IGNORE))
            yield f"target {value}", (x, t.new_tensor([1, value, 3]), *rest), message_parts
        yield "target -100, another ignored", (x, t.new_tensor([1, 2, -100]), 0.0, 5, SUM), ("row 2", "-100", "0 to 7")


def error_samples(device: str) -> Iterator[ErrorSample]:
    for name, args, message_parts in bad_arguments(device):
        yield ErrorSample(name, args, message_parts)


def sized(n: int, dtype: torch.dtype, device: str) -> tuple:
    """The targets are valid classes of the smallest size too, because calls of smaller sizes are slices of this one."""
    logits, target, *options = call(2 * n, 9 * n, dtype, device)
    return logits, target % 9, *options


def drawn(draw: Draw) -> tuple:
    rows, classes = draw.size(0, 9), draw.size(1)
    target = draw.integers((rows,), 0, classes)
    ignore_index = draw.choice((IGNORE, 0))
    if rows and draw.choice((False, True)):
        target = target.index_fill(0, torch.arange(0, rows, 2, device=draw.device), ignore_index)
    return (
        draw.tensor((rows, classes)),
        target,
        draw.choice((0.0, 0.1, 1.0)),
        ignore_index,
        draw.choice((NONE, MEAN, SUM)),
    )


def bench(name: str, rows: int, classes: int, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        target = torch.arange(rows, device=device) * 977 % classes
        return big_randn((rows, classes), dtype, device), target, 0.0, IGNORE, MEAN

    return BenchSample(name, make, rows * classes, **options)


SPEC = OpSpec(
    name="cross_entropy",
    schema=(
        "(Tensor logits, Tensor target, float label_smoothing, int ignore_index, int reduction) -> (Tensor, Tensor)"
    ),
    out_schema=(
        "(Tensor logits, Tensor target, float label_smoothing, int ignore_index, int reduction, *, "
        "Tensor(a!) loss, Tensor(b!) lse) -> ()"
    ),
    reference=reference,
    formula=formula,
    eager=eager,
    samples=samples,
    jit_samples=("5x83 none",),
    sized=sized,
    rows=lambda length, dtype, device: [call(3, length, dtype, device, label_smoothing=0.1)],
    drawn=drawn,
    bench_samples=(
        bench("GPT-2 medium fine-tuning, 64x50257", 64, 50257, quick=True),
        bench("GPT-2 medium training, 512x50257", 512, 50257),
        bench("Llama-3-8B training, 256x128256", 256, 128256, quick=True),
    ),
    error_samples=error_samples,
    cost=lambda logits, target, *rest: Cost(
        bytes=logits.numel() * logits.element_size() + 12 * target.numel(), flops=4 * logits.numel()
    ),
    gradients=("logits",),
    autocast="float32",
    no_max_graph="whether MAX makes e^logits a float32 tensor of the size of the logits is its compiler's choice",
)
