"""Runs compiled shape rules, which compute with numbers, on symbolic sizes.

Each symbol is replaced by a number from which the symbol and a divisor can be recovered, because a shape rule only
copies sizes of its inputs or divides them, as silu_and_mul halves a size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

# Symbol i is _FIRST + i * _STEP, less than (1 + 1 / _DIVISORS) * _FIRST, so that _FIRST divided by a result and
# rounded is the divisor. Real sizes are far smaller.
_FIRST, _STEP, _DIVISORS = 1 << 60, 1 << 40, 1 << 8
_TYPES = {torch.SymInt, torch.SymFloat}


def has_symbols(numbers: Iterable[Any]) -> bool:
    """Whether one of the numbers is a symbol."""
    return not _TYPES.isdisjoint(map(type, numbers))


def value_of(number: Any) -> Any:
    """The number itself, or the value that a symbol has while tracing, or None if it has none."""
    if type(number) in _TYPES:
        return number.node.hint
    return number


class Symbols:
    """The symbols of one call."""

    def __init__(self) -> None:
        self._symbols: list[torch.SymInt] = []

    def replace(self, numbers: Sequence[Any]) -> list[Any]:
        """The numbers with each symbol replaced."""
        replaced = []
        for number in numbers:
            if isinstance(number, torch.SymInt):
                replaced.append(_FIRST + len(self._symbols) * _STEP)
                self._symbols.append(number)
            else:
                replaced.append(value_of(number) or 0)
        return replaced

    def size(self, number: int) -> int | torch.SymInt:
        """The size or symbol for a number that a rule has computed from replaced numbers.

        Raises:
            RuntimeError: the number is not a quotient of a replaced one.
        """
        if number < _FIRST // _DIVISORS:
            return number
        divisor = round(_FIRST / number)
        i, remainder = divmod(number * divisor - _FIRST + divisor, _STEP)
        if not (0 <= i < len(self._symbols) and remainder <= divisor):
            raise RuntimeError("a size of an output follows from symbolic sizes in a way that is not supported")
        return self._symbols[i] if divisor == 1 else self._symbols[i] // divisor
