"""From a pack to findings: pure functions, no files, no clock.

`conclude` writes the computed sections (`claims`, `verdict`) into a pack; the other functions only read it.
"""

from __future__ import annotations

from evidence.analyse.claims import claims
from evidence.analyse.verdict import Statement, verdict
from evidence.pack import Pack

__all__ = ["Statement", "claims", "conclude", "verdict"]


def conclude(pack: Pack) -> None:
    """Compute `claims` and `verdict` from the pack's other sections and store them in it; a partial pack will do."""
    pack.set_rows("claims", claims(pack))
    pack.set_rows("verdict", [statement.row() for statement in verdict(pack)])
