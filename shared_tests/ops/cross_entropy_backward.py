"""cross_entropy_backward: the gradient of cross_entropy with respect to the logits, from their log-sum-exp."""

from collections.abc import Iterator
from typing import Any

import torch

from shared_tests.drawn import Draw
from shared_tests.ops import cross_entropy
from shared_tests.ops.cross_entropy import IGNORE, MEAN, NONE, SUM, bad_arguments, log_sum_exp, loss_of
from shared_tests.rounding import Bounded
from shared_tests.saved import saved
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, randn


def reference(
    grad: torch.Tensor,
    logits: torch.Tensor,
    target: torch.Tensor,
    lse: torch.Tensor,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> torch.Tensor:
    wide = torch.float64 if logits.dtype is torch.float64 else torch.float32
    counted = target != ignore_index
    share = grad.to(wide) / counted.sum() if reduction == MEAN else grad.to(wide)
    target_index = target.where(counted, 0)[:, None]
    gradient = (logits.double() - lse[:, None]).exp().to(wide) - label_smoothing / logits.shape[1]
    gradient = gradient.scatter_add(1, target_index, torch.full_like(target_index, label_smoothing - 1, dtype=wide))
    return (gradient * share.expand(target.shape)[:, None]).masked_fill(~counted[:, None], 0).to(logits.dtype)


def formula(
    grad: Bounded,
    logits: Bounded,
    target: torch.Tensor,
    lse: Bounded,
    label_smoothing: float,
    ignore_index: int,
    reduction: int,
) -> Bounded:
    counted = target != ignore_index
    share = grad / int(counted.sum()) if reduction == MEAN else grad
    one_hot = torch.zeros_like(logits.value).scatter_(1, target.where(counted, 0)[:, None], 1)
    target_term = type(logits)(one_hot, None, logits.dtype) * (1 - label_smoothing)
    powers = (logits - lse.moved(lambda t: t[:, None])).exp()
    gradient = powers - label_smoothing / logits.value.shape[1] - target_term
    return (gradient * share.moved(lambda t: t.expand(counted.shape)[:, None])).masked(~counted[:, None], 0)


@saved
def forward(logits: torch.Tensor, target: torch.Tensor, *options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.detach().requires_grad_()
    return loss_of(leaf, target, *options), leaf


def eager(
    grad: torch.Tensor, logits: torch.Tensor, target: torch.Tensor, lse: torch.Tensor, *options: Any
) -> torch.Tensor:
    """The backward pass of F.cross_entropy by autograd, after a forward pass that is not timed."""
    if torch.compiler.is_compiling():
        return reference(grad, logits, target, lse, *options)
    loss, leaf = forward(logits, target, *options)
    return torch.autograd.grad(loss, leaf, grad, retain_graph=True)[0]


def call(logits: torch.Tensor, target: torch.Tensor, *options: Any) -> tuple:
    """The call that autograd makes after cross_entropy with these arguments."""
    shape = target.shape if options[2] == NONE else ()
    return randn(shape, logits.dtype, str(logits.device), seed="grad"), logits, target, log_sum_exp(logits), *options


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for sample in cross_entropy.samples(dtype, device):
        yield Sample(sample.id, call(*sample.args))
    logits, target, *_ = cross_entropy.call(33, 18, dtype, device)
    grad, *other_args = call(logits, target, 0.0, IGNORE, NONE)
    yield Sample("gradient of a sum", (grad[:1].expand(33), *other_args))


def error_samples(device: str) -> Iterator[ErrorSample]:
    for name, (logits, target, *options), message_parts in bad_arguments(device):
        grad, lse = (
            torch.ones((), dtype=logits.dtype, device=device),
            torch.zeros(3, dtype=torch.float64, device=device),
        )
        yield ErrorSample(name, (grad, logits, target, lse, *options), message_parts)
    x, t = torch.ones(3, 8, device=device), torch.tensor([1, 2, 3], device=device)
    grad, row_lse, scalars = x[0, 0], x[:, 0].double(), (0.0, IGNORE)
    yield ErrorSample(
        "dtypes differ", (grad, x.half(), t, row_lse, *scalars, SUM), ("logits", "float16", "expected float32")
    )
    yield ErrorSample("lse dtype", (grad, x, t, row_lse.float(), *scalars, SUM), ("lse", "float32", "expected float64"))
    yield ErrorSample("lse too short", (grad, x, t, row_lse[:2], *scalars, SUM), ("lse", "[2]", "expected [3]"))
    yield ErrorSample("a scalar for each row", (grad, x, t, row_lse, *scalars, NONE), ("grad", "[]", "expected [3]"))
    yield ErrorSample("rows for a scalar", (x[:, 0], x, t, row_lse, *scalars, MEAN), ("grad", "[3]", "expected []"))
    yield ErrorSample(
        "lse elsewhere", (grad, x, t, row_lse.to("meta"), *scalars, SUM), ("lse", "meta", f"expected {device}")
    )
    yield ErrorSample("None for lse", (grad, x, t, None, *scalars, SUM), ("lse",))


def drawn(draw: Draw) -> tuple:
    return call(*cross_entropy.drawn(draw))


def bench(name: str, rows: int, classes: int, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        target = torch.arange(rows, device=device) * 977 % classes
        return call(big_randn((rows, classes), dtype, device), target, 0.0, IGNORE, MEAN)

    return BenchSample(name, make, rows * classes, **options)


def save_again(
    grad: torch.Tensor, logits: torch.Tensor, target: torch.Tensor, lse: torch.Tensor, *options: Any
) -> None:
    """Recomputes lse in place, for logits that have changed."""
    lse.data.copy_(cross_entropy.log_sum_exp(logits))


SPEC = OpSpec(
    name="cross_entropy_backward",
    schema=(
        "(Tensor grad, Tensor logits, Tensor target, Tensor lse, float label_smoothing, int ignore_index, "
        "int reduction) -> Tensor"
    ),
    out_schema=(
        "(Tensor grad, Tensor logits, Tensor target, Tensor lse, float label_smoothing, int ignore_index, "
        "int reduction, *, Tensor(a!) out) -> ()"
    ),
    reference=reference,
    formula=formula,
    eager=eager,
    samples=samples,
    jit_samples=("5x83 none",),
    sized=lambda n, dtype, device: call(*cross_entropy.sized(n, dtype, device)),
    rows=lambda length, dtype, device: [call(*cross_entropy.call(3, length, dtype, device, label_smoothing=0.1))],
    drawn=drawn,
    dependent=save_again,
    bench_samples=(
        bench("GPT-2 medium fine-tuning, 64x50257", 64, 50257, quick=True),
        bench("GPT-2 medium training, 512x50257", 512, 50257),
        bench("Llama-3-8B training, 256x128256", 256, 128256, quick=True),
    ),
    error_samples=error_samples,
    # exp counts as one operation
    cost=lambda grad, logits, target, lse, *rest: Cost(
        bytes=2 * logits.numel() * logits.element_size() + 12 * target.numel(), flops=3 * logits.numel()
    ),
    no_max_graph=cross_entropy.SPEC.no_max_graph,
)
