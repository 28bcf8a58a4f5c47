"""Which ops a source file holds: that of its name, or several, whose names are joined by two underscores."""

from __future__ import annotations

from pathlib import Path


def ops_in(stem: str) -> list[str]:
    """The ops of a file by its name without suffix: `add` of `add`, `sum4` and `sum8` of `sum4__sum8`."""
    return [] if stem.startswith("__") else stem.split("__")


def op_file(folder: Path, op: str, suffix: str) -> Path:
    """The file of an op in a folder that has one for each op.

    Args:
        suffix: with its dot.

    Raises:
        FileNotFoundError: no file of the folder is named after the op.
    """
    for file in sorted(folder.glob(f"*{suffix}")):
        if op in ops_in(file.stem):
            return file
    raise FileNotFoundError(f"{folder / op}{suffix} does not exist")
