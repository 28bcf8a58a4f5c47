"""Rows of the table `build`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Amount, Count

Kind = Literal[
    "prerequisites",
    "clean",
    "noop",
    "edit",
    "binding_edit",
    "add_op",
    "add_arch",
    "add_cpu",
    "import_load",
    "first_call",
    "first_call_new_shape",
]


Status = Literal["ok", "did not build", "did not run", "no such stage"]


class BuildRow(Struct, frozen=True, kw_only=True):
    """One stage of building a route.

    Attributes:
        stage: what the page calls the stage; `kind` is the same for every route.
        seconds_median, seconds_low, seconds_high: wall time over `repeats` runs, with the fastest and the slowest.
        peak_mb: largest resident memory of a process of the build.
        artifact_bytes: size of what was built.
        packages, install_bytes: number and size of the packages that the prerequisites install.
    """

    route: str
    stage: str
    kind: Kind
    status: Status
    seconds_median: Amount | None = None
    seconds_low: Amount | None = None
    seconds_high: Amount | None = None
    peak_mb: Amount | None = None
    repeats: Count = 0
    message: str | None = None
    cpu_seconds: Amount | None = None
    artifact_bytes: Count | None = None
    packages: Count | None = None
    install_bytes: Count | None = None
