"""Rows of the tables `footprint` and `upgrade`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Count

Purpose = Literal["build", "run"]
PURPOSES: tuple[Purpose, ...] = ("build", "run")
Kind = Literal["python package", "system package", "artifact"]
Method = Literal["loaded", "alone", "symbols", "compiled", "did not run"]
Outcome = Literal["works", "refused", "fails", "crash", "did not run"]


class FootprintRow(Struct, frozen=True, kw_only=True):
    """A package or artifact that a route needs to build or to run.

    Attributes:
        bytes, files: as installed, or None where they could not be counted.
    """

    route: str
    purpose: Purpose
    package: str
    version: str | None = None
    bytes: Count | None = None
    files: Count | None = None
    kind: Kind
    message: str | None = None


class UpgradeRow(Struct, frozen=True, kw_only=True):
    """An artifact under another release of what it was built with.

    Attributes:
        method: loaded in a process; loaded with nothing else installed; read from symbol tables; sources compiled.
        sha256: hash of the package whose symbols were read.
        symbols_needed: symbols of PyTorch and Python that the artifact needs; the vendor promises to keep
            `symbols_stable` of them and not `symbols_unstable`.
        symbols_system: symbols of the system's libraries.
        symbols_torch, symbols_python: the needed symbols by kind.
        symbols_max: symbols of MAX, whose vendor promises none.
        examples: names of symbols that are not promised, or that are absent.
    """

    artifact: str
    route: str
    built_with: str
    loaded_under: str
    method: Method
    outcome: Outcome
    message: str | None
    sha256: str | None = None
    symbols_needed: Count | None = None
    symbols_stable: Count | None = None
    symbols_unstable: Count | None = None
    symbols_system: Count | None = None
    symbols_torch: dict[str, Count] | None = None
    symbols_python: dict[str, Count] | None = None
    symbols_max: Count | None = None
    examples: tuple[str, ...] = ()
