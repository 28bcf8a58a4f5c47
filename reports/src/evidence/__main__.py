"""Command line of the evidence: `python -m evidence COMMAND`."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from evidence.commands import build, compare, diff, hub, notebook, report, schema, site
from evidence.core.command import Command
from evidence.core.section import declarations

OWN_COMMANDS = (
    Command("build", "build what is missing of both sides", build.add, build.run),
    Command("compare", "build, check and measure both sides, write a pack and its report", compare.add, compare.run),
    Command(
        "hub", "unpack the wheels into folders in the layout of a Hugging Face kernel repository", hub.add, hub.run
    ),
    Command("notebook", "execute the notebook of the talk's demo", notebook.add, notebook.run),
    Command("report", "judge and render a pack again", report.add, report.run),
    Command("site", "render packs into a folder for any static host", site.add, site.run),
    Command("schema", "print the JSON Schema of a pack", schema.add, schema.run),
    Command("diff", "what changed between two packs beyond noise; exit code 1 on a regression", diff.add, diff.run),
)


def all_commands() -> dict[str, Command]:
    """Name -> command, those of the sections last."""
    commands = [*OWN_COMMANDS, *(command for _, command in declarations("command", "COMMAND"))]
    return {command.name: command for command in commands}


def parser(chosen: str) -> argparse.ArgumentParser:
    """The parser of all commands, with the options of the `chosen` one: those of others may import what measures."""
    main = argparse.ArgumentParser(prog="evidence", description=__doc__)
    commands = main.add_subparsers(dest="command", required=True)
    for command in all_commands().values():
        options = commands.add_parser(command.name, help=command.what, description=command.what)
        if command.name == chosen:
            command.add(options)
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(next(iter(arguments), "")).parse_args(arguments)
    return all_commands()[options.command].run(options, Console(soft_wrap=True))


if __name__ == "__main__":
    sys.exit(main())
