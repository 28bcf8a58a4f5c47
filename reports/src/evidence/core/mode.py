"""How much a run of `compare` measures: the default, everything, or a smoke test. Imports no torch."""

from __future__ import annotations

from typing import Literal

Mode = Literal["standard", "full", "quick"]

STANDARD: Mode = "standard"
"""Every op in two dtypes and two or three sizes on the routes that decide; what does not depend on the load of the
machine comes from recorded results."""

FULL: Mode = "full"
"""Every op, dtype, size and route, with three builds; nothing comes from recorded results."""

QUICK: Mode = "quick"
"""A smoke run: few samples, short budgets, and few stages of the build lab."""
