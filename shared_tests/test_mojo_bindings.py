"""Tests that the generated functions that MAX calls pass every tensor and scalar to the declared op."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from shared_tests.emulator.mojo_bindings import MOJO_OPS, binding, op_names, side_module
from shared_tests.spec import all_specs

bindings = side_module("bindings")
artifacts = side_module("artifacts")
library = side_module("library")
Kernel = side_module("kernel").Kernel


def parameters(struct: str) -> dict[str, str]:
    """The parameters of `execute` and their types, in order."""
    return dict(re.findall(r"^        (\w+): (\w+),$", struct, re.MULTILINE))


def call_arguments(struct: str) -> list[tuple[str, int, str]]:
    """Kind, position and name of each argument that is put into the call, in order."""
    return [(kind, int(i), name) for kind, i, name in re.findall(r"call\.(\w+)\((\d+), (\w+)\)", struct)]


def schema_of(op: str) -> Any:
    return torch._C.parse_schema(f"mojo_ops::{op}{all_specs()[op].schema}")


@pytest.mark.parametrize("op", op_names())
def test_every_parameter_reaches_the_declared_op(op: str) -> None:
    kernel = binding(op).kernel
    for struct in (bindings.engine_struct(kernel), bindings.dps_struct(kernel)):
        names = parameters(struct)
        assert list(names.values())[-1] == "DeviceContext"
        tensors = [(kind, i, name) for kind, i, name in call_arguments(struct) if kind != "scalar"]
        scalars = [(i, name) for kind, i, name in call_arguments(struct) if kind == "scalar"]
        assert {name for _, _, name in tensors} | {name for _, name in scalars} == set(names) - {"ctx"}
        assert [i for _, i, _ in tensors] == list(range(len(tensors)))
        assert [name for _, _, name in tensors][-len(kernel.outputs) :] == [n for n in names if n.startswith("output")]
        assert scalars == list(enumerate(n for n in names if n.startswith("scalar")))
        optional = {i for kind, i, _ in tensors if kind == "put_optional"}
        assert optional == {i + len(kernel.outputs) * kernel.in_place for i in kernel.optional}


@pytest.mark.parametrize("op", op_names())
def test_the_call_has_the_arguments_of_the_schema(op: str) -> None:
    """Does not apply if the kernel is only a part of the op."""
    kernel, schema = binding(op).kernel, schema_of(op)
    assert kernel.in_place == any(argument.is_write for argument in schema.arguments)
    if hasattr(side_module(f"ops.{artifacts.module_of(op)}"), "OPERANDS"):
        return
    tensors = [argument for argument in schema.arguments if "Tensor" in str(argument.type)]
    for struct in (bindings.engine_struct(kernel), bindings.dps_struct(kernel)):
        read = [kind for kind, _, _ in call_arguments(struct) if kind != "scalar"][: -len(kernel.outputs)]
        assert read == ["put_optional" if "Optional" in str(a.type) else "put" for a in tensors]
    assert len(kernel.scalar_types) == len(schema.arguments) - len(tensors)


def test_an_op_that_writes_its_arguments() -> None:
    """Checks an example: outputs of an in-place op are also its first inputs; outputs of the engine are not read."""
    kernel = Kernel(
        "op", outputs=(("n",),), inputs=(("n",), ("m",)), optional=(1,), scalars=("float32", "int64"), in_place=True
    )
    engine, dps = bindings.engine_struct(kernel), bindings.dps_struct(kernel)
    assert '@extensibility.register("mojo_ops_op")\n' in engine
    assert '@extensibility.register("mojo_ops_op_dps")\n' in dps
    scalars = [("scalar", 0, "scalar0"), ("scalar", 1, "scalar1")]
    assert call_arguments(engine) == [
        ("put", 0, "output0"), ("put", 1, "input0"), ("put_optional", 2, "input1"), ("put", 3, "output0"), *scalars
    ]  # fmt: skip
    assert call_arguments(dps) == [
        ("put", 0, "input0"), ("put", 1, "input1"), ("put_optional", 2, "input2"), ("put", 3, "output0"), *scalars
    ]  # fmt: skip
    assert parameters(engine) == {
        "output0": "MutableInputTensor", "input0": "InputTensor", "input1": "InputTensor",
        "scalar0": "Float32", "scalar1": "Int64", "ctx": "DeviceContext",
    }  # fmt: skip
    assert "call.run[output0.dtype, target](ctx)" in engine
    assert "MaxCall[op, 3, 1]()" in dps


def test_kernels_are_read_as_they_are_imported() -> None:
    for op in op_names():
        assert artifacts.kernel_of(op) in vars(side_module(f"ops.{artifacts.module_of(op)}")).values()
    assert artifacts.kernel_of("sum8").name == "sum8"
    with pytest.raises(KeyError):
        artifacts.kernel_of("no_op")


def test_a_package_of_sources_has_what_max_calls(tmp_path: Path) -> None:
    """The package can be written again over an earlier one, as when editing and calling repeatedly."""
    for ops in (["add"], ["add", "rms_norm"]):
        package = library.write_package(MOJO_OPS / "kernels", ops, tmp_path)
        assert package == tmp_path / "kernels"
        registered = re.findall(r'register\("(\w+)"\)', (package / library.BINDINGS).read_text())
        assert registered == [name for op in ops for name in (f"mojo_ops_{op}", f"mojo_ops_{op}_dps")]
        assert (package / "common/torch_op.mojo").is_file()
