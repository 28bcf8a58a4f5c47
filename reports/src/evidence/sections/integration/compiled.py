"""Probes of the integration table that hand the op to PyTorch's compiler: Dynamo, export, Inductor, AOTInductor."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from evidence.sections.integration.outcome import NotApplicable, NotRun, Subject, Wrong, probe


def _module(call: Any) -> torch.nn.Module:
    class Module(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            return call(*args)

    return Module()


@probe("compile_fullgraph", "functional")
def fullgraph(subject: Subject) -> str | None:
    """One graph without a break, through Inductor."""
    torch._dynamo.reset()
    args, call = subject.args(), subject.function
    call(*args)  # what a route makes at the first call of a dtype need not be traceable
    compiled = torch.compile(lambda *a: call(*a), fullgraph=True)
    for inputs in (args, subject.other_values(args)):
        subject.hold(inputs, compiled(*inputs))
    return None


@probe("compile_fullgraph", "out")
def fullgraph_out(subject: Subject) -> str | None:
    """The same for the form that writes into ready outputs."""
    torch._dynamo.reset()
    args, out = subject.args(), subject.out
    outs = subject.spec.empty_outputs(*args)
    torch.compile(lambda *a: out(*a), fullgraph=True)(*args, *outs)
    subject.hold(args, outs)
    return None


@probe("compile_dynamic", "call")
def dynamic(subject: Subject) -> str | None:
    """A second size may compile nothing again. Sizes are symbolic from the start."""
    torch._dynamo.reset()
    call, graphs, engine = subject.function, 0, _count_engine_compiles()

    def count(graph: Any, _inputs: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph

    compiled = torch.compile(lambda *a: call(*a), fullgraph=True, dynamic=True, backend=count)
    first = subject.args(2)
    call(*first)
    subject.hold(first, compiled(*first))
    before = len(engine)
    for n in (3,) if subject.route.jit else (3, 5):
        args = subject.args(n)
        subject.hold(args, compiled(*args), f"size {n}")
    if graphs != 1:
        raise Wrong(f"{graphs} graphs were compiled for sizes that one graph can serve")
    if len(engine) > before:
        raise Wrong("the engine compiled the op again for a second size")
    return None


def _count_engine_compiles() -> list[str]:
    """A list that grows with every compile of the MAX engine in this process; stays empty without MAX."""
    compiles: list[str] = []
    try:
        from max.engine import InferenceSession
    except ImportError:
        return compiles
    for name in ("load", "load_all", "compile"):
        original = getattr(InferenceSession, name, None)
        if original is None or hasattr(original, "counted"):
            continue

        def counted(self: Any, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            compiles.append(_name)
            return _original(self, *args, **kwargs)

        counted.counted = True  # type: ignore[attr-defined]
        setattr(InferenceSession, name, counted)
    return compiles


@probe("inductor_reuse", "functional")
def reuse(subject: Subject) -> str | None:
    """Pointwise work after the op runs in place on the op's own output: no buffer beside the op's input."""
    args, call = subject.args(), subject.function

    def work(first: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
        return [(r * 2).relu() for r in subject.spec.results(call(first + 1, *rest))]

    # A registered op allocates its outputs itself; a Python wrapper's are allocated in the generated code.
    outputs = 0 if subject.route.namespace else len(subject.spec.empty_outputs(*args))
    return _allocations(subject, work, args, allowed=1 + outputs)


@probe("inductor_reuse", "out")
def reuse_out(subject: Subject) -> str | None:
    """The op writes into the buffer that Inductor gives it; a copy would need a further one."""
    args, out = subject.args(), subject.out
    shapes = [(o.shape, o.dtype) for o in subject.spec.empty_outputs(*args)]

    def work(first: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
        outs = [torch.empty(shape, dtype=dtype, device=subject.device) for shape, dtype in shapes]
        out(first + 1, *rest, *outs)
        return outs

    return _allocations(subject, work, args, allowed=1 + len(shapes))


def _allocations(subject: Subject, work: Any, args: tuple[Any, ...], allowed: int) -> str:
    from torch._inductor.utils import run_and_get_code

    torch._dynamo.reset()
    wanted = work(*args)
    got, sources = run_and_get_code(torch.compile(work, fullgraph=True), *args)
    for have, want in zip(got, wanted, strict=True):
        if not torch.allclose(have, want, rtol=1e-4, atol=1e-5):
            raise Wrong("wrong result")
    body = "".join(sources).split("def call(", 1)[-1]
    buffers = len(re.findall(r"= empty_strided\w*\(", body))
    copies = len(re.findall(r"\bclone\b|\.copy_\(", body))
    if buffers > allowed or copies:
        raise Wrong(f"{buffers} buffers and {copies} copies in the generated code, {allowed} and none would do")
    return f"{buffers} buffer{'s' if buffers != 1 else ''}, no copy"


@probe("export", "dynamic shapes")
def export(subject: Subject) -> str | None:
    """Exported with a dynamic first dimension, saved, read again and run at another size."""
    program = _exported(subject, dynamic=not subject.route.jit)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program.pt2"
        torch.export.save(program, file)
        loaded = torch.export.load(file)
    args = subject.other_values(subject.args() if subject.route.jit else subject.args(3))
    subject.hold(args, loaded.module()(*args))
    return None


def _exported(subject: Subject, dynamic: bool) -> torch.export.ExportedProgram:
    auto = torch.export.Dim.AUTO
    shapes = [dict.fromkeys(range(a.dim()), auto) if isinstance(a, torch.Tensor) else None for a in subject.args()]
    return torch.export.export(
        _module(subject.function), subject.args(), dynamic_shapes={"args": tuple(shapes)} if dynamic else None
    )


@probe("aot_inductor", "package")
def aot_inductor(subject: Subject) -> str | None:
    """Compiled into a package by AOTInductor, loaded and run."""
    import torch._inductor.config as config

    if subject.route.package is None:
        raise NotApplicable("PyTorch's own op: Inductor writes its code itself")
    if subject.route.namespace is None:
        raise NotRun("asked of registered routes only, since a package takes ten seconds")
    program = _exported(subject, dynamic=False)
    args = subject.other_values(subject.args())
    # Only the wrapper is compiled, and what it costs is not what this asks.
    with tempfile.TemporaryDirectory() as folder, config.patch({"aot_inductor.compile_wrapper_opt_level": "O0"}):
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(Path(folder) / "op.pt2"))
        runner = torch._inductor.aoti_load_package(package)
        subject.hold(args, runner(*args))
    return None
