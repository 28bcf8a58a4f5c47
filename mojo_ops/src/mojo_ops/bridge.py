"""From `torch.Tensor` to a Mojo kernel: loads the compiled graphs, and runs them on the caller's own memory.

Nothing compiles here. A call hands every tensor to MAX without a copy and the kernel writes into the output tensors.
Figures are microseconds for one float32 tensor of 16 elements (torch 2.13, MAX 26.7, one core of an EPYC).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from max.driver import CPU, Accelerator, Buffer
from max.dtype import DType
from max.engine import InferenceSession, Model, read
from torch import Tensor
from torch.utils.dlpack import to_dlpack

from . import artifacts
from .kernel import Kernel, split_graph_name

_MAX_DTYPES = {
    torch.float32: DType.float32,
    torch.bfloat16: DType.bfloat16,
    torch.float16: DType.float16,
    torch.uint8: DType.uint8,
}
_TORCH_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in _MAX_DTYPES}

_Models = dict[tuple[str, torch.dtype], Model]
_cpu_models: _Models = {}
_forked = False


def _forget_models() -> None:
    # MAX's worker threads do not survive a fork: an execution in the child would wait for ever.
    global _forked
    _forked = True
    _cpu_models.clear()
    _gpu_models.clear()


os.register_at_fork(after_in_child=_forget_models)


def load(path: str | os.PathLike[str]) -> float:
    """Loads the CPU graphs of a build folder; ops that it does not hold keep the graphs they have.

    Args:
        path: folder written by `python -m mojo_ops.build`, possibly of a few ops only (`--ops add --out DIR`).

    Returns:
        Seconds taken to read and initialise the graphs.

    Raises:
        ImportError: the folder holds no build.
        RuntimeError: it was built for a CPU with instructions that this one lacks, or by another version of MAX.
    """
    folder = Path(path)
    mef = folder / artifacts.artifact_name("cpu")
    record = artifacts.read_record(folder)
    if not record or not mef.is_file():
        raise ImportError(f"mojo_ops has no compiled kernels in {folder}; build them with: nox -s build_mojo")
    if missing := artifacts.missing_features(record):
        raise RuntimeError(
            f"mojo_ops was built for {record.get('cpu', {}).get('model', 'another CPU')}; this CPU lacks "
            f"{', '.join(missing)}. Build it here with: nox -s build_mojo"
        )
    built, installed = record.get("versions", {}).get("modular"), artifacts.versions().get("modular")
    if built != installed:
        raise RuntimeError(
            f"mojo_ops was built by modular {built}, but {installed} is installed; run: nox -s build_mojo"
        )
    start = time.perf_counter()
    _cpu_models.update(_read_models(mef, InferenceSession(devices=[CPU()])))
    return time.perf_counter() - start


def _read_models(mef: Path, session: InferenceSession) -> _Models:
    models: _Models = {}
    for graph_name, model in session.init_all(read(mef)).items():
        op, dtype = split_graph_name(graph_name)
        models[op, _TORCH_DTYPES[dtype]] = model
    return models


class _Host:
    """What DLPack asks of a tensor on the CPU, without the checks of `Tensor.__dlpack__`: 1.7 us in place of 6.6.

    Those checks refuse what cannot reach this point (the dispatcher sends here dense tensors of one device), and
    gradients, which are not this layer's matter: autograd has already recorded the call.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **_: object) -> object:
        return to_dlpack(self.tensor)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


_from_dlpack = Buffer._from_dlpack
_scalars: dict[float, Buffer] = {}


def _scalar(value: float) -> Buffer:
    """A float32 scalar on the host; 1.6 us to make, and a model uses one epsilon again and again."""
    buffer = _scalars.get(value)
    if buffer is None:
        if len(_scalars) >= 256:
            _scalars.clear()
        buffer = _scalars[value] = Buffer.scalar(value, DType.float32, CPU())
    return buffer


