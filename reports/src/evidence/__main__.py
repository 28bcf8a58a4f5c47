"""Command line of the evidence: `python -m evidence COMMAND`, with the commands of `COMMANDS`."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from evidence.commands import build, compare, diff, emulate, hub, models, notebook, report, schema, targets

COMMANDS = {
    "build": (build, "build what is missing of both sides"),
    "compare": (compare, "build, check and measure both sides, write a pack and its report"),
    "targets": (targets, "build every op for every target, into a pack's targets matrix"),
    "emulate": (emulate, "run the GPU kernels of both sides without a GPU, and write a pack's section gpu"),
    "models": (models, "swap the ops of whole models, stage by stage, into a pack's models section"),
    "hub": (hub, "unpack the wheels into folders in the layout of a Hugging Face kernel repository"),
    "notebook": (notebook, "execute the notebook of the talk's demo"),
    "report": (report, "judge and render a pack again"),
    "schema": (schema, "print the JSON Schema of a pack"),
    "diff": (diff, "what changed between two packs beyond noise; exit code 1 on a regression"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    main = argparse.ArgumentParser(prog="evidence", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)
    for name, (module, what) in COMMANDS.items():
        module.add(commands.add_parser(name, help=what, description=what))
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = parser().parse_args(arguments)
    return COMMANDS[options.command][0].run(options, Console(soft_wrap=True))


if __name__ == "__main__":
    sys.exit(main())
