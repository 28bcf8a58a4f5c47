"""fused_add_rms_norm: residual addition and root mean square normalisation in place."""

import torch
from torch import Tensor

from .._direct import direct

_fused_add_rms_norm = torch.ops.cpp_ext.fused_add_rms_norm.default


@direct(_fused_add_rms_norm)
def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> None:
    """residual = x + residual, then x = residual / sqrt(mean(residual^2) + eps) * weight, both in place.

    Formula: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv:1910.07467, equation 4. The sum is
    rounded to the dtype before it is normalised, so that the result is that of the two steps one after the other.

    Args:
        x: shape [..., D], contiguous; float32, bfloat16 or float16. Becomes the normalised sum.
        residual: shape, dtype and device of x, contiguous, in memory of its own. Becomes the sum.
        weight: shape [D], dtype and device of x.
        eps: added to the mean square before the root.

    Raises:
        RuntimeError: an argument has an unexpected dtype, shape, device or layout, or requires a gradient;
            ``add_rms_norm`` has one.
    """
    return _fused_add_rms_norm(x, residual, weight, eps)
