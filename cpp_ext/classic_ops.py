"""Generates from the schemas the C++ code of route cpp_classic that the author of a classic extension writes by hand.

For each op, it writes a function from ``at::Tensor`` to ``at::Tensor``, its form that writes into existing outputs, and
the registrations of both with the dispatcher and pybind11. The schemas are those that the built ``_C`` registers.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

TYPES = {
    "Tensor": "const at::Tensor&",
    "Optional[Tensor]": "const std::optional<at::Tensor>&",
    "float": "double",
    "int": "int64_t",
    "bool": "bool",
}
DEFAULTS = {None: "py::none()", True: "true", False: "false"}
PACKAGE = Path(__file__).parent / "src/cpp_ext"


@dataclass(frozen=True)
class Op:
    """A registered op: the schema of each overload by its name, which is empty for the functional form."""

    name: str
    overloads: dict[str, torch.FunctionSchema]

    @property
    def arguments(self) -> list[torch.Argument]:
        """The arguments of the functional form."""
        return self.overloads[""].arguments

    @property
    def tensors(self) -> list[str]:
        """The names of the tensor arguments, in order."""
        return [a.name for a in self.arguments if "Tensor" in str(a.type)]

    @property
    def scalars(self) -> list[tuple[str, str]]:
        """The types and names of the other arguments, in order."""
        return [(str(a.type), a.name) for a in self.arguments if "Tensor" not in str(a.type)]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs, from the overload ``out``; none for an op that writes its arguments."""
        return [a.name for a in self.overloads["out"].arguments if a.kwarg_only] if "out" in self.overloads else []


def registered_ops(package: Path = PACKAGE) -> list[Op]:
    """The ops of the library that ``build_ext`` has built, sorted by name.

    Args:
        package: folder with the library.

    Raises:
        FileNotFoundError: it is not built.
        OSError: it does not load, for example because it was built for another version of PyTorch.
        ValueError: an argument has a type without a C++ form here.
    """
    library = next(iter(sorted(package.glob("_C.*"))), None)
    if library is None:
        raise FileNotFoundError(
            f"the functions of build_classic follow from the schemas of the library _C, which is not in {package}; "
            "build it first: python setup.py build_ext --inplace"
        )
    torch.ops.load_library(library)
    ops: dict[str, Op] = {}
    for schema in sorted(torch._C._jit_get_all_schemas(), key=lambda s: (s.name, s.overload_name)):
        namespace, _, name = schema.name.partition("::")
        if namespace != "cpp_ext":
            continue
        if unknown := sorted({str(a.type) for a in schema.arguments} - set(TYPES)):
            raise ValueError(f"{name}: no C++ type for {', '.join(unknown)} in the schema {schema}")
        ops.setdefault(name, Op(name, {})).overloads[schema.overload_name] = schema
    return list(ops.values())


def functions(op: Op) -> str:
    """The C++ functions of one op."""
    parameters = ", ".join(f"{TYPES[str(a.type)]} {a.name}" for a in op.arguments)
    outputs = "".join(f", at::Tensor& {name}" for name in op.outputs)
    tensors = ", ".join(f"pointer({name})" for name in op.tensors)
    scalars = ", ".join(f"{'real' if kind == 'float' else 'integer'}({name})" for kind, name in op.scalars)
    ready = ", ".join(f"&{name}" for name in op.outputs)
    count = len(op.outputs)
    if not count:
        return f"""
void {op.name}({parameters}) {{
  cpp_classic::call<0>(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}});
}}
"""
    results = ", ".join(f"std::move(results[{i}])" for i in range(count))
    result = "at::Tensor" if count == 1 else f"std::tuple<{', '.join(['at::Tensor'] * count)}>"
    return f"""
{result} {op.name}({parameters}) {{
  auto results = cpp_classic::call<{count}>(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}});
  return {results if count == 1 else f"{{{results}}}"};
}}

void {op.name}_out({parameters}{outputs}) {{
  cpp_classic::call_out(cpp_ext::{op.name}_op, {{{tensors}}}, {{{scalars}}}, {{{ready}}});
}}
"""


def py_argument(argument: torch.Argument) -> str:
    """An argument of a pybind11 function."""
    name = f'py::arg("{argument.name}")'
    if not argument.has_default_value():
        return name
    value = argument.default_value
    literal = DEFAULTS[value] if value is None or isinstance(value, bool) else repr(value)
    return f"{name} = {literal}"


def generate(ops: list[Op]) -> str:
    """The header ``classic_ops.h``."""
    nl = "\n"
    implementations, definitions, requirements, bindings, autograd = [], [], [], [], []
    for op in ops:
        for overload, registered in op.overloads.items():
            function = f"{op.name}_out" if overload == "out" else op.name
            implementations.append(f'  m.impl("{op.name}{overload and "."}{overload}", {function});')
            definitions.append(f'  m.def("{str(registered).removeprefix("cpp_ext::")}");')
        if len(op.overloads) > 1:  # an op that writes its arguments has no gradient
            autograd.append(f'  m.impl("{op.name}", torch::CppFunction::makeFromBoxedFunction<&call_autograd>());')
        schema = str(op.overloads[""]).removeprefix(f"cpp_ext::{op.name}")
        requirements.append(f'  cpp_classic::require_schema(cpp_ext::{op.name}_op, "{schema}");')
        arguments = ", ".join(map(py_argument, op.arguments))
        bindings.append(f'  m.def("{op.name}", &{op.name}, {arguments}, py::call_guard<py::gil_scoped_release>());')
    return f"""// Written by classic_ops.py from the schemas of _C.
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
{nl.join(requirements)}
{nl.join(bindings)}
}}

}}  // namespace cpp_classic::ops
"""
