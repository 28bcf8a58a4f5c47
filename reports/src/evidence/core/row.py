"""Field types that the rows of several tables share. Times are in microseconds or seconds, as a field's name says."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]

Side = Literal["cpp", "mojo", "mojo_aot"]
Base = Literal["eager", "cpp"]
Mode = Literal["call", "kernel"]
"""`call`: as the user calls the op; `kernel`: with outputs ready."""
TimedStatus = Literal["ok", "failed correctness", "did not build", "not supported", "error"]

Pointer = Annotated[str, Meta(pattern="^/[a-z]+(/rows/[0-9]+|/facts/.+)?$")]
"""The place in the pack of a row or a fact, as a JSON pointer."""
