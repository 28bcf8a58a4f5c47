"""Calls Mojo kernels on `torch.Tensor`s on a GPU: loads the compiled graphs and runs them on the tensors' memory.

Nothing is compiled here. A call passes every tensor to MAX without copying it, and the kernel writes into the output
tensors. MAX has its own queue. Events order the queue after the caller's current stream, and the stream after the
queue, so no device-wide synchronisation is needed and the caching allocator may reuse memory as for other kernels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from max.driver import CPU, Accelerator, Buffer, Device
from max.dtype import DType
from max.engine import InferenceSession, Model, read
from torch import Tensor
from torch.utils.dlpack import to_dlpack

from . import artifacts
from .gpu_tensors import kernel_tensors
from .kernel import Kernel, split_graph_name

_TORCH_DTYPES = {
    str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.uint8)
}

_Models = dict[tuple[str, torch.dtype], Model]
_loaded: dict[int, tuple[_Models, Accelerator, torch.cuda.ExternalStream]] = {}
_forked = False


def _forget_models() -> None:
    # MAX's worker threads do not survive a fork: an execution in the child would wait for ever.
    global _forked
    _forked = True
    _loaded.clear()


os.register_at_fork(after_in_child=_forget_models)


def _read_models(mef: Path, session: InferenceSession) -> _Models:
    models: _Models = {}
    for graph_name, model in session.init_all(read(mef)).items():
        op, dtype = split_graph_name(graph_name)
        models[op, _TORCH_DTYPES[dtype]] = model
    return models


def _target(device: torch.device) -> str:
    """The build target for a torch GPU: `cuda:sm_90` or `hip:gfx942`."""
    if torch.version.hip:
        return "hip:" + torch.cuda.get_device_properties(device).gcnArchName.split(":")[0]
    return "cuda:sm_{}{}".format(*torch.cuda.get_device_capability(device))


def _load(device: torch.device) -> tuple[_Models, Accelerator, torch.cuda.ExternalStream]:
    target = _target(device)
    mef = artifacts.ARTIFACTS / artifacts.artifact_name(target)
    if not mef.is_file():
        raise RuntimeError(
            f"mojo_ops has no kernels for {target}; build them with: python -m mojo_ops.build --target {target}"
        )
    accelerator = Accelerator(device.index)
    models = _read_models(mef, InferenceSession(devices=[accelerator]))
    queue = torch.cuda.ExternalStream(accelerator.default_queue.native_stream_handle, device=device)
    return models, accelerator, queue


def hand_over(tensor: Tensor, device: Device, stream: int) -> Buffer:
    """Passes a tensor to MAX without a copy and makes MAX's queue on `device` wait for the work in `stream`.

    Args:
        tensor: a contiguous tensor.
        device: MAX's device object for the tensor's device.
        stream: native handle of the stream on which the tensor is written.
    """
    try:
        return Buffer._from_dlpack(to_dlpack(tensor), device, stream)
    except Exception:
        # The fast form fails, with no specific exception type, for a tensor from another thread. In the slower form,
        # which CustomOpLibrary uses, PyTorch orders the streams.
        return Buffer.from_dlpack(tensor)


def launch(
    kernel: Kernel,
    flat: Sequence[Tensor],
    shape: Sequence[int],
    other_tensors: Sequence[Tensor | None] = (),
    scalars: Sequence[float] = (),
) -> None:
    """Queues a kernel on existing tensors of one GPU. Later work on the caller's current stream sees the outputs.

    The kernel's arguments are `flat`, `other_tensors` and `scalars`, in this order. Outputs come first and must be
    contiguous and checked; inputs are made contiguous. No tensor may be empty, because the kernel gets a tensor of size
    zero for None; the caller returns early instead.

    Args:
        kernel: description of the graph.
        flat: tensors that the kernel gets in `shape`, with flattened leading dimensions.
        shape: shape of the tensors in `flat`.
        other_tensors: tensors that the kernel gets unchanged, None for a missing optional one.
        scalars: scalars of the types in `kernel.scalar_types`.

    Raises:
        RuntimeError: no graph for this device or dtype was built, the process was forked, or the stream is captured.
    """
    lead = [*flat, *other_tensors][kernel.lead]
    assert lead is not None
    device = lead.device
    if device.index != 0:
        raise RuntimeError(f"{kernel.name}: the graphs are compiled for GPU 0, but the tensors are on {device}")
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f"{kernel.name}: the MAX engine cannot be captured into a CUDA graph of torch")
    if _forked:
        raise RuntimeError(
            f"{kernel.name}: this process was forked from one that had loaded MAX, whose threads do not survive a "
            "fork; start it with the “spawn” method"
        )
    if device.index not in _loaded:
        _loaded[device.index] = _load(device)
    models, accelerator, queue = _loaded[device.index]
    model = models.get((kernel.name, lead.dtype))
    if model is None:
        dtype = str(lead.dtype).removeprefix("torch.")
        raise RuntimeError(f"{kernel.name}: no graph for {dtype} on {device} is loaded; run: nox -s build_mojo")
    stream = torch.cuda.current_stream(device)
    tensors = kernel_tensors(kernel, flat, shape, other_tensors)
    buffers = [hand_over(tensor, accelerator, stream.cuda_stream) for tensor in tensors]
    numbers = zip(scalars, kernel.scalar_types, strict=True)
    model._execute_device_tensors(buffers + [Buffer.scalar(value, DType[name], CPU()) for value, name in numbers])
    stream.wait_stream(queue)
