"""Rows of the table `integration`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Status = Literal["works", "refused", "fails", "did not run", "not applicable"]


class IntegrationRow(Struct, frozen=True, kw_only=True):
    """Whether a feature of PyTorch works with a route. `refused` is an error that says why, `fails` is any other."""

    route: str
    feature: str
    status: Status
    message: str | None
