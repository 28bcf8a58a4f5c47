"""Rows of the table `targets`."""

from __future__ import annotations

from typing import Literal

from evidence.core.row import Amount, AtLeastOne, Count, Side, TableRow


class TargetRow(TableRow, frozen=True, kw_only=True):
    """Result of compiling one op for one processor.

    Attributes:
        target: name of the processor.
        seconds: compile time of the `together` ops that the compiler was given at once.
        bytes: size of the machine code.
        tool: the compiler with its version.
        proof: what the artifact says of its processor.
        target_lines: lines that only this kind of processor compiles, in the op's sources and what they include.
        untranslated: lines with a CUDA name that PyTorch's translation to HIP left.
    """

    op: str
    side: Side
    target: str
    status: Literal["built", "failed", "no tool chain", "no source", "did not run"]
    seconds: Amount | None
    bytes: Count | None
    message: str | None
    tool: str | None
    proof: str | None
    together: AtLeastOne
    target_lines: Count | None
    untranslated: Count | None
