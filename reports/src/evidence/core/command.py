"""A command of `python -m evidence` that a section adds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True)
class Command:
    """Declared as `COMMAND` in a section's `command.py`, which imports what measures only when it is run.

    Attributes:
        name: on the command line.
        what: for the help.
        add: declares the options.
        run: does it; returns the exit code.
    """

    name: str
    what: str
    add: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Console], int]
