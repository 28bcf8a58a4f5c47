"""Reads packs of earlier releases: the one place that knows how their format differs."""

from __future__ import annotations

from typing import Any

from evidence.core.schema import SCHEMA_VERSION, PackError, kind, shown

OLDEST = 3
"""The oldest schema version that is read. It has the same fields; all tables of its time had to be present."""


def converted(data: Any, source: str) -> dict[str, Any]:
    """The content of a pack in the format of this release.

    Args:
        data: content of the file.
        source: the file, for the message.

    Raises:
        PackError: not a pack, or one of a version that is not read.
    """
    if not isinstance(data, dict):
        raise PackError(f"{source}: the whole is {kind(data)}, expected an object")
    if "schema_version" not in data:
        raise PackError(f"{source}: schema_version is missing, expected {OLDEST} to {SCHEMA_VERSION}")
    version = data["schema_version"]
    known = isinstance(version, int) and not isinstance(version, bool)
    if known and OLDEST <= version <= SCHEMA_VERSION:
        return {**data, "schema_version": SCHEMA_VERSION}
    age = ""
    if known:
        age = "older, made by an earlier release: " if version < OLDEST else "newer than this release: "
    raise PackError(f"{source}: {age}schema_version is {shown(version)}, expected {OLDEST} to {SCHEMA_VERSION}")
