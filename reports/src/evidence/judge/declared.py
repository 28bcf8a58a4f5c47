"""What the sections declare for the judgement, collected by name: no section is named here."""

from __future__ import annotations

from typing import Protocol, TypeVar

from evidence.core.section import declarations


class Declared(Protocol):
    """A declaration: `id` is unique among all sections, `order` is its place in tables."""

    @property
    def id(self) -> str: ...
    @property
    def order(self) -> int: ...


T = TypeVar("T", bound=Declared)


def declared(name: str, kind: type[T]) -> dict[str, T]:
    """id -> what the `judge` modules of all sections list under a name, by `order`.

    Raises:
        TypeError: an entry of another type, or an id that two sections declare.
    """
    entries: dict[str, T] = {}
    for section, listed in declarations("judge", name):
        for entry in listed:
            if not isinstance(entry, kind) or entry.id in entries:
                expected = f"a {kind.__name__} with an id that no other has"
                raise TypeError(f"{name} of section {section.name} lists {entry!r}, expected {expected}")
            entries[entry.id] = entry
    return dict(sorted(entries.items(), key=lambda item: item[1].order))
