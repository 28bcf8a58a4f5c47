"""`evidence schema`: print the JSON Schema of a pack, made from the types of its rows."""

from __future__ import annotations

import argparse
import json

from rich.console import Console

from evidence.core.schema import json_schema


def add(parser: argparse.ArgumentParser) -> None:
    """Takes no options."""


def run(options: argparse.Namespace, console: Console) -> int:
    """0; the schema goes to standard output."""
    console.print(json.dumps(json_schema(), indent=2, ensure_ascii=False), highlight=False, markup=False)
    return 0
