"""Parses the name and schema of a new op, and rejects those that the templates do not support."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from pygments.lexers.c_cpp import CppLexer
from pygments.token import Token

from shared_tests.op_files import ops_in

MOST_ARGUMENTS = 8  # kMaxArgs in cpp_ext/csrc/common/op.h
PACKAGES = ("cpp_ext/src/cpp_ext", "mojo_ops/src/mojo_ops")
# Other names in the packages, and names that the written files import.
RESERVED = {"build_info", "cpp_ext", "kernels", "load", "max", "mojo_ops", "pybind", "std", "torch"}
MOJO = {"alias", "comptime", "fn", "inout", "mut", "owned", "read", "ref", "self", "struct", "trait", "var", "where"}
# Names that the written files use in the same scope as the arguments.
LOCAL = {
    *("alignment", "args", "call", "ctx", "dtype", "elementwise", "formula", "i", "n", "ops", "out", "put", "run"),
    *("std", "stream", "target", "torch", "total", "up", "value", "width"),
}
KINDS = ("Tensor", "float", "int", "bool")


class Refused(Exception):
    """The op cannot be written; the message gives the reason."""


@dataclass(frozen=True)
class Op:
    """A new op, which takes tensors of the same shape and dtype, then scalars, and returns one such tensor.

    scalars: names with their types, `float`, `int` or `bool`.
    """

    name: str
    schema: str
    tensors: tuple[str, ...]
    scalars: tuple[tuple[str, str], ...]


def read(name: str, schema: str, root: Path) -> Op:
    """Parses a name, and a schema without the name.

    Args:
        root: root folder of the checkout.

    Raises:
        Refused: the name is taken or the schema is not supported.
    """
    require_name("NAME", name)
    require_free(name, root)
    try:
        parsed = torch._C.parse_schema(f"new_op::{name}{schema}")
    except RuntimeError as error:
        first_line = str(error).strip().splitlines()[0]
        raise Refused(f"SCHEMA is {schema!r}, which PyTorch does not read: {first_line}") from error
    if [(str(r.type), r.alias_info) for r in parsed.returns] != [("Tensor", None)]:
        raise Refused(f"SCHEMA is {schema!r}, expected one new tensor as its result: it ends with `-> Tensor`")
    tensors: list[str] = []
    scalars: list[tuple[str, str]] = []
    for argument in parsed.arguments:
        kind = str(argument.type)
        require_name("an argument", argument.name, LOCAL)
        if kind not in KINDS:
            raise Refused(f"{argument.name} has the type {kind}, expected one of {', '.join(KINDS)}")
        if argument.has_default_value() or argument.kwarg_only or argument.alias_info:
            raise Refused(
                f"{argument.name} has a default, is written or is for keywords only, expected a plain argument: "
                "such an op is written by hand, as rope or fused_add_rms_norm"
            )
        if argument.name in tensors or argument.name in dict(scalars):
            raise Refused(f"{argument.name} stands twice in SCHEMA, expected a name for each argument")
        if kind != "Tensor":
            scalars.append((argument.name, kind))
        elif scalars:
            raise Refused(f"{argument.name} is a tensor behind the scalar {scalars[-1][0]}, expected tensors first")
        else:
            tensors.append(argument.name)
    if not tensors:
        raise Refused(f"SCHEMA is {schema!r}, expected at least one tensor")
    if len(parsed.arguments) > MOST_ARGUMENTS:
        raise Refused(f"SCHEMA has {len(parsed.arguments)} arguments, expected at most {MOST_ARGUMENTS}")
    return Op(name, str(parsed).removeprefix(parsed.name), tuple(tensors), tuple(scalars))


def require_name(label: str, name: str, reserved: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Raises Refused for a name that is invalid or already used in Python, C++, Mojo or the written files."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise Refused(
            f"{label} is {name!r}, expected lower-case letters, digits and single underscores, a letter first"
        )
    kinds = [kind for kind, text in CppLexer().get_tokens(name) if text == name]
    of_cpp = not kinds or kinds[0] not in Token.Name or kinds[0] in Token.Name.Builtin
    if keyword.iskeyword(name) or hasattr(builtins, name) or name in MOJO or of_cpp or name in reserved:
        raise Refused(f"{label} is {name!r}, which Python, C++, Mojo or the written files use for something else")


def require_free(name: str, root: Path) -> None:
    """Raises Refused for the name of an existing op or of another member of the packages."""
    if any(name in ops_in(file.stem) for file in (root / "shared_tests/ops").glob("*.py")):
        raise Refused(f"NAME is {name!r}, which is an op already")
    for package in PACKAGES:
        if name in RESERVED or any(path.stem == name for path in (root / package).iterdir()):
            raise Refused(f"NAME is {name!r}, which {Path(package).name} uses for something else")
