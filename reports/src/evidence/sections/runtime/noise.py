"""The noise band: the ratio that the spread between fresh processes alone can produce (the pack's `noise` section)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, representative
from evidence.core.thresholds import size_class
from evidence.judge.significance import INTERVAL_DOF
from evidence.sections.runtime.row import NoiseRow, RuntimeRow

Key = tuple[str, str, str, str, str]
"""device, route, base, mode, size class"""

NO_BAND = 1.0
"""Where a run has too few rows for a band, the row's own interval, wide as it then is, decides alone."""


class HasRow(Protocol):
    """A row of the `runtime` section, as `runtime.Cell` holds it."""

    @property
    def row(self) -> RuntimeRow: ...


def key_of(row: RuntimeRow, base: str) -> Key:
    """The kind of a `runtime` row for its ratio to `base`."""
    return row.device, row.route, base, row.mode, size_class(row.elements)


@dataclass(frozen=True)
class Bands:
    """Every band of a pack, a factor above 1 by kind, and the degrees of freedom of the prior of each kind."""

    known: dict[Key, float]
    prior_dof: dict[Key, float] = field(default_factory=dict)

    @classmethod
    def of(cls, pack: Pack) -> Bands:
        rows = {(row.device, row.route, row.base, row.mode, row.size_class): row for row in pack.table(NoiseRow)}
        return cls(
            {key: row.band for key, row in rows.items() if row.band is not None},
            {key: row.prior_dof for key, row in rows.items() if row.prior_dof is not None},
        )

    def to_base(self, row: RuntimeRow, base: str) -> float:
        """The band of a row's ratio to `base`."""
        return self.known.get(key_of(row, base), NO_BAND)

    def between(self, first: RuntimeRow, second: RuntimeRow) -> float:
        """The band of the ratio of two routes of one case.

        If one of them is a base, this is the band of that ratio. Otherwise both ratios to `cpp` vary, and the bands of
        their logarithms add in quadrature.
        """
        bands = (self.to_base(row, base) for row, base in ratios_of(first, second))
        return math.exp(math.hypot(*map(math.log, bands)))

    def dof(self, first: RuntimeRow, second: RuntimeRow) -> float:
        """Degrees of freedom of the interval of two routes' ratio: of the moderated t between processes.

        A noisy row has those of its own processes, and of two intervals that are joined the fewer count. Rows that do
        not say in how many processes they ran have `INTERVAL_DOF`.
        """
        return min(self._dof(row, base) for row, base in ratios_of(first, second))

    def _dof(self, row: RuntimeRow, base: str) -> float:
        if row.processes is None or row.processes < 2:
            return INTERVAL_DOF
        prior = 0.0 if row.noisy else self.prior_dof.get(key_of(row, base), 0.0)
        return row.processes - 1 + prior


def ratios_of(first: RuntimeRow, second: RuntimeRow) -> list[tuple[RuntimeRow, str]]:
    """The measured ratios, as rows and their bases, that the ratio of two routes of one case is made of."""
    for base in ("eager", "cpp"):
        for row, other in ((first, second), (second, first)):
            if other.route == base and row.route != base:
                return [(row, base)]
    return [(first, "cpp"), (second, "cpp")]


def band(pack: Pack, cell_or_key: HasRow | Key, base: str = "cpp") -> float:
    """The band of one cell's ratio to `base`, or of a key (device, route, base, mode, size class); 1 where unknown."""
    key = cell_or_key if isinstance(cell_or_key, tuple) else key_of(cell_or_key.row, base)
    return Bands.of(pack).known.get(key, NO_BAND)


def smallest_ratio(pack: Pack) -> float | None:
    """The factor by which a single row of both sides must differ to be told apart from 1; None where no band is known.

    Of the routes that represent the sides, as called: the middle of the bands of all rows.
    """
    bands = sorted(
        (row.band, row.rows)
        for row in pack.table(NoiseRow)
        if row.band is not None
        and row.base == CPP
        and row.mode == "call"
        and row.route == representative(MOJO, row.device)
    )
    half = sum(rows for _, rows in bands) / 2
    counted = accumulate(rows for _, rows in bands)
    return next((band for (band, _), rows in zip(bands, counted, strict=True) if rows >= half), None)
