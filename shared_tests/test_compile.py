"""Registered ops under torch.compile, torch.export and AOTInductor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._inductor.utils import run_and_get_code

from shared_tests.accuracy import expected, mismatch
from shared_tests.conftest import representative, routes_where
from shared_tests.routes import Route, all_routes
from shared_tests.spec import OpSpec

registered = routes_where(lambda route: route.namespace is not None)
OPS_WHERE = representative


def small_call(spec: OpSpec, device: str, n: int = 2) -> tuple[Any, ...]:
    return spec.sized(n, spec.dtypes[0], device)


def flipped(spec: OpSpec, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same call with other values, which shows whether a result was baked into a program."""
    return tuple(a.flip(0) if isinstance(a, torch.Tensor) else a for a in args)


# Dynamo


@registered
def test_one_graph_without_break_for_all_sizes(spec: OpSpec, route: Route, device: str) -> None:
    """A function with both forms is one graph, which is not recompiled for a second and a third size."""
    op, out, counter = route.overload(spec), route.out(spec), CompileCounter()
    assert out is not None
    torch._dynamo.reset()

    def functional_and_out(*args: Any) -> Any:
        results = op(*args)
        outputs = [torch.empty_like(r) for r in spec.results(results)]
        out(*args, *outputs)
        return results, tuple(outputs)

    function = torch.compile(functional_and_out, fullgraph=True, dynamic=True, backend=counter)
    for n in (2, 3, 5):
        args = small_call(spec, device, n)
        for value in function(*args):
            assert mismatch(spec, expected(spec, args), value) is None
    assert counter.frame_count == 1


@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace")
def test_unregistered_function_is_refused_by_dynamo(spec: OpSpec, device: str) -> None:
    """A plain pybind11 function cannot be traced, and the error of fullgraph=True names it."""
    route = all_routes()["cpp_pybind"]
    if reason := route.unavailable():
        pytest.fail(f"route cpp_pybind did not build: {reason}", pytrace=False)
    if device not in route.devices:
        pytest.skip(f"route cpp_pybind does not run on {device}")
    torch._dynamo.reset()
    call = route.functional(spec)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=spec.name):
        torch.compile(lambda *args: call(*args), fullgraph=True)(*small_call(spec, device))


# Inductor


@registered
def test_inductor_runs_functional_and_in_place_forms(spec: OpSpec, route: Route, device: str) -> None:
    """The op runs between other operations that the compiler may fuse or reuse buffers for."""
    torch._dynamo.reset()
    op, op_out = route.overload(spec), route.out(spec)
    assert op_out is not None
    args = small_call(spec, device)

    def functional(*args: Any) -> list[torch.Tensor]:
        return [r + 1 for r in spec.results(op(*args))]

    def in_place(*args: Any) -> list[torch.Tensor]:
        outputs = [torch.zeros_like(r) for r in spec.results(op(*args))]
        op_out(*args, *outputs)
        return [output + 1 for output in outputs]

    expected_results = [r + 1 for r in spec.results(op(*args))]
    for function in (functional, in_place):
        actual = torch.compile(function, fullgraph=True)(*args)
        for result, expected_result in zip(actual, expected_results, strict=True):
            assert torch.equal(result, expected_result), function.__name__


def allocation_problem(work: Any, args: tuple[Any, ...], buffers: int) -> str | None:
    """None if Inductor's code for `work` is right, copies nothing and allocates at most `buffers` buffers."""
    torch._dynamo.reset()
    expected_results = work(*args)
    actual, sources = run_and_get_code(torch.compile(work, fullgraph=True), *args)
    if not all(
        torch.equal(result, expected_result) for result, expected_result in zip(actual, expected_results, strict=True)
    ):
        return "wrong result"
    body = "".join(sources).split("def call(", 1)[-1]
    allocated = len(re.findall(r"= empty_strided\w*\(", body))
    copies = len(re.findall(r"\bclone\b|copy_\(", body))
    return f"{allocated} buffers and {copies} copies in\n{body}" if allocated > buffers or copies else None


@registered
def test_pointwise_work_runs_in_the_ops_own_output(spec: OpSpec, route: Route, device: str) -> None:
    """One buffer, for the op's input, is enough, because the work after the op overwrites its result."""
    op = route.overload(spec)

    def work(first: torch.Tensor, *other_args: Any) -> list[torch.Tensor]:
        return [(r * 2).relu() for r in spec.results(op(first + 1, *other_args))]

    assert allocation_problem(work, small_call(spec, device), buffers=1) is None


