"""Tokens of a source text by one rule for every language, without comments and docstrings.

The lexers of Pygments cut languages differently: `+=` is one token of Python and two of C++, `](` is one of Mojo, and a
docstring inside a Mojo function is an ordinary string to them. So they only tell comments and strings from code here;
what is left is cut by one rule: an identifier or number, a string literal, or any other single character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String

LEXERS = {
    ".cpp": "cpp",
    ".h": "cpp",
    ".cu": "cuda",
    ".py": "python",
    ".mojo": "mojo",
    ".toml": "toml",
}
LANGUAGES = {
    ".cpp": "C++",
    ".h": "C++",
    ".cu": "CUDA",
    ".py": "Python",
    ".mojo": "Mojo",
    ".toml": "TOML",
}
DOCSTRINGS = (".py", ".mojo")

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Token:
    """`column` in characters; `first` where it begins a statement: a line that continues no open bracket."""

    text: str
    string: bool
    first: bool
    column: int


def check_suffix(suffix: str) -> None:
    """Raises ValueError for a suffix without a known lexer."""
    if suffix not in LEXERS:
        raise ValueError(f"suffix is {suffix!r}, expected one of {', '.join(LEXERS)}")


def _pieces(text: str, suffix: str) -> Iterator[tuple[str, str]]:
    """(kind, text) with kind code, string or comment; what belongs to one string is one piece."""
    string = ""
    for kind, value in get_lexer_by_name(LEXERS[suffix], stripnl=False).get_tokens(text):
        if kind in String:
            string += value
            continue
        if string:
            yield "string", string
            string = ""
        # preprocessor lines are comments to Pygments; they are code to whoever writes them
        comment = kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile
        yield "comment" if comment else "code", value
    if string:
        yield "string", string


def tokens(text: str, suffix: str) -> list[Token]:
    """The tokens of a text whose language is given by its file suffix.

    Raises:
        ValueError: a suffix without a known lexer.
    """
    check_suffix(suffix)
    token_list: list[Token] = []
    depth, at, first, continued = 0, 0, True, False
    for kind, value in _pieces(text.replace("\r\n", "\n"), suffix):
        begin, at = at, at + len(value)
        if kind == "comment":
            continue
        if kind == "string":
            if not (suffix in DOCSTRINGS and first and depth == 0):
                token_list.append(Token(value, True, first, _column(text, begin)))
                first = False
            continue
        for match in re.finditer(r"\n|\w+|[^\w\s]", value):
            piece = match[0]
            if piece == "\n":
                first = first or (depth == 0 and not continued)
                continued = False
                continue
            depth += (piece in "([{") - (piece in ")]}") if len(piece) == 1 else 0
            continued = piece == "\\"
            token_list.append(Token(piece, False, first, _column(text, begin + match.start())))
            first = False
    return token_list


def code_lines(text: str, suffix: str) -> int:
    """Lines with code other than brackets, separators and a Python `pass`, without comments and strings.

    pygount has the same rule, but its choice between the lexers of Python and IPython, which count differently, depends
    on the hash seed.
    """
    lines: set[int] = set()
    number = 0
    for kind, value in _pieces(text.replace("\r\n", "\n"), suffix):
        for part in re.split(r"(\n)", value):
            number += part == "\n"
            if kind == "code" and part.strip("()[]{},:; \t\f\n") and not (suffix == ".py" and part.strip() == "pass"):
                lines.add(number)
    return len(lines)


def _column(text: str, at: int) -> int:
    return at - (text.rfind("\n", 0, at) + 1)
