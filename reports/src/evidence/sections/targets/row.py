"""Rows of the table `targets`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Amount, AtLeastOne, Count, Side

Status = Literal["built", "failed", "no tool chain", "no source", "did not run"]


class TargetRow(Struct, frozen=True, kw_only=True):
    """Result of compiling one op for one processor.

    Attributes:
        target: name of the processor.
        seconds: compile time of the `together` ops that the compiler was given at once.
        bytes: size of the op's artifact, or None where ops share one.
        message: the first error line, or what to install.
        tool: the compiler with its version.
        proof: what the artifact says of its processor, or None where nothing was built.
        target_lines: lines that only this kind of processor compiles, in the op's sources and what they include.
        untranslated: lines with a CUDA name that PyTorch's translation to HIP left.
    """

    op: str
    side: Side
    target: str
    status: Status
    seconds: Amount | None = None
    bytes: Count | None = None
    message: str | None = None
    tool: str | None = None
    proof: str | None = None
    together: AtLeastOne = 1
    target_lines: Count | None = None
    untranslated: Count | None = None
