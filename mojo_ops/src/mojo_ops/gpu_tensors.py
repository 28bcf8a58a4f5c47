"""Converts the tensors of a launch to the shapes that a GPU kernel takes. Does not import MAX."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .kernel import Kernel


def kernel_tensors(
    kernel: Kernel, flat: Sequence[Tensor], shape: Sequence[int], other_tensors: Sequence[Tensor | None]
) -> list[Tensor]:
    """Returns contiguous tensors of the ranks in `kernel`, outputs first.

    Args:
        kernel: description of the graph.
        flat: the first tensors of the launch, which the kernel gets in `shape`.
        shape: a shape with flattened leading dimensions.
        other_tensors: tensors that the kernel gets unchanged; None becomes a tensor with size zero in every dimension.
    """
    tensors = [*flat, *other_tensors]
    lead = tensors[kernel.lead]
    assert lead is not None
    ranks = [len(sizes) for sizes in (*kernel.outputs, *kernel.inputs)]
    dtypes = kernel.tensor_dtypes(str(lead.dtype).removeprefix("torch."))
    views = [tensor.contiguous().view(shape) for tensor in flat]
    for i in range(len(flat), len(tensors)):
        if (tensor := tensors[i]) is not None:
            views.append(tensor.contiguous())
        else:
            views.append(torch.empty((0,) * ranks[i], dtype=getattr(torch, dtypes[i]), device=lead.device))
    return views
