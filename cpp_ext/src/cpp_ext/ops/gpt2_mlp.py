"""gpt2_mlp: the feed-forward part of a GPT-2 block."""

import torch
from torch import Tensor

from .._autograd import no_gradient
from .._direct import differentiable

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
        RuntimeError: an argument has an unexpected dtype, shape or device.
    """
    return _gpt2_mlp(x, w1, b1, w2, b2)


no_gradient("gpt2_mlp", "is for inference and has no gradient", autocast="lower")
