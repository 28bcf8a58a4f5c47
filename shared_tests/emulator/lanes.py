"""Sets of lanes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

WARP = 32


class Lanes:
    """The lanes that execute an instruction.

    mask: bool array over the lanes of the chunk, whole warps, never modified.
    is_whole: every live lane is in it, so that a result may be written to all lanes.
    """

    def __init__(self, mask: Any, is_whole: bool, count: int | None = None):
        self.mask = mask
        self.is_whole = is_whole
        self.count = int(np.count_nonzero(mask)) if count is None else count

    @functools.cached_property
    def indices(self) -> Any:
        return np.flatnonzero(self.mask)

    @functools.cached_property
    def warp_masks(self) -> Any:
        """Member mask of each warp, uint32."""
        return np.packbits(self.mask, bitorder="little").view(np.uint32)

    @functools.cached_property
    def warps(self) -> int:
        """How many warps have a lane in it."""
        return int(np.count_nonzero(self.warp_masks))

    @functools.cached_property
    def whole_warps(self) -> bool:
        return self.count == self.warps * WARP
