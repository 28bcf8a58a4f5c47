"""Cyclomatic complexity and number of functions: lizard where it reads the language, the same rule for Mojo here.

lizard has no reader for Mojo, and its Python reader finds no function whose name is followed by `[parameters]`. So Mojo
is counted from its tokens: one for every function and one for every `if`, `elif`, `for`, `while`, `except`, `finally`,
`and` and `or` in it, the keywords that lizard counts in Python. `comptime if` counts as `if constexpr` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import lizard

from evidence.sections.code.tokens import Token, check_suffix, tokens

DECISIONS = {"if", "elif", "for", "while", "except", "finally", "and", "or"}


@dataclass(frozen=True)
class Complexity:
    """Number of functions, and the sum of their cyclomatic complexities."""

    functions: int = 0
    complexity: int = 0

    def __add__(self, other: Complexity) -> Complexity:
        return Complexity(self.functions + other.functions, self.complexity + other.complexity)


def complexity_of(text: str, suffix: str) -> Complexity | None:
    """Complexity of the functions in a source text; None for a language that has none (TOML).

    Raises:
        ValueError: a suffix without a known lexer.
    """
    check_suffix(suffix)
    if suffix == ".toml":
        return None
    if suffix == ".mojo":
        return mojo(tokens(text, suffix))
    # lizard takes CUDA for C++: a launch `<<<...>>>` holds nothing that it counts
    analysis = lizard.analyze_file.analyze_source_code("counted.cpp" if suffix != ".py" else "counted.py", text)
    # it also takes `struct alignas(16) Pack` for a function of that name
    functions = [function for function in analysis.function_list if function.name.split("::")[-1] != "alignas"]
    return Complexity(len(functions), sum(function.cyclomatic_complexity for function in functions))


def mojo(code: list[Token]) -> Complexity:
    """Counts Mojo: functions of modules, structs and traits with a body; those within one belong to it, as lambdas do.

    A `def` that begins a statement defines; elsewhere it is a type, as in `Body: def(Int) -> None`.
    """
    functions = total = 0
    around: int | None = None  # column of the outermost `def` that we are in
    for index, token in enumerate(code):
        if token.first and around is not None and token.column <= around:
            around = None
        if token.string:
            continue
        if around is None and token.first and token.text in ("def", "fn") and _has_body(code, index):
            around = token.column
            functions += 1
            total += 1
        elif around is not None and token.text in DECISIONS:
            total += 1
    return Complexity(functions, total)


def _has_body(code: list[Token], index: int) -> bool:
    """Whether the statements below a `def` are more than `...`, which is what a trait asks for without giving it."""
    column = code[index].column
    below: list[str] = []
    entered = False
    for token in code[index + 1 :]:
        if token.first and token.column <= column:
            break
        entered = entered or token.first
        if entered:
            below.append(token.text)
    return below != [".", ".", "."]
