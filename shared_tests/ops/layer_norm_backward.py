"""layer_norm_backward: the gradients of layer_norm (Ba, Kiros and Hinton, arXiv:1607.06450)."""

import torch

from shared_tests.norm_gradients import bench, drawn, error_samples, rows, samples, sized, sum_over_rows
from shared_tests.rounding import Bounded, moments
from shared_tests.saved import saved
from shared_tests.spec import Cost, OpSpec

Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def reference(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Gradients:
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    g, q, centred = grad.to(wide), grad.to(wide) * weight, x.to(wide) - x.to(wide).mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    h = centred * scale
    grad_x = (q - q.mean(-1, keepdim=True) - h * (q * h).mean(-1, keepdim=True)) * scale
    leading = tuple(range(x.dim() - 1))
    over_rows = [t.sum(leading) if leading else t for t in (g * h, g)]
    return grad_x.to(x.dtype), over_rows[0].to(x.dtype), over_rows[1].to(x.dtype)


def formula(grad: Bounded, x: Bounded, weight: Bounded, eps: float) -> tuple[Bounded, Bounded, Bounded]:
    centred, variance = moments(x)
    scale = (variance + eps).rsqrt()
    q, h = grad * weight, centred * scale
    grad_x = (q - q.mean(-1) - h * (q * h).mean(-1)) * scale
    return grad_x, sum_over_rows(grad * h), sum_over_rows(grad)


@saved
def forward(x: torch.Tensor, weight: torch.Tensor, eps: float) -> tuple[torch.Tensor, ...]:
    return torch.ops.aten.native_layer_norm(x, (x.shape[-1],), weight, weight, eps)[1:]


def eager(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Gradients:
    """The kernel that autograd calls for F.layer_norm, with the moments that the forward pass saves for it."""
    if torch.compiler.is_compiling():
        return reference(grad, x, weight, eps)
    mean, rstd = forward(x, weight, eps)
    shape = (x.shape[-1],)
    return torch.ops.aten.native_layer_norm_backward(grad, x, shape, mean, rstd, weight, weight, [True] * 3)


def cost(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Cost:
    return Cost(bytes=(3 * x.numel() + 3 * weight.numel()) * x.element_size(), flops=17 * x.numel())


SPEC = OpSpec(
    name="layer_norm_backward",
    schema="(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor, Tensor)",
    out_schema=(
        "(Tensor grad, Tensor x, Tensor weight, float eps, *, "
        "Tensor(a!) grad_x, Tensor(b!) grad_weight, Tensor(c!) grad_bias) -> ()"
    ),
    reference=reference,
    formula=formula,
    eager=eager,
    samples=samples,
    jit_samples=("5x83",),
    sized=sized,
    rows=rows,
    drawn=drawn,
    bench_samples=(
        bench(64, 1024, "GPT-2 medium, 64x1024"),
        bench(2048, 1024, "GPT-2 medium, 2048x1024", quick=True),
        bench(2048, 4096, "hidden size 4096, 2048x4096"),
    ),
    error_samples=error_samples,
    cost=cost,
)