@registered
def test_out_variant_writes_into_inductors_buffer(spec: OpSpec, route: Route, device: str) -> None:
    """Only the outputs and the op's input are allocated, and nothing is copied into the outputs."""
    out, args = route.out(spec), small_call(spec, device)
    assert out is not None
    shapes = [(output.shape, output.dtype) for output in spec.empty_outputs(*args)]

    def work(first: torch.Tensor, *other_args: Any) -> list[torch.Tensor]:
        outputs = [torch.empty(shape, dtype=dtype, device=device) for shape, dtype in shapes]
        out(first + 1, *other_args, *outputs)
        return outputs

    assert allocation_problem(work, args, buffers=1 + len(shapes)) is None


@registered
def test_out_variant_writes_into_the_callers_tensor(spec: OpSpec, route: Route, device: str) -> None:
    out, args = route.out(spec), small_call(spec, device)
    assert out is not None
    outputs = spec.empty_outputs(*args)

    def work(*args_and_outputs: Any) -> list[torch.Tensor]:
        out(*args_and_outputs)
        return []

    torch._dynamo.reset()
    assert allocation_problem(work, (*args, *outputs), buffers=0) is None
    assert mismatch(spec, expected(spec, args), outputs) is None


def test_a_copy_is_caught(device: str) -> None:
    """A copy is detected, here one that keeps a value which the op overwrites."""

    def work(a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        copy = a + 1
        out = copy.clone()
        torch.ops.cpp_ext.add.out(a, b, out=out)
        return [out, copy]

    args = torch.ones(4, 9, device=device), torch.ones(4, 9, device=device)
    assert allocation_problem(work, args, buffers=1)


@registered
def test_reduce_overhead(spec: OpSpec, route: Route, device: str) -> None:
    """The result is right whether the op is captured in a CUDA graph or runs outside of it."""
    if device != "cuda":
        pytest.skip("CUDA graphs need a GPU")
    torch._dynamo.reset()
    op = route.overload(spec)
    compiled = torch.compile(lambda *args: op(*args), fullgraph=True, mode="reduce-overhead")
    for _ in range(3):
        for args in (small_call(spec, device), flipped(spec, small_call(spec, device))):
            torch.compiler.cudagraph_mark_step_begin()
            assert mismatch(spec, expected(spec, args), compiled(*args)) is None


# Export


def module(call: Any) -> torch.nn.Module:
    class Module(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            return call(*args)

    return Module()


def exported(spec: OpSpec, route: Route, device: str, dynamic: bool) -> torch.export.ExportedProgram:
    args = small_call(spec, device)
    auto = torch.export.Dim.AUTO
    shapes = tuple(dict.fromkeys(range(a.dim()), auto) if isinstance(a, torch.Tensor) else None for a in args)
    return torch.export.export(
        module(route.overload(spec)), args, dynamic_shapes={"args": shapes} if dynamic else None, strict=True
    )


@registered
def test_exported_program_runs_after_saving(spec: OpSpec, route: Route, device: str, tmp_path: Path) -> None:
    """A program with dynamic shapes, saved and loaded, runs at sizes that it was not exported with."""
    program = exported(spec, route, device, dynamic=True)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert f"{route.namespace}.{spec.name}.default" in targets
    torch.export.save(program, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    for n in (2, 3, 5):
        args = small_call(spec, device, n)
        assert mismatch(spec, expected(spec, args), loaded(*args)) is None


@registered
def test_aot_inductor(route: Route, device: str, tmp_path: Path) -> None:
    """A package is compiled, loaded and run. One op with a scalar represents all, because a package takes 5 to 15 s."""
    from shared_tests.ops.rms_norm import SPEC

    program = exported(SPEC, route, device, dynamic=False)
    # The speed of the wrapper does not matter here, and -O1 takes 2 s longer.
    with torch._inductor.config.patch({"aot_inductor.compile_wrapper_opt_level": "O0"}):
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "op.pt2"))
    run = torch._inductor.aoti_load_package(package)
    for args in (small_call(SPEC, device), flipped(SPEC, small_call(SPEC, device))):
        assert mismatch(SPEC, expected(SPEC, args), run(*args)) is None
