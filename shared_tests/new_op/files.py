"""Fills the templates of a new op's files with text derived from its schema, and formats them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from string import Template

from shared_tests.new_op.schema import Op

TEMPLATES = Path(__file__).with_name("templates")
# Maps each template to the folder that has a file of this kind for each op.
FOLDERS = {
    "op.cpp": "cpp_ext/csrc/cpu",
    "op.cu": "cpp_ext/csrc/cuda",
    "cpp_ext.py": "cpp_ext/src/cpp_ext/ops",
    "op.mojo": "mojo_ops/kernels",
    "mojo_ops.py": "mojo_ops/src/mojo_ops/ops",
    "max_graph.py": "mojo_ops/src/mojo_ops/max_graph",
    "spec.py": "shared_tests/ops",
}
CPP_TYPES = {"float": "float", "int": "int64_t", "bool": "bool"}
CPP_VALUES = {
    "float": "static_cast<float>(args.scalars[{i}].real)",
    "int": "args.scalars[{i}].integer",
    "bool": "args.scalars[{i}].integer != 0",
}
MOJO_VALUES = {
    "float": "scalars[{i}] = call.real({i})",
    "int": "scalars[{i}] = Float32(call.integer({i}))",
    "bool": "scalars[{i}] = Float32(1 if call.boolean({i}) else 0)",
}
KERNEL_SCALARS = {"float": "float32", "int": "int64", "bool": "int64"}
MOJO_CHECKS = (
    "call.require_like({i}, 0)\n"
    'call.require_sizes({i}, call.input(0).sizes_from(0), call.input(0).rank, "the shape of {first}")'
)
LONGEST = 70  # longest formula, in characters, that fits in a line of text


def expression(op: Op, square: str, number: str = "{}", sign: str = "(-1.0 if {} else 1.0)") -> str:
    """The placeholder formula: the squared sum of the tensors, times each float, plus each int, negated by each bool.

    Args:
        square: template of a square, in the language of the file.
        number: template that converts an int to a float.
        sign: template for 1 or -1, depending on a bool.
    """
    text, added = square, False
    for name, kind in op.scalars:
        if kind == "int":
            text, added = f"{text} + {number.format(name)}", True
        else:
            factor = name if kind == "float" else sign.format(name)
            text, added = f"({text}) * {factor}" if added else f"{text} * {factor}", False
    return text


def formula(op: Op) -> str:
    """The placeholder formula in text, or a description if it is too long for a line."""
    square = f"({' + '.join(op.tensors)})^2" if len(op.tensors) > 1 else f"{op.tensors[0]}^2"
    text = expression(op, square, sign="(-1)^{}")
    return text if len(text) <= LONGEST else "a formula of all arguments"


def cpp_statements(op: Op) -> str:
    """Statements for vectors on the CPU and for floats on a GPU."""
    value = expression(op, "total * total", "static_cast<float>({})", "({} ? -1.0f : 1.0f)")
    return f"auto total = {' + '.join(op.tensors)};\nreturn {value};"


def mojo_statements(op: Op) -> str:
    """Statements for vectors, on the CPU and on a GPU."""
    lines = [f"var {name} = scalars[{i}]{' != 0' * (kind == 'bool')}" for i, (name, kind) in enumerate(op.scalars)]
    lines.append(f"var total = {' + '.join(f'x[{i}]' for i in range(len(op.tensors)))}")
    lines.append(f"return {expression(op, 'total * total', sign='(Float32(-1) if {} else Float32(1))')}")
    return "\n".join(lines)


def python_statements(op: Op) -> str:
    """Statements for tensors and for numbers with an error bound."""
    return f"total = {' + '.join(op.tensors)}\nreturn {expression(op, 'total * total')}"


def max_statements(op: Op) -> str:
    """Statements for MAX graphs, in float32."""
    total = " + ".join(f"ops.cast({name}, DType.float32)" for name in op.tensors)
    return f"total = {total}\nreturn ops.cast({expression(op, 'total * total')}, {op.tensors[0]}.dtype)"


def fields(op: Op) -> dict[str, str]:
    """The text for each name in the templates."""
    tensors, scalars, first = op.tensors, op.scalars, op.tensors[0]
    names = [*tensors, *(name for name, _ in scalars)]
    tensor_count = len(tensors)

    def for_each_tensor(text: str, separator: str = ", ") -> str:
        return separator.join(text.format(name=name, i=i) for i, name in enumerate(tensors))

    def with_commas(parts: Iterable[str]) -> str:
        return "".join(f"{part}, " for part in parts)

    def values(forms: dict[str, str]) -> list[str]:
        return [forms[kind].format(i=i) for i, (_, kind) in enumerate(scalars)]

    def for_other_tensors(text: str) -> str:
        lines = [text.format(name=name, i=i, op=op.name, first=first) for i, name in enumerate(tensors) if i]
        return "\n".join(lines)

    like = f"shape, dtype and device of {first}; nothing is broadcast."
    arguments = [f"{first}: any shape; float32, bfloat16 or float16.", *(f"{name}: {like}" for name in tensors[1:])]
    arguments += [f"{name}: {kind}." for name, kind in scalars]
    scalar_parameters = "".join(f", {name}: {kind}" for name, kind in scalars)
    return {
        "name": op.name,
        "schema": op.schema,
        "formula": formula(op),
        "first": first,
        "names": ", ".join(tensors),
        "all_names": ", ".join(names),
        "flops": str(tensor_count + len(scalars)),
        "py_arguments": "\n".join(arguments),
        "py_parameters": for_each_tensor("{name}: Tensor") + scalar_parameters,
        "py_statements": python_statements(op),
        "spec_parameters": for_each_tensor("{name}: Any") + scalar_parameters,
        "max_parameters": for_each_tensor("{name}: TensorValue") + scalar_parameters,
        "max_statements": max_statements(op),
        "cpp_pointers": for_each_tensor("const T* {name}"),
        "cpp_scalars": with_commas(f"{CPP_TYPES[kind]} {name}" for name, kind in scalars),
        "cpp_floats": for_each_tensor("Floats {name}"),
        "cpp_statements": cpp_statements(op),
        "cpp_checks": for_other_tensors("require_same_dtype(args, {i}, 0);\nrequire_same_shape(args, {i}, 0);"),
        "cpp_inputs": for_each_tensor("args.in[{i}].as<T>()"),
        "cpp_values": with_commas(values(CPP_VALUES)),
        "cuda_members": "\n".join(f"{CPP_TYPES[kind]} {name};" for name, kind in scalars),
        "cuda_floats": for_each_tensor("float {name}"),
        "cuda_values": ", ".join(values(CPP_VALUES)),
        "cuda_inputs": for_each_tensor("args.in[{i}].as<const T>()"),
        "tensor_count": str(tensor_count),
        "scalar_count": str(len(scalars)),
        "quoted": for_each_tensor('"{name}"'),
        "mojo_statements": mojo_statements(op),
        "mojo_checks": for_other_tensors(MOJO_CHECKS) or "pass",
        "mojo_scalars": "\n".join(values(MOJO_VALUES)),
        "kernel_scalars": repr(tuple(KERNEL_SCALARS[kind] for _, kind in scalars)),
        "scalar_tuple": "".join(f"{name}, " for name, _ in scalars).removesuffix(", " if scalars[1:] else " "),
    }


def fill(template: str, values: dict[str, str]) -> str:
    """Fills a template. A value on its own line is indented like its name; the line of an empty one is removed."""

    def indented_lines(match: re.Match[str]) -> str:
        indent, name = match[1], match[2]
        return "".join(f"{indent}{line}\n" for line in values[name].splitlines())

    text = re.sub(r"^([ ]*)\$(\w+)\n", indented_lines, template, flags=re.MULTILINE)
    return Template(text).substitute(values)


def write(op: Op, root: Path) -> list[Path]:
    """Writes the files of an op into a checkout and returns their paths."""
    paths, values = [], fields(op)
    for template, folder in FOLDERS.items():
        path = root / folder / f"{op.name}{Path(template).suffix}"
        path.write_text(fill((TEMPLATES / f"{template}.template").read_text(), values))
        paths.append(path)
    formatted(paths, root)
    return paths


def formatted(paths: Iterable[Path], root: Path) -> None:
    """Formats sources with the tools of `nox -s lint`, because line lengths depend on schema and formula.

    Raises:
        FileNotFoundError: a tool is not installed.
    """
    tools = {
        ".py": ("ruff", "format", "--quiet"),
        ".mojo": ("mojo", "format", "--quiet", "--line-length", "110"),
        **dict.fromkeys((".cpp", ".cu"), ("clang-format", "-i")),
    }
    for path in paths:
        program, *options = tools[path.suffix]
        sibling = Path(sys.executable).with_name(program)
        tool = str(sibling) if sibling.exists() else shutil.which(program)
        if tool is None:
            raise FileNotFoundError(f"{program} is not installed; it formats {path.name}")
        subprocess.run([tool, *options, str(path)], cwd=root, check=True)
