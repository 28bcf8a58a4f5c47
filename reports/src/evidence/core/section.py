"""Sections: the questions that the evidence answers, one folder each, discovered and never listed.

A section is a package `evidence.sections.<name>` whose `__init__.py` holds `SECTION`. What it contributes stands in
modules with fixed names, each of which may be absent:

| module | declares |
|---|---|
| `row.py` | the frozen types of its rows, from which the schema of the pack is made |
| `measure.py` | `STAGES`: what `compare` runs, or takes over from a command of the section's own |
| `noise.py` | `smallest_ratio`: by which factor single rows must differ to be told apart |
| `worker.py` | `RUNNERS`: what the measuring process does for a kind of case |
| `command.py` | `COMMAND`: a command of its own |
| `judge.py` | `CRITERIA`, `GATES`, `CLAIMS`, `REMARKS` (on other claims), `STATEMENTS`, `compare`, `losses`, `diff` |
| `page.py` | `content`: what the page shows, and `METHODS`: how it was measured |
| `figures.py` | `figures`: what is drawn |
| `op.py` | `OP_PARTS`, `OP_COLUMNS`, `ops`: what it adds to the pages of the ops (`page/op_part.py`) |

`command.py` imports what measures only when it is run. `__init__.py`, `row.py`, `judge.py`, `page.py`, `figures.py`
and `noise.py` import no torch, so that any machine renders a pack.
A new folder adds a question everywhere, and a deleted one removes it.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from msgspec import Struct

import evidence.sections


@dataclass(frozen=True)
class Section:
    """One question.

    Attributes:
        name: name of the folder.
        title: the question as the page asks it.
        order: place on the page; sections of the same order go by name.
        tables: key in the pack -> type of the rows. A type with subclasses stands for these: `models` has a subclass
            for each kind of row.
    """

    name: str
    title: str
    order: int
    tables: Mapping[str, type[Struct]]

    def module(self, part: str) -> ModuleType | None:
        """The section's module `part` (`measure`, `judge`, ...), or None if it has none."""
        name = f"{evidence.sections.__name__}.{self.name}.{part}"
        return importlib.import_module(name) if importlib.util.find_spec(name) else None


@lru_cache(maxsize=1)
def all_sections() -> dict[str, Section]:
    """Name -> section, in the order of the page.

    Raises:
        TypeError: a folder without `SECTION`, or one whose section has another name.
    """
    sections = []
    for folder in pkgutil.iter_modules(evidence.sections.__path__):
        module = importlib.import_module(f"{evidence.sections.__name__}.{folder.name}")
        section = getattr(module, "SECTION", None)
        if not isinstance(section, Section) or section.name != folder.name:
            raise TypeError(f"{module.__name__}.SECTION is {section!r}, expected a Section named {folder.name!r}")
        sections.append(section)
    return {section.name: section for section in sorted(sections, key=lambda section: (section.order, section.name))}


def declarations(part: str, name: str) -> Iterator[tuple[Section, Any]]:
    """Each section whose module `part` declares `name`, with what it declares, in the order of the page."""
    for section in all_sections().values():
        module = section.module(part)
        if module is not None and hasattr(module, name):
            yield section, getattr(module, name)
