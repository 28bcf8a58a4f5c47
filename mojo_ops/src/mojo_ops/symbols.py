"""Symbolic sizes in a rule that computes with numbers: each is replaced by a number from which its quotients are told.

A shape rule of an op copies sizes of its inputs or divides them, as silu_and_mul halves one. So the rule itself, which
is compiled, says how the sizes of the outputs follow from symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

# Symbol i is _FIRST + i * _STEP, which differs from _FIRST by less than 1 / _DIVISORS of it: the quotient of _FIRST and
# a result is the divisor. Real sizes are far smaller.
_FIRST, _STEP, _DIVISORS = 1 << 60, 1 << 40, 1 << 8
_TYPES = {torch.SymInt, torch.SymFloat}


def has_symbols(numbers: Iterable[Any]) -> bool:
    """Whether one of the numbers is a symbol."""
    return not _TYPES.isdisjoint(map(type, numbers))


def value_of(number: Any) -> Any:
    """The number itself, or that which a symbol stands for while it is traced; None if there is none."""
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
        """A size that a rule has computed of replaced numbers.

        Raises:
            RuntimeError: it is no quotient of one of them.
        """
        if number < _FIRST // _DIVISORS:
            return number
        divisor = round(_FIRST / number)
        i, remainder = divmod(number * divisor - _FIRST + divisor, _STEP)
        if not (0 <= i < len(self._symbols) and remainder <= divisor):
            raise RuntimeError("a size of an output follows from symbolic sizes in a way that is not supported")
        return self._symbols[i] if divisor == 1 else self._symbols[i] // divisor
