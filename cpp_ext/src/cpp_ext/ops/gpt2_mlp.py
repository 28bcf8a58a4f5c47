"""gpt2_mlp: the feed-forward part of a GPT-2 block."""

import torch
from torch import Tensor

from .. import checks
from .._autograd import no_gradient
from .._direct import differentiable
from .._fake import register_fake

_gpt2_mlp = torch.ops.cpp_ext.gpt2_mlp.default


@differentiable(_gpt2_mlp)
def gpt2_mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """gelu_tanh(x @ w1 + b1) @ w2 + b2, Radford et al. 2019, with weights [in, out] as in GPT-2's Conv1D.

    From 9 rows on (bfloat16: 5), and on a GPU, the products are those of PyTorch (MKL, oneDNN, cuBLAS), and x @ w1 is
    rounded to the dtype before b1 is added. Fewer rows are one pass over each weight, summed in float32.

    Args:
        x: shape [..., K]; float32, bfloat16 or float16.
        w1: shape [K, M], dtype and device of x, as what follows.
        b1: shape [M].
        w2: shape [M, N].
        b2: shape [N].

    Returns:
        A contiguous tensor of shape [..., N] and the dtype of x. It has no gradient.

    Raises:
        RuntimeError: an argument has another dtype, shape or device than expected.
    """
    return _gpt2_mlp(x, w1, b1, w2, b2)


def _check(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[int, ...]:
    checks.same_device("gpt2_mlp", x=x, w1=w1, b1=b1, w2=w2, b2=b2)
    checks.float_dtype("gpt2_mlp", x=x, w1=w1, b1=b1, w2=w2, b2=b2)
    checks.require(x.dim() >= 1, f"gpt2_mlp: x has {x.dim()} dimensions, expected at least 1")
    for name, weight in (("w1", w1), ("w2", w2)):
        checks.require(weight.dim() == 2, f"gpt2_mlp: {name} has {weight.dim()} dimensions, expected 2 (in, out)")
    size, (_, inner) = x.shape[-1], w1.shape
    checks.require(
        w1.shape[0] == size,
        f"gpt2_mlp: w1 has shape {list(w1.shape)}, expected [{size}, inner], the last dimension of x",
    )
    checks.require(
        w2.shape[0] == inner, f"gpt2_mlp: w2 has shape {list(w2.shape)}, expected [{inner}, out], the columns of w1"
    )
    checks.shape("gpt2_mlp", "b1", b1, (inner,), "the columns of w1")
    checks.shape("gpt2_mlp", "b2", b2, (w2.shape[1],), "the columns of w2")
    return (*x.shape[:-1], w2.shape[1])


@register_fake("gpt2_mlp")
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return x.new_empty(_check(x, w1, b1, w2, b2))


@register_fake("gpt2_mlp.out")
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, *, out: Tensor) -> None:
    shape = _check(x, w1, b1, w2, b2)
    checks.out("gpt2_mlp", "out", out, x, "x", shape, "x with the columns of w2")


no_gradient("gpt2_mlp", "is for inference and has no gradient", autocast="lower")
