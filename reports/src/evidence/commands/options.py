"""Options that several commands read alike."""

from __future__ import annotations


def named(value: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The names in the value of a comma-separated option, in its order; empty without a value.

    Raises:
        ValueError: a name that is not known.
    """
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    for name in names:
        if name not in known:
            raise ValueError(f"{what} is {name!r}, expected one of {', '.join(known)}")
    return names
