"""The fault corpus: `reports/faults/<fault>.toml`, each an edit of the correct op in `reports/faults/base/`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.core.machine import ROOT

FOLDER = ROOT / "reports" / "faults"
BASES = {"cpp": "pick.cpp", "mojo_aot": "pick.mojo", "mojo": "pick_max.mojo"}
"""Side -> the correct op."""

SCHEMA = "(Tensor x, Tensor rows, float scale) -> Tensor"
CALL = "pick(x, rows, 2.0)"

KINDS = ("type", "memory", "concurrency", "errors", "registration", "numeric")
KEYS = {"title", "kind", "mistake", "call", "want", "repeat"}


class CorpusError(ValueError):
    """A fault file that cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class Edited:
    """What a fault changes on one side: (old, new) pieces of the source, and the schema if it stands elsewhere."""

    edits: tuple[tuple[str, str], ...] = ()
    schema: str = SCHEMA


@dataclass(frozen=True)
class Fault:
    """One mistake.

    name, title: of the file, and for readers.
    kind: one of KINDS.
    mistake: what was done wrong.
    call: expression that calls `pick` so that the mistake shows.
    want: expression of the right result, empty for what the op is defined to give.
    repeat: calls in one process.
    sides: what it changes on each side that it is tried on.
    """

    name: str
    title: str
    kind: str
    mistake: str
    call: str
    want: str
    repeat: int
    sides: Mapping[str, Edited]

    def source(self, side: str) -> str:
        """The op of a side with the mistake in it.

        Raises:
            CorpusError: a piece to replace is not in the base file exactly once.
        """
        text = base(side)
        for old, new in self.sides[side].edits:
            if text.count(old) != 1:
                raise CorpusError(
                    f"{self.name}.toml: {side}.edits: {old.strip()[:60]!r} is {text.count(old)} times in "
                    f"{BASES[side]}, expected once"
                )
            text = text.replace(old, new)
        return text

    def diff(self, side: str) -> str:
        """The mistake as a unified diff, empty where the mistake is the caller's."""
        name, wrong = BASES[side], self.source(side)
        lines = list(difflib.unified_diff(base(side).splitlines(), wrong.splitlines(), name, name, lineterm="", n=1))
        schema = self.sides[side].schema
        if schema != SCHEMA:
            lines += ["--- schema", "+++ schema", f"-pick{SCHEMA}", f"+pick{schema}"]
        return "\n".join(lines)


CORRECT = Fault(
    "correct", "The op as it stands", "type", "none", "pick(x, rows.repeat(80), 2.0)", "", 20,
    {side: Edited() for side in BASES},
)  # fmt: skip
"""What the ladder must find nothing in, on so many rows that they are split over threads."""


def base(side: str) -> str:
    """The correct op of a side."""
    return (FOLDER / "base" / BASES[side]).read_text(encoding="utf-8")


def read_fault(path: Path) -> Fault:
    """One fault file.

    Raises:
        CorpusError: it is not TOML, a key is missing or unknown, or the kind is.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{path.name}: {error}") from None
    missing = {"title", "kind", "mistake"} - set(data)
    unknown = set(data) - KEYS - set(BASES)
    if missing or unknown or not set(BASES) & set(data):
        raise CorpusError(
            f"{path.name}: missing {sorted(missing)}, unknown {sorted(unknown)}, expected {sorted(KEYS)} and a table "
            f"for at least one of {', '.join(BASES)}"
        )
    if data["kind"] not in KINDS:
        raise CorpusError(f"{path.name}: kind is {data['kind']!r}, expected one of {', '.join(KINDS)}")
    sides = {side: _edited(data[side], f"{path.name}: {side}") for side in BASES if side in data}
    return Fault(
        path.stem, data["title"], data["kind"], data["mistake"], data.get("call", CALL), data.get("want", ""),
        int(data.get("repeat", 3)), sides,
    )  # fmt: skip


def _edited(table: Any, where: str) -> Edited:
    if not isinstance(table, dict) or set(table) - {"edits", "schema"} or "edits" not in table:
        raise CorpusError(f"{where} is {table!r}, expected a table with edits and at most a schema")
    if any(len(edit) != 2 or not all(isinstance(part, str) for part in edit) for edit in table["edits"]):
        raise CorpusError(f"{where}.edits holds something that is not a pair of strings [old, new]")
    return Edited(tuple((old, new) for old, new in table["edits"]), table.get("schema", SCHEMA))


def read_corpus(folder: Path = FOLDER) -> list[Fault]:
    """All faults, by kind and name.

    Raises:
        CorpusError: a file cannot be used, or there is none.
    """
    faults = [read_fault(path) for path in sorted(folder.glob("*.toml"))]
    if not faults:
        raise CorpusError(f"{folder} holds no *.toml, expected the fault corpus")
    return sorted(faults, key=lambda fault: (KINDS.index(fault.kind), fault.name))
