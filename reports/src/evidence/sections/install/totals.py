"""What each route installs, to build and to run, PyTorch apart since every route needs it."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.core.pack import Pack, Pointed
from evidence.core.routes import order
from evidence.sections.install.row import PURPOSES as PURPOSES
from evidence.sections.install.row import FootprintRow


@dataclass(frozen=True)
class Total:
    """Sums over a route's records for one purpose, bytes on disk.

    `base` is what PyTorch alone brings along, `packages` and `system` what comes on top of it, `artifacts` what the
    build leaves. `names` are all packages, PyTorch's too, `system_names` those of the system; `uncounted` names what
    has no record here and is in no sum.
    """

    route: str
    purpose: str
    base: int
    packages: int
    package_count: int
    system: int
    system_count: int
    artifacts: int
    names: tuple[str, ...]
    system_names: tuple[str, ...]
    uncounted: tuple[str, ...]
    pointers: tuple[str, ...]

    @property
    def beside_torch(self) -> int:
        """All that the route asks for beyond PyTorch."""
        return self.packages + self.system + self.artifacts

    @property
    def size(self) -> int:
        """All of it, PyTorch too."""
        return self.base + self.beside_torch


def footprint_totals(pack: Pack) -> list[Total]:
    """One row a route and purpose for which something is recorded, in report order."""
    records = pack.pointed(FootprintRow)
    rows = pack.table(FootprintRow)
    base = {row.package for row in rows if row.route == "eager" and row.kind == "python package"}
    totals = []
    for route in sorted({row.route for row in rows}, key=order):
        for purpose in PURPOSES:
            chosen = [record for record in records if (record.row.route, record.row.purpose) == (route, purpose)]
            if chosen:
                totals.append(_total(route, purpose, chosen, base))
    return totals


def _total(route: str, purpose: str, records: list[Pointed[FootprintRow]], base: set[str]) -> Total:
    rows = [record.row for record in records]
    python = [row for row in rows if row.kind == "python package"]
    on_top = [row for row in python if row.package not in base]
    system = [row for row in rows if row.kind == "system package"]
    return Total(
        route,
        purpose,
        _bytes([row for row in python if row.package in base]),
        _bytes(on_top),
        sum(row.bytes is not None for row in on_top),
        _bytes(system),
        sum(row.bytes is not None for row in system),
        _bytes([row for row in rows if row.kind == "artifact"]),
        tuple(row.package for row in rows if row.kind != "artifact"),
        tuple(row.package for row in system),
        tuple(row.package for row in rows if row.bytes is None),
        tuple(record.pointer for record in records),
    )


def _bytes(rows: list[FootprintRow]) -> int:
    return sum(row.bytes or 0 for row in rows)


def torch_note(pack: Pack) -> str | None:
    """What must be said of the PyTorch in these sums; None for a pack that does not tell which it was."""
    versions = pack.facts("versions")
    torch = versions.get("torch")
    if not torch:
        return None
    if versions.get("torch_cuda") or versions.get("torch_hip"):
        return f"torch {torch} is a GPU build; the packages of its GPU libraries are counted as it declares them."
    return f"torch {torch} is the CPU build; the size of a CUDA or ROCm build is not measured here."
