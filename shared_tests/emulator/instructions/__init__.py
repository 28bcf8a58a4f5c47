"""The instructions by family. Importing this package fills the table of `forms.py`."""

from shared_tests.emulator.instructions import (
    atomics,
    bits,
    branches,
    comparisons,
    conversions,
    copies,
    floating,
    integers,
    loads,
    matrices,
    moves,
    warps,
    wmma,
)

__all__ = [
    "atomics",
    "bits",
    "branches",
    "comparisons",
    "conversions",
    "copies",
    "floating",
    "integers",
    "loads",
    "matrices",
    "moves",
    "warps",
    "wmma",
]
