"""A source as HTML with its kinds of token marked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from markupsafe import Markup, escape
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

LEXERS = {"cpp": "cpp", "h": "cpp", "cu": "cuda", "cuh": "cuda", "py": "python", "mojo": "mojo"}

_CLASSES = (
    (Comment.Preproc, "p"),
    (Comment.PreprocFile, "p"),
    (Comment, "c"),
    (String, "s"),
    (Keyword.Type, "t"),
    (Keyword, "k"),
    (Number, "n"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "p"),
    (Name.Builtin, "t"),
)
"""Kinds of token and their CSS classes, of which the first that fits counts; others are not marked."""


def highlighted(source: str, path: str) -> Markup:
    """The source in the language that the suffix of `path` names; plain text for a suffix without a lexer."""
    name = LEXERS.get(path.rpartition(".")[2])
    if name is None:
        return escape(source)
    spans = (f"<i class={kind}>{escape(text)}</i>" if kind else escape(text) for kind, text in _runs(source, name))
    return Markup("".join(spans))


def _runs(source: str, lexer: str) -> Iterator[tuple[str, str]]:
    """(CSS class, text): tokens of one class that follow each other are one run."""
    tokens = get_lexer_by_name(lexer, stripnl=False, ensurenl=False).get_tokens(source)
    for kind, run in groupby(tokens, key=lambda token: _css_class(token[0])):
        yield kind, "".join(text for _, text in run)


@cache
def _css_class(kind: _TokenType) -> str:
    return next((name for token, name in _CLASSES if kind in token), "")
