"""States as readers see them: a sign and a word carry the meaning, a tone is its colour on the page.

A section keeps one table from the words of its rows to `Status`, from the best to the worst; cells, legends and counts
read that table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

YES, PART, NO, MUTED, PLAIN = "yes", "part", "no", "muted", "plain"
"""Tones: classes of the style sheet. A side's name (`cpp`, `mojo`) is a tone too."""


@dataclass(frozen=True)
class Status:
    """One state: `sign` is a single character, `word` says the same in words, `tone` is a class of the style sheet."""

    sign: str
    word: str
    tone: str

    def called(self, word: str, sign: str | None = None) -> Status:
        """The same state in other words, such as `3 of 4 ops`, and with another sign if one is passed."""
        return replace(self, word=word, sign=sign or self.sign)


RIGHT = Status("✓", "right", YES)
PARTLY = Status("◐", "in part", PART)
WRONG = Status("✗", "wrong", NO)
UNKNOWN = Status("–", "not measured", MUTED)
NOT_TRIED = Status("·", "not tried", MUTED)
NOT_IN_PACK = Status("–", "not in this pack", MUTED)


def status(states: dict[str, Status], word: str) -> Status:
    """The state of a row's word; a word that the table does not know stands for itself."""
    return states.get(word) or Status(word, word, PLAIN)
