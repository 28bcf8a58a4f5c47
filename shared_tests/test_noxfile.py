"""The sessions of the noxfile are short, and the docstring of each is one sentence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

NOXFILE = Path(__file__).resolve().parent.parent / "noxfile.py"
MOST_LINES = 10


def sessions() -> dict[str, ast.FunctionDef]:
    """The functions that nox runs, which are decorated with `session_in_env` or `nox.session`."""
    functions = [node for node in ast.parse(NOXFILE.read_text()).body if isinstance(node, ast.FunctionDef)]
    decorated = {f.name: f for f in functions if any("session" in ast.unparse(d) for d in f.decorator_list)}
    assert {"env", "tests", "compare"} <= set(decorated)
    return decorated


@pytest.mark.parametrize("name", sessions())
def test_a_session_is_one_sentence_and_a_few_lines(name: str) -> None:
    session = sessions()[name]
    docstring = ast.get_docstring(session)
    assert docstring
    assert "\n" not in docstring
    assert docstring.endswith(".")
    assert docstring[0].isupper()
    body = session.body[1:]
    end = body[-1].end_lineno
    assert end is not None
    assert end - body[0].lineno + 1 <= MOST_LINES