def launch(
    kernel: Kernel,
    flat: Sequence[Tensor],
    shape: Sequence[int],
    rest: Sequence[Tensor] = (),
    scalars: Sequence[float] = (),
) -> None:
    """Runs a kernel on ready tensors and returns when the outputs are written (CPU) or queued to be written (GPU).

    The kernel's arguments are `flat`, `rest` and `scalars` in this order; outputs come first, contiguous and checked.
    Inputs are made contiguous. Nothing may be of size zero: the caller leaves then, without asking the engine.

    Args:
        kernel: description of the graph.
        flat: tensors that the kernel sees as `shape`, the leading dimensions flattened.
        shape: for those.
        rest: tensors that it sees as they are.
        scalars: float32 scalars.

    Raises:
        RuntimeError: no graph for this device or dtype was built, or the process was forked.
    """
    lead = (flat or rest)[0]
    if not lead.is_cpu:
        _launch_gpu(kernel, flat, shape, rest, scalars)
        return
    dtype = lead.dtype
    model = _cpu_models.get((kernel.name, dtype))
    if model is None:
        raise _missing(kernel, lead)
    buffers = []
    for tensor in flat:
        buffer = _from_dlpack(_Host(tensor if tensor.is_contiguous() else tensor.contiguous()))
        if tensor.dim() != len(shape):
            buffer = buffer._view(_MAX_DTYPES[dtype], shape)  # 0.6 us; Tensor.view takes 1.3
        buffers.append(buffer)
    for tensor in rest:
        buffers.append(_from_dlpack(_Host(tensor if tensor.is_contiguous() else tensor.contiguous())))
    for value in scalars:
        buffers.append(_scalar(value))
    model._execute_device_tensors(buffers)


def _missing(kernel: Kernel, lead: Tensor) -> RuntimeError:
    if _forked:
        return RuntimeError(
            f"{kernel.name}: this process was forked from one that had loaded MAX, whose threads do not survive a "
            "fork; start it with the «spawn» method"
        )
    dtype = str(lead.dtype).removeprefix("torch.")
    return RuntimeError(f"{kernel.name}: no graph for {dtype} on {lead.device} is loaded; run: nox -s build_mojo")


# GPU. MAX runs on a queue of its own; events order it after the caller's current stream and the stream after it, so no
# device-wide synchronisation is needed and the caching allocator may hand memory on as for any kernel on that stream.

_gpu_models: dict[int, tuple[_Models, Accelerator, torch.cuda.ExternalStream]] = {}


def _gpu_target(device: torch.device) -> str:
    """The build target for a torch GPU: `cuda:sm_90` or `hip:gfx942`."""
    if torch.version.hip:
        return "hip:" + torch.cuda.get_device_properties(device).gcnArchName.split(":")[0]
    return "cuda:sm_{}{}".format(*torch.cuda.get_device_capability(device))


def _load_gpu(device: torch.device) -> tuple[_Models, Accelerator, torch.cuda.ExternalStream]:
    target = _gpu_target(device)
    mef = artifacts.ARTIFACTS / artifacts.artifact_name(target)
    if not mef.is_file():
        raise RuntimeError(
            f"mojo_ops has no kernels for {target}; build them with: python -m mojo_ops.build --target {target}"
        )
    accelerator = Accelerator(device.index)
    models = _read_models(mef, InferenceSession(devices=[accelerator]))
    queue = torch.cuda.ExternalStream(accelerator.default_queue.native_stream_handle, device=device)
    return models, accelerator, queue


def _launch_gpu(
    kernel: Kernel, flat: Sequence[Tensor], shape: Sequence[int], rest: Sequence[Tensor], scalars: Sequence[float]
) -> None:
    lead = (flat or rest)[0]
    device = lead.device
    if device.index != 0:
        raise RuntimeError(f"{kernel.name}: the graphs are compiled for GPU 0, but the tensors are on {device}")
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f"{kernel.name}: the MAX engine cannot be captured into a CUDA graph of torch")
    if device.index not in _gpu_models:
        if _forked:
            raise _missing(kernel, lead)
        _gpu_models[device.index] = _load_gpu(device)
    models, accelerator, queue = _gpu_models[device.index]
    model = models.get((kernel.name, lead.dtype))
    if model is None:
        raise _missing(kernel, lead)
    views = [tensor.contiguous().view(shape) for tensor in flat] + [tensor.contiguous() for tensor in rest]
    stream = torch.cuda.current_stream(device)
    # Each hand-over makes MAX's queue wait for the stream, as CustomOpLibrary does it.
    buffers = [_from_dlpack(to_dlpack(view), accelerator, stream.cuda_stream) for view in views]
    model._execute_device_tensors(buffers + [_scalar(value) for value in scalars])
    stream.wait_stream(queue)
