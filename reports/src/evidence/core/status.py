"""States as readers see them: a sign and a word carry the meaning, a tone is its colour on the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """One state, of which a section keeps a table by the words of its rows, from the best to the worst.

    Attributes:
        sign: a single character.
        word: says the same in words.
        tone: a class of the style sheet: `yes`, `part`, `no`, `muted`, `plain`, or a side.
    """

    sign: str
    word: str
    tone: str
