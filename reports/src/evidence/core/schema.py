"""The format of a pack, made from the types of its rows, and the check that data fits it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from evidence.core.tables import all_tables, form

SCHEMA_VERSION = 4
FACT_SECTIONS = ("machine", "versions", "settings")

Status = Literal["complete", "partial"]

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class PackError(ValueError):
    """A pack that cannot be read or written; the message names the field, its value and what was expected."""


class State(Struct, kw_only=True):
    """Whether a part of a pack was measured, and the reason if it was not or not completely."""

    status: Literal["ran", "partial", "did not run"]
    reason: str | None


class Facts(State, kw_only=True):
    """A part of a pack that holds facts by name."""

    facts: dict[str, Any]


class Missing(Struct, kw_only=True):
    """A part that was not measured, or not completely."""

    section: str
    reason: str


def pack_type() -> type[Struct]:
    """The type of a whole pack. Tables may be absent: these were not measured."""
    return _pack_type(tuple(all_tables().items()))


@lru_cache(maxsize=1)
def _pack_type(row_types: tuple[tuple[str, type[Struct]], ...]) -> type[Struct]:
    tables = []
    for name, row_type in row_types:
        rows = [("rows", list[form(row_type)])]  # type: ignore[misc]
        table = msgspec.defstruct(f"table {name}", rows, bases=(State,), kw_only=True)
        tables.append((name, table | UnsetType, UNSET))
    head = [("schema_version", Literal[SCHEMA_VERSION]), ("created_utc", str), ("status", Status)]
    facts = [(name, Facts) for name in FACT_SECTIONS]
    return msgspec.defstruct("pack", [*head, ("missing", list[Missing]), *facts, *tables], kw_only=True)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a pack."""
    return msgspec.json.schema(pack_type())


def check(data: Any, source: str = "pack") -> None:
    """Check data against the types of its rows.

    Raises:
        PackError: the first field that does not fit; `source` stands before its path.
    """
    try:
        msgspec.convert(data, pack_type())
    except msgspec.ValidationError as error:
        raise PackError(f"{source}: {_explain(str(error), data)}") from None


def _explain(error: str, data: Any) -> str:
    """msgspec's message with the path as a reader writes it, the value and what was expected."""
    message, _, path = error.partition(" - at `$")
    path = path.rstrip("`").removeprefix(".")
    absent = re.fullmatch(r"Object missing required field `(.+)`", message)
    if absent:
        return f"{path}{'.' if path else ''}{absent[1]} is missing"
    if "[...]" in path:  # a value of a mapping: msgspec does not tell its key
        return f"{path}: {message}"
    value, forms = data, [json_schema()]
    for name, index in _STEP.findall(f".{path}" if path else ""):
        value = value[name or int(index)]
        forms = [child for each in _alternatives(forms) if (child := _child(each, name, index)) is not None]
    expected = dict.fromkeys(map(_expected, _alternatives(forms)))
    return f"{path or 'the whole'} is {shown(value)} ({kind(value)}), expected {' or '.join(expected)}"


def _alternatives(forms: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Schemas without references and unions."""
    for each in forms:
        if "$ref" in each:
            yield from _alternatives([json_schema()["$defs"][each["$ref"].removeprefix("#/$defs/")]])
        elif "anyOf" in each:
            yield from _alternatives(each["anyOf"])
        else:
            yield each


def _child(schema: dict[str, Any], name: str, index: str) -> dict[str, Any] | None:
    if name:
        return schema.get("properties", {}).get(name)
    places = schema.get("prefixItems", [])
    return places[int(index)] if int(index) < len(places) else schema.get("items")


def _expected(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(map(shown, schema["enum"]))
    limits = {"exclusiveMinimum": "above", "minimum": "of at least", "maximum": "of at most", "pattern": "matching"}
    return " ".join([schema["type"], *(f"{word} {schema[key]}" for key, word in limits.items() if key in schema)])


def shown(value: Any) -> str:
    """A value as JSON, cut to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def kind(value: Any) -> str:
    """JSON's name for the type of a value."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
