"""Lines of JSON between a child process and its parent; a library's own output may stand between them."""

from __future__ import annotations

import json
from typing import Any, TextIO

MARK = "@@"


def say(stream: TextIO | None = None, /, **facts: Any) -> None:
    """Write one line for the parent, by default to standard output, at once: the next call may end this process."""
    print(f"{MARK} {json.dumps(facts)}", file=stream, flush=True)


def parse(line: str) -> Any:
    """The value of a complete line that begins with the mark; None for every other line."""
    return json.loads(line[len(MARK) :]) if line.startswith(MARK) and line.endswith("\n") else None


def read(output: str) -> list[Any]:
    """The values of all such lines of an output."""
    values = map(parse, output.splitlines(keepends=True))
    return [value for value in values if value is not None]
