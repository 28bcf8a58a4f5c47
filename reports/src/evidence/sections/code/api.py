"""Which names of other people's interfaces a source uses: what someone has to know beside the language to write it.

One rule for every language. A name counts when it belongs to PyTorch (C++, Python, the C functions of its stable ABI),
MAX, pybind11, CPython's C API, DLPack, a GPU's programming model or a CPU's intrinsics. The language, its standard
library (`std::`, Mojo's `std`, Python's own modules) and this repository's own names do not count, and neither do
methods of an object, since only a compiler knows whose they are. Each distinct name counts once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from evidence.sections.code.tokens import Token, tokens

_C_FUNCTION = r"(?:aoti_torch|torch|M|KGEN)_[A-Za-z]\w*"
_CPP_QUALIFIED = re.compile(r"\b(torch|at|c10|caffe2|pybind11|py)((?:::~?\w+)+)")
_CPP_NAMES = re.compile(
    r"\b(?:"
    rf"{_C_FUNCTION}"
    r"|(?:STABLE_|AOTI_)?TORCH_\w+|AT_[A-Z]\w*|C10_\w+"  # PyTorch's macros
    r"|PYBIND11_\w+|_?Py[A-Z_]\w*"
    r"|DL[A-Z]\w*|kDL\w+"
    r"|(?:cuda|hip)[A-Z]\w*|blockIdx|threadIdx|blockDim|gridDim|warpSize"
    r"|__(?:shfl|sync|nv|half|float2|bfloat16|hip_|ldg)\w*"
    r"|_mm\w+|__builtin_\w+"
    r")\b"
)
_MOJO_PACKAGES = ("max", "extensibility")
_PYTHON_PACKAGES = ("torch", "max")


def api_names(text: str, suffix: str) -> set[str]:
    """Distinct names of a source text whose language is given by its file suffix.

    Raises:
        ValueError: a suffix without a known lexer.
    """
    if suffix == ".py":
        return _python(text)
    token_list = tokens(text, suffix)
    if suffix == ".mojo":
        return _mojo(token_list)
    return _cpp(token_list) if suffix != ".toml" else set()


def _cpp(token_list: list[Token]) -> set[str]:
    lines = (" ".join(t.text for t in line if not t.string) for line in _lines(token_list) if not _is_include(line))
    return _cpp_names(re.sub(r"\s*: :\s*~? ?", "::", "\n".join(lines)))


def _cpp_names(bare: str) -> set[str]:
    names = {
        ("pybind11" if match[1] == "py" else match[1]) + match[2].replace("~", "")
        for match in _CPP_QUALIFIED.finditer(bare)
    }
    return names | set(_CPP_NAMES.findall(_CPP_QUALIFIED.sub(" ", bare)))


def _lines(token_list: list[Token]) -> list[list[Token]]:
    """Cut where a statement begins: for C-like languages, at every line outside of brackets."""
    lines: list[list[Token]] = []
    for token in token_list:
        if token.first or not lines:
            lines.append([])
        lines[-1].append(token)
    return lines


def _is_include(line: list[Token]) -> bool:
    return [token.text for token in line[:2]] == ["#", "include"]


def _mojo(token_list: list[Token]) -> set[str]:
    names: set[str] = set()
    for line in _lines(token_list):
        texts = [token.text for token in line]
        if texts[0] == "from" and texts[1] in _MOJO_PACKAGES:
            # from max.gpu.host import DeviceContext, (_Name as Name)
            at = texts.index("import")
            module = "".join(texts[1:at])
            imported = " ".join(word for word in texts[at + 1 :] if word not in "()")
            names |= {f"{module}.{item.split()[0]}" for item in imported.split(",") if item.strip()}
        elif texts[0] not in ("from", "import"):
            pairs = zip(texts, texts[1:], texts[2:], strict=False)
            names |= {
                f"{package}.{member}" for package, dot, member in pairs if package in _MOJO_PACKAGES and dot == "."
            }
    # external_call["aoti_torch_check", ...] and what wraps it
    strings = (re.fullmatch(rf'"({_C_FUNCTION})"', token.text) for token in token_list if token.string)
    return names | {match[1] for match in strings if match}


def _python(text: str) -> set[str]:
    tree = ast.parse(text)
    roots: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in _PYTHON_PACKAGES:
                    roots[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else ""
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _PYTHON_PACKAGES:
            roots.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    names: set[str] = set()
    inner: set[int] = set()  # parts of a longer name
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain, value = [node.attr], node.value
            parts = [id(value)]
            while isinstance(value, ast.Attribute):
                chain.append(value.attr)
                value = value.value
                parts.append(id(value))
            if isinstance(value, ast.Name) and value.id in roots and id(node) not in inner:
                names.add(_dotted(roots[value.id] or value.id, reversed(chain)))
                inner |= set(parts)
            elif re.fullmatch(_C_FUNCTION, node.attr):  # through ctypes
                names.add(node.attr)
        elif isinstance(node, ast.Name) and roots.get(node.id) and id(node) not in inner:
            names.add(roots[node.id])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(_C_FUNCTION, node.value):
                names.add(node.value)
            elif "\n" in node.value and id(node) not in docstrings:  # source that this file writes
                names |= _cpp_names(node.value) | set(re.findall(r"\bextensibility\.\w+", node.value))
    return names


def _dotted(root: str, chain: Iterable[str]) -> str:
    name = ".".join([root, *chain])
    # below torch.ops stand the ops of this repository, below Tensor and dtypes methods and attributes
    return re.sub(r"^(torch\.ops|torch\.Tensor|torch\.(?:float|bfloat|uint|int)\d+)\..*", r"\1", name)
