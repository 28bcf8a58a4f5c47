"""Command line: `python -m shared_tests.emulator` emulates the GPU kernels of both sides and prints a table.

Exit code 0 where every value is right and nothing is reported, 1 otherwise, 2 for bad usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from shared_tests.emulator.command import choose, run
from shared_tests.emulator.options import add_options
from shared_tests.emulator.toolkit import ToolkitError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared_tests.emulator", description=__doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        return run(console, choose(options)).exit_code
    except ValueError as error:
        parser.error(str(error))
    except ToolkitError as error:
        console.print(f"emulate: {error}", style="red", markup=False)
        return 1


if __name__ == "__main__":
    sys.exit(main())
