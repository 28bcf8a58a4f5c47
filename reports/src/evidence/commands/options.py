"""Options that several commands read alike."""

from __future__ import annotations


def named(given: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The names of a comma-separated option, in its order; empty where it was not given.

    Raises:
        ValueError: a name that is not known.
    """
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    for name in names:
        if name not in known:
            raise ValueError(f"{what} is {name!r}, expected one of {', '.join(known)}")
    return names
