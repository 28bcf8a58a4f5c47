"""Recognises forward functions by their code.

A class name is not enough: families copy classes from one another, and a release can change a formula under the same
name. The function's code is compared without comments, annotations and docstring.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

FORMS = {
    "e8c3ed3bcb66073c": "rms_norm",  # rounds before the weight: Llama, Mistral, Qwen and some 100 others
    "8f4441ded50ddcb4": "rms_norm",  # rounds after the weight: OLMo 2, GPT-OSS
    "d0923544d4d3d49f": "gelu_tanh",  # GELUTanh
    "9402b22683bfc017": "gelu_tanh",  # NewGELUActivation
    "ae3d1d762427f460": "silu",  # SiLUActivation
    "fb0dc48e7d0179fc": "gated_mlp",  # gate_proj, up_proj, down_proj: Llama, Mistral, Qwen, Gemma
    "f0840729d73f8530": "packed_mlp",  # gate_up_proj, down_proj: Phi-3, GLM
    "f543f23d17be576d": "gpt2_mlp",
    "296b570a9709fed4": "conv1d",
    "11ebff3648846529": "decoder_layer",  # norms before attention and MLP: Llama, Mistral, Qwen, Gemma
    "28fdad9acc2b5efe": "decoder_layer",  # the same: Mixtral, Phi-MoE
    "d52644a4ae419c19": "rope",  # the halves of a head rotate together: Llama and some 80 others
    "dd44b3af254e47fe": "rope",  # the same with a cast of the result: OLMo
    "9a52c7fa550f965f": "rope",  # the same in float32: ESM, ModernBERT
    "35e93b0bc699a539": "rotate_half",
}
"""What a function computes, by the digest of its code."""


_LEFT_OUT = ("annotation", "ctx", "decorator_list", "kind", "returns", "type_comment", "type_params")


@functools.cache
def digest(function: Callable[..., Any]) -> str | None:
    """A hash of the function's code that does not depend on comments, annotations, the docstring or Python's version.

    Args:
        function: a function written in Python.

    Returns:
        16 hexadecimal digits, or None where the source cannot be read.
    """
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    return hashlib.sha256(repr(_canonical(node)).encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """A syntax tree as nested lists, without fields that differ between versions of Python."""
    if isinstance(value, ast.AST):
        fields = ((name, _canonical(child)) for name, child in ast.iter_fields(value) if name not in _LEFT_OUT)
        return [type(value).__name__, *((name, child) for name, child in fields if child not in (None, []))]
    return [_canonical(child) for child in value] if isinstance(value, list) else value


def form(function: Callable[..., Any]) -> str | None:
    """The name in `FORMS` of what a function computes, or None if its code is not known."""
    return FORMS.get(digest(function) or "")
