"""What a cell is sorted by: the number at its beginning, in the base unit of its kind."""

from __future__ import annotations

import re

SCALES = {
    "ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0,
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
    "k": 1e3, "M": 1e6, "G": 1e9, "×": 1.0, "x": 1.0, "%": 0.01,
}  # fmt: skip
"""Unit -> its size in seconds, bytes or units, as `core/text.py` and the sections write them."""

_NUMBER = re.compile(r"\s*[~<>≈≤≥+]?\s*([-−–]?)(\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(?=$|[\s\u00a0(,;%×~/]|[A-Za-zµ])")
_UNIT = re.compile(r"[\s\u00a0]?([A-Za-zµ]+|×|%)?")


def sort_value(shown: str) -> float | None:
    """The number that a text begins with; None where it begins with none, as names, versions and shapes do.

    A unit scales it: `1.30 ms (1.2 to 1.4)` gives 0.0013, `12 of 30` gives 12. A word that is no unit counts only
    behind a space, so that `4x8` and `2.13.0` stay text.
    """
    number = _NUMBER.match(shown)
    if number is None:
        return None
    value = float(number[2].replace(",", "")) * (-1 if number[1] else 1)
    unit = _UNIT.match(shown, number.end())
    name = unit[1] if unit else None
    if name is None:
        return value
    attached = unit is not None and unit.end() - len(name) == number.end()
    if name in SCALES and not (attached and re.match(r"\d", shown[unit.end() :] if unit else "")):
        return float(f"{value * SCALES[name]:.6g}")
    return None if attached else value
