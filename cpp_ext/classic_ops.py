"""Writes the C++ of route cpp_classic that follows from an op's schema: what one writes by hand in a classic extension.

For each op: a function from ``at::Tensor`` to ``at::Tensor``, its form that writes into ready outputs, and both their
registrations, with the dispatcher and with pybind11. Generated, so that an op stays described in its own files only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

TYPES = {
    "Tensor": "const at::Tensor&",
    "Tensor?": "const std::optional<at::Tensor>&",
    "float": "double",
    "int": "int64_t",
    "bool": "bool",
}
DEFAULTS = {"None": "py::none()", "True": "true", "False": "false"}
OP = re.compile(r"\bOp (\w+)_op\s*\{(.*?)\n?\};", re.DOTALL)
SCHEMA = re.compile(r'\.schema\s*=\s*((?:"[^"]*"\s*)+)')
OUTPUTS = re.compile(r"\.outputs\s*=\s*\{(.*)\}", re.DOTALL)


@dataclass(frozen=True)
class Op:
    """An op as its kernel file describes it."""

    name: str
    schema: str
    parameters: tuple[tuple[str, str, str], ...]  # type, name and default, empty without one
    outputs: tuple[str, ...]


def read_op(source: Path) -> Op:
    """Reads the description at the end of ``csrc/cpu/<op>.cpp``.

    Raises:
        ValueError: the file has none, or a type that has no C++ form here.
    """
    found = OP.search(source.read_text())
    schema = SCHEMA.search(found[2]) if found else None
    outputs = OUTPUTS.search(found[2]) if found else None
    if not found or not schema:
        raise ValueError(f"{source}: no `Op {source.stem}_op{{.name, .schema}}` found")
    text = "".join(re.findall(r'"([^"]*)"', schema[1]))
    items = text[1 : text.index(") -> ")].split(", ")
    parameters = tuple(re.fullmatch(r"(Tensor|\S+?)(?:\(\w!\))? (\w+)=?(.*)", item).groups() for item in items)
    if unknown := [t for t, _, _ in parameters if t not in TYPES]:
        raise ValueError(f"{source}: no C++ type for {', '.join(unknown)} in the schema {text}")
    names = tuple(re.findall(r'\.name\s*=\s*"(\w+)"', outputs[1])) if outputs else ()
    return Op(found[1], text, parameters, names)  # type: ignore[arg-type]


def out_schema(op: Op) -> str:
    """Schema of the overload that writes into ready outputs, without the name."""
    ready = "".join(f", Tensor({chr(ord('a') + i)}!) {name}" for i, name in enumerate(op.outputs))
    return f"{op.schema[: op.schema.index(') -> ')]}, *{ready}) -> ()"


def functions(op: Op) -> str:
    """The C++ functions of one op."""
    declared = ", ".join(f"{TYPES[kind]} {name}" for kind, name, _ in op.parameters)
    outputs = "".join(f", at::Tensor& {name}" for name in op.outputs)
    tensors = ", ".join(f"pointer({name})" for kind, name, _ in op.parameters if kind.startswith("Tensor"))
    plain = [(kind, name) for kind, name, _ in op.parameters if not kind.startswith("Tensor")]
    scalars = ", ".join(f"{'real' if kind == 'float' else 'integer'}({name})" for kind, name in plain)
    ready = ", ".join(f"&{name}" for name in op.outputs)
    count = len(op.outputs)
    if not count:
        return f"""
void {op.name}({declared}) {{
  cpp_classic::call<0>(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}});
}}
"""
    results = ", ".join(f"std::move(results[{i}])" for i in range(count))
    result = "at::Tensor" if count == 1 else f"std::tuple<{', '.join(['at::Tensor'] * count)}>"
    return f"""
{result} {op.name}({declared}) {{
  auto results = cpp_classic::call<{count}>(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}});
  return {results if count == 1 else f"{{{results}}}"};
}}

void {op.name}_out({declared}{outputs}) {{
  cpp_classic::call_out(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}}, {{{ready}}});
}}
"""


def argument(name: str, default: str) -> str:
    """An argument of a pybind11 function."""
    return f'py::arg("{name}")' + (f" = {DEFAULTS.get(default, default)}" if default else "")


def generate(sources: list[Path]) -> str:
    """The header ``classic_ops.h`` for the kernel files of all ops."""
    ops = [read_op(source) for source in sources]
    nl = "\n"
    arguments = {op.name: ", ".join(argument(name, default) for _, name, default in op.parameters) for op in ops}
    implementations, definitions, autograd = [], [], []
    for op in ops:
        implementations.append(f'  m.impl("{op.name}", {op.name});')
        definitions.append(f'  m.def("{op.name}{op.schema}");')
        if op.outputs:
            autograd.append(f'  m.impl("{op.name}", torch::CppFunction::makeFromBoxedFunction<&call_autograd>());')
            implementations.append(f'  m.impl("{op.name}.no_grad", {op.name});')
            implementations.append(f'  m.impl("{op.name}.out", {op.name}_out);')
            definitions.append(f'  m.def("{op.name}.no_grad{op.schema}");')
            definitions.append(f'  m.def("{op.name}.out{out_schema(op)}");')
    bindings = [
        f'  m.def("{name}", &{name}, {arguments[name]}, py::call_guard<py::gil_scoped_release>());'
        for name in arguments
    ]
    return f"""// Written by classic_ops.py from the descriptions in csrc/cpu/*.cpp.
#pragma once

namespace cpp_ext {{
{nl.join(f"extern Op {op.name}_op;" for op in ops)}
}}  // namespace cpp_ext

namespace cpp_classic::ops {{
{"".join(functions(op) for op in ops)}
void define(torch::Library& m) {{
{nl.join(definitions)}
}}

void implement(torch::Library& m) {{
{nl.join(implementations)}
}}

void implement_autograd(torch::Library& m) {{
{nl.join(autograd)}
}}

// What TORCH_LIBRARY and TORCH_LIBRARY_IMPL do, but kept until the process has ended: their static objects take the
// operators back while what Python has added to them, such as gradient formulas, is still there, and libtorch aborts.
const bool registered = [] {{
  const auto library = [](torch::Library::Kind kind, std::optional<c10::DispatchKey> key) -> torch::Library& {{
    return *new torch::Library(kind, "cpp_classic", key, __FILE__, __LINE__);
  }};
  define(library(torch::Library::DEF, std::nullopt));
  implement(library(torch::Library::IMPL, c10::DispatchKey::CPU));
  implement_autograd(library(torch::Library::IMPL, c10::DispatchKey::AutogradCPU));
#if defined(CPP_EXT_WITH_GPU)
  implement(library(torch::Library::IMPL, c10::DispatchKey::CUDA));
  implement_autograd(library(torch::Library::IMPL, c10::DispatchKey::AutogradCUDA));
#endif
  return true;
}}();

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{
{nl.join(bindings)}
}}

}}  // namespace cpp_classic::ops
"""
