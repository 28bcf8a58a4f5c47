"""fused_add_rms_norm in MAX's own operations."""

from __future__ import annotations

from .add_rms_norm import graph

__all__ = ["graph"]
