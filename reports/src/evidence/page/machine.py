"""How the machine of a run was set up, by blocks, and what happened to it during the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.core import text
from evidence.core.pack import Pack
from evidence.page.table import Table, columns, row

SETUP, DURING_RUN = "setup", "during_run"
UNKNOWN = "not known"


def setup_table(pack: Pack) -> Table | None:
    """A line for each fact of each block; None for a pack of a release that did not record them."""
    facts = pack.facts("machine")
    blocks = {**(facts.get(SETUP) or {}), "during the run": facts.get(DURING_RUN) or {}}
    lines = [
        row(text.upper_first(block), name.replace("_", " "), _shown(value))
        for block, values in blocks.items()
        for name, value in values.items()
    ]
    if not lines:
        return None
    caption = f"As the system reports it; “{UNKNOWN}” where it does not."
    return Table("Setup of the machine", columns("Block", "Fact", "Value"), tuple(lines), caption)


def _shown(value: Any) -> str:
    """A fact as a cell: an empty list or mapping is `none`, what is missing is `not known`."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={entry}" for name, entry in value.items()) or "none"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
