"""Callgrind: how it is started, and the counts in the files that it writes."""

from __future__ import annotations

import re
from pathlib import Path

SIGILL = 4


def command(valgrind: str, out: Path) -> list[str]:
    """What precedes the program: it counts between the client requests of the program alone."""
    return [
        valgrind,
        "--tool=callgrind",
        "--instr-atstart=yes",
        "--collect-atstart=no",
        f"--callgrind-out-file={out}",
    ]


def counts(out: Path) -> list[int]:
    """Instructions of each dump, in the order in which they were made.

    The process itself also dumps at its end, to `out` without a number, which is left out.
    """
    files = [(int(match[1]), file) for file in out.parent.glob(f"{out.name}.*")
             if (match := re.fullmatch(r".*\.(\d+)", file.name))]  # fmt: skip
    return [_total(file.read_text()) for _, file in sorted(files)]


def _total(text: str) -> int:
    total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if total is None:
        raise ValueError("a file of callgrind has no line “totals:”")
    return int(total[1])


def crash(code: int, output: str) -> str:
    """Why a process under valgrind ended, in one sentence."""
    if code in (-SIGILL, 128 + SIGILL) or "Illegal opcode" in output:
        return (
            "callgrind does not know an instruction of this build (AVX-512, most likely): builds for x86-64-v3 can be "
            "counted (CPP_EXT_MARCH=x86-64-v3, MOJO_OPS_MARCH=x86-64-v3)"
        )
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("==")]
    return f"the process under callgrind ended with {code}: {lines[-1].strip()[:200] if lines else 'no output'}"
