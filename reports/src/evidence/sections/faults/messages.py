"""What compilers, sanitizers and processes print, as the line that says what was wrong, and who said it."""

from __future__ import annotations

import re
import signal

CHECKS = (
    ("AddressSanitizer", re.compile(r"ERROR: AddressSanitizer: (.*)")),
    ("ThreadSanitizer", re.compile(r"WARNING: ThreadSanitizer: (.*)")),
    ("UndefinedBehaviorSanitizer", re.compile(r"(\S*runtime error: .*)")),
    ("libstdc++ assertion", re.compile(r"(\S+:\d+: .*Assertion '.*' failed)")),
    ("Mojo assertion", re.compile(r"(At: .*Assert Error: .*)")),
)
"""Tool, and the line by which it says that it found something."""

ALARM = ("SEGV on unknown address", "FPE on unknown address", "ILL on unknown address", "BUS on unknown address")
"""What AddressSanitizer says of a signal: the address and the stack, but no buffer."""

FRAME = re.compile(r"#\d+ .*[ /]([\w.]*pick\w*\.\w+:\d+)")
"""The first frame of a stack that is in the op's own source."""

NOISE = re.compile(r"^(Imported from|In file included|\s|Traceback|Current thread|Extension modules|#)")


def reported(output: str) -> tuple[str, str] | None:
    """Tool and line of the first report in an output, or None."""
    reports = [(match.start(), tool, match.group(1)) for tool, line in CHECKS if (match := line.search(output))]
    if not reports:
        return None
    start, tool, line = min(reports)
    line = re.sub(r": constexpr .*(?=Assertion)", ": ", line)  # a signature of 200 characters
    frame = FRAME.search(output, start)
    return tool, f"{line}, in {frame.group(1)}" if frame and "pick." not in line else line


def compile_error(output: str) -> str:
    """The first error that a compiler printed, else its last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror:", line)]
    return (errors or lines[-1:] or ["no message"])[0]


def without_child(output: str) -> str:
    """An output without what the child said on purpose."""
    return "\n".join(line for line in output.splitlines() if not line.startswith("@@"))


def warnings(output: str) -> list[str]:
    """The lines with a warning, in order."""
    return [line.strip() for line in output.splitlines() if re.search(r"\bwarning:", line)]


def death(code: int, output: str) -> str:
    """How a process ended, with the last line of its output that is not noise."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    lines = []
    for line in output.splitlines():
        if line.startswith("Fatal Python error"):
            break
        if line.strip() and not line.startswith("@@") and not NOISE.match(line):
            lines.append(line.strip())
    return f"{how}: {lines[-1]}" if lines else how


def clean(message: str, length: int = 300) -> str:
    """One line without the machine's folders, process numbers, addresses and colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = re.sub(r"(?<![\w.])/(?:[\w.+@-]+/)+", "", text)
    text = re.sub(r"0x[0-9a-f]{6,}", "0x…", text)
    text = re.sub(r"==\d+==| \(pid=\d+\)", "", text)
    text = re.sub(r" at pc \S+ bp \S+ sp [^\s,]+", "", text)
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
