"""`evidence site`: a folder of packs for any static host."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from evidence.core.pack import PackError


def add(parser: argparse.ArgumentParser) -> None:
    """The packs and the folder."""
    parser.add_argument("packs", type=Path, nargs="+", metavar="PACK", help="folders of packs, or their files")
    parser.add_argument("--out", type=Path, default=Path("dist/site"), help="folder of the site (default: dist/site)")


def run(options: argparse.Namespace, console: Console) -> int:
    """0, or 2 when a pack cannot be read or the folder holds something else."""
    from evidence.page.site import INDEX_FILE, write_site

    try:
        with console.status(f"rendering {len(options.packs)} packs"):
            write_site(options.packs, options.out)
    except PackError as error:
        console.print(f"site: {error}", highlight=False, markup=False)
        return 2
    console.print(f"wrote {options.out / INDEX_FILE}", highlight=False)
    return 0
