"""The tables of a pack and the types of their rows: those of the sections, and those that the judge computes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, Union

import msgspec

from evidence.core.section import all_sections

T = TypeVar("T", bound=msgspec.Struct)


@lru_cache(maxsize=1)
def all_tables() -> Mapping[str, type[msgspec.Struct]]:
    """Key in the pack -> type of the rows, measured tables first, in the order of the page."""
    measured = {name: row_type for section in all_sections().values() for name, row_type in section.tables.items()}
    # By name, as the sections are: core reads the types of the judge's rows and nothing else of it.
    return measured | importlib.import_module("evidence.judge.row").TABLES


def name_of(row_type: type[msgspec.Struct]) -> str:
    """Key in the pack of the table whose rows have this type.

    Raises:
        KeyError: no table has it.
    """
    for name, each in all_tables().items():
        if issubclass(row_type, each):
            return name
    raise KeyError(row_type)


def form(row_type: type[msgspec.Struct]) -> Any:
    """The type that a row is checked against: the type itself, or the union of its subclasses."""
    kinds = row_type.__subclasses__()
    return Union[tuple(kinds)] if kinds else row_type  # noqa: UP007 (the members are known only at run time)


def convert(row_type: type[T], rows: Sequence[Mapping[str, Any]]) -> list[T]:
    """Typed rows from plain ones.

    Raises:
        msgspec.ValidationError: a row that does not fit.
    """
    typed: list[T] = msgspec.convert(rows, list[form(row_type)])  # type: ignore[misc]
    return typed
