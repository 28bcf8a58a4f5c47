"""rms_norm_backward: the gradients of rms_norm (Zhang and Sennrich, arXiv:1910.07467)."""

import torch
import torch.nn.functional as F

from shared_tests.norm_gradients import bench, drawn, error_samples, rows, samples, sized, sum_over_rows
from shared_tests.rounding import Bounded
from shared_tests.saved import saved
from shared_tests.spec import Cost, OpSpec

Gradients = tuple[torch.Tensor, torch.Tensor]


def reference(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Gradients:
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    g, v = grad.to(wide), x.to(wide)
    scale = torch.rsqrt(v.square().mean(-1, keepdim=True) + eps)
    q = g * weight
    grad_x = scale * q - v * scale**3 * (q * v).mean(-1, keepdim=True)
    leading = tuple(range(x.dim() - 1))
    grad_weight = g * v * scale
    return grad_x.to(x.dtype), (grad_weight.sum(leading) if leading else grad_weight).to(x.dtype)


def formula(grad: Bounded, x: Bounded, weight: Bounded, eps: float) -> tuple[Bounded, Bounded]:
    scale = (x.square().mean(-1) + eps).rsqrt()
    q = grad * weight
    grad_x = q * scale - x * (scale * scale * (scale * (q * x).mean(-1)))
    return grad_x, sum_over_rows(grad * x * scale)


@saved
def forward(x: torch.Tensor, weight: torch.Tensor, eps: float) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    leaves = x.detach().requires_grad_(), weight.detach().requires_grad_()
    return F.rms_norm(leaves[0], (x.shape[-1],), leaves[1], eps), leaves


def eager(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Gradients:
    """The backward pass by autograd, after an untimed forward pass, because PyTorch has no CPU kernel for it."""
    if torch.compiler.is_compiling():
        return reference(grad, x, weight, eps)
    y, leaves = forward(x, weight, eps)
    return torch.autograd.grad(y, leaves, grad, retain_graph=True)


def cost(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, eps: float) -> Cost:
    return Cost(bytes=(3 * x.numel() + 2 * weight.numel()) * x.element_size(), flops=11 * x.numel())


SPEC = OpSpec(
    name="rms_norm_backward",
    schema="(Tensor grad, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)",
    out_schema=(
        "(Tensor grad, Tensor x, Tensor weight, float eps, *, Tensor(a!) grad_x, Tensor(b!) grad_weight) -> ()"
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
        bench(64, 4096, "Llama-3-8B, 64x4096"),
        bench(512, 4096, "Llama-3-8B, 512x4096", quick=True),
        bench(2048, 3584, "Qwen-2.5-7B, 2048x3584"),
    ),
    error_samples=error_samples,
    cost=cost,
)
