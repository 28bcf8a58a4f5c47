"""Probes of the integration table that call the op in eager mode: tensors, autograd, function transforms."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from evidence.sections.integration.outcome import NotApplicable, NotRun, Subject, Wrong, probe
from shared_tests.tensors import strided, transposed


def _tensors(args: tuple[Any, ...]) -> list[torch.Tensor]:
    return [a for a in args if isinstance(a, torch.Tensor)]


def _close(got: torch.Tensor, want: torch.Tensor) -> bool:
    return got.shape == want.shape and torch.allclose(got, want, rtol=1e-4, atol=1e-5)


@probe("fake", "call")
def fake(subject: Subject) -> str | None:
    """Shapes, dtypes and strides come out of a call that has no data."""
    args = subject.args()
    real = subject.spec.results(subject.function(*args))
    mode = FakeTensorMode()
    faked = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in args]
    with mode:
        results = subject.spec.results(subject.function(*faked))
    for have, want in zip(results, real, strict=True):
        if (have.shape, have.dtype, have.stride()) != (want.shape, want.dtype, want.stride()):
            raise Wrong(
                f"fake result is {list(have.shape)} {have.dtype} with strides {have.stride()}, "
                f"the real one {list(want.shape)} {want.dtype} with {want.stride()}"
            )
    return None


@probe("autograd", "backward")
def backward(subject: Subject) -> str | None:
    """The op between differentiable ones: the gradient is right, or backward says that there is none."""
    args = subject.args()
    leaf, twin = (args[0].clone().requires_grad_() for _ in range(2))
    (subject.spec.results(subject.spec.reference(twin, *args[1:]))[0] * twin).sum().backward()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (subject.spec.results(subject.function(leaf, *args[1:]))[0] * leaf).sum().backward()
    if leaf.grad is None or twin.grad is None or not _close(leaf.grad, twin.grad):
        warned = "after a warning only" if caught else "without a warning"
        raise Wrong(f"wrong gradient {warned}: the op's part of it is missing")
    return None


@probe("autograd", "out")
def overwritten(subject: Subject) -> str | None:
    """Writing over a tensor that backward needs must be noticed, as PyTorch does for its own in-place ops."""
    args, out = subject.args(), subject.out
    leaf = args[0].clone().requires_grad_()
    saved = leaf.clone()
    loss = (saved * saved).sum()
    outs = [saved, *subject.spec.empty_outputs(*args)[1:]]
    with torch.no_grad():  # where gradients are recorded the write itself is refused
        out(*args, *outs)
    try:
        loss.backward()
    except RuntimeError as error:
        if "inplace" in str(error):
            return None
        raise
    if leaf.grad is None or not _close(leaf.grad, 2 * leaf.detach()):
        raise Wrong("wrong gradient without an error after out= wrote over a saved tensor: its version did not change")
    return None


@probe("vmap", "call")
def vmap(subject: Subject) -> str | None:
    """torch.vmap over a new leading dimension of every tensor."""
    args = subject.args()
    several = [torch.stack([a, a + 1]) if isinstance(a, torch.Tensor) else a for a in args]
    dims = tuple(0 if isinstance(a, torch.Tensor) else None for a in args)
    got = subject.spec.results(torch.vmap(subject.function, in_dims=dims)(*several))
    for i in range(2):
        row = tuple(a[i] if isinstance(a, torch.Tensor) else a for a in several)
        subject.hold(row, tuple(g[i] for g in got), f"row {i}")
    namespace = subject.route.namespace
    name = f"{namespace}::{subject.spec.name}"
    if namespace and not torch._C._dispatch_has_kernel_for_dispatch_key(name, "FuncTorchBatched"):
        return "by PyTorch's fallback, one call a row: no batching rule is registered"
    return None


@probe("func", "grad")
def func_grad(subject: Subject) -> str | None:
    """torch.func.grad of the op's sum."""
    args = subject.args()

    def total(call: Any) -> Any:
        return lambda first: subject.spec.results(call(first, *args[1:]))[0].sum()

    want = torch.func.grad(total(subject.spec.reference))(args[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = torch.func.grad(total(subject.function))(args[0])
    if not _close(got, want):
        raise Wrong("wrong gradient" + (": zeros" if not got.any() else ""))
    return None


@probe("func", "jvp")
def func_jvp(subject: Subject) -> str | None:
    """torch.func.jvp in the direction of a tensor of ones."""
    args = subject.args()
    direction = torch.ones_like(args[0])

    def tangent(call: Any) -> torch.Tensor:
        def first_result(first: torch.Tensor) -> torch.Tensor:
            return subject.spec.results(call(first, *args[1:]))[0]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.func.jvp(first_result, (args[0],), (direction,))[1]

    got, want = tangent(subject.function), tangent(subject.spec.reference)
    if not _close(got, want):
        raise Wrong("wrong tangent" + (": zeros" if not got.any() else ""))
    return None


@probe("func", "functionalize")
def functionalize(subject: Subject) -> str | None:
    """torch.func.functionalize of a call."""
    args = subject.args()
    got = torch.func.functionalize(lambda first: subject.function(first, *args[1:]))(args[0])
    subject.hold(args, got)
    return None


@probe("streams", "side stream")
def streams(subject: Subject) -> str | None:
    """The op reads what the caller's side stream is still writing, and the side stream reads its result."""
    if subject.device != "cuda":
        raise NotRun("no GPU was asked for; CPU tensors have no streams")
    args = subject.args()
    subject.function(*args)
    late = [torch.zeros_like(a) for a in _tensors(args)]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        for slow, source in zip(late, _tensors(args), strict=True):
            slow.copy_(source)
        fresh = iter(late)
        slowly = tuple(next(fresh) if isinstance(a, torch.Tensor) else a for a in args)
        results = [r.clone() for r in subject.spec.results(subject.function(*slowly))]
    stream.synchronize()
    subject.hold(args, tuple(results), "on a side stream")
    return None


@probe("cuda_graphs", "capture")
def cuda_graphs(subject: Subject) -> str | None:
    """Capture into a CUDA graph and replay on new input."""
    if subject.device != "cuda":
        raise NotRun("no GPU was asked for")
    args = subject.args()
    with torch.cuda.stream(torch.cuda.Stream()):
        subject.function(*args)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = subject.spec.results(subject.function(*args))
    args[0].add_(1)
    graph.replay()
    torch.cuda.synchronize()
    subject.hold(args, tuple(results), "replayed")
    return None


@probe("non_contiguous", "call")
def non_contiguous(subject: Subject) -> str | None:
    """Transposed storage and strided views."""
    for layout in (transposed, strided):
        args = tuple(layout(a) if isinstance(a, torch.Tensor) and a.dim() > 1 else a for a in subject.args())
        subject.hold(args, subject.function(*args), layout.__name__)
    return None


@probe("zero_size", "call")
def zero_size(subject: Subject) -> str | None:
    """The first sample of the spec that holds an empty tensor."""
    for sample in subject.spec.samples(torch.float32, subject.device):
        if any(a.numel() == 0 for a in _tensors(sample.args)):
            subject.hold(sample.args, subject.function(*sample.args), sample.id)
            return None
    raise NotRun("the op has no empty sample")


@probe("autocast", "one dtype")
def autocast_same(subject: Subject) -> str | None:
    """Inside torch.autocast, with inputs that a matrix product there has left in bfloat16."""
    if subject.route.jit and subject.route.package:
        raise NotApplicable("held to one dtype, since it compiles for every one")
    with torch.autocast(subject.device, torch.bfloat16):
        args = tuple(_through_matmul(a) if isinstance(a, torch.Tensor) else a for a in subject.args())
        subject.hold(args, subject.function(*args))
    return None


@probe("autocast", "mixed dtypes")
def autocast_mixed(subject: Subject) -> str | None:
    """A bfloat16 activation with the rest still float32, which PyTorch's own ops promote."""
    with torch.autocast(subject.device, torch.bfloat16):
        first, *rest = subject.args()
        low = _through_matmul(first)
        got = subject.spec.results(subject.function(low, *rest))
        want = subject.spec.results(subject.spec.reference(low, *rest))
    for have, expect in zip(got, want, strict=True):
        if not torch.allclose(have.float(), expect.float(), rtol=2e-2, atol=2e-2):
            raise Wrong(f"wrong result, {have.dtype}")
    return None


def _through_matmul(x: torch.Tensor) -> torch.Tensor:
    return torch.mm(x, torch.eye(x.shape[-1], device=x.device))


@probe("inference_mode", "call")
def inference_mode(subject: Subject) -> str | None:
    """Both forms on inference tensors."""
    with torch.inference_mode():
        args = subject.args()
        results = subject.spec.results(subject.function(*args))
        subject.hold(args, tuple(results))
        if subject.route.out(subject.spec) is not None:
            outs = subject.spec.empty_outputs(*args)
            subject.out(*args, *outs)
            subject.hold(args, outs, "out")
        if any(r.requires_grad for r in results):
            raise Wrong("a result requires grad")
    return None
