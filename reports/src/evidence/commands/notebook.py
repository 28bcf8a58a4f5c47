"""`evidence notebook`: execute the notebook of the talk's demo; the one in git stays without outputs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

TIMEOUT = 1200  # seconds a cell


def add(parser: argparse.ArgumentParser) -> None:
    """The notebook and where the executed one goes."""
    from evidence.core.machine import ROOT

    parser.add_argument("notebook", type=Path, nargs="?", default=ROOT / "reports" / "talk.ipynb")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "out" / "talk.ipynb")


def run(options: argparse.Namespace, console: Console) -> int:
    """0, 1 when a cell fails (the notebook is written up to there), 2 when there is no such notebook."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    if not options.notebook.is_file():
        console.print(f"notebook: {options.notebook} does not exist", highlight=False, markup=False)
        return 2
    notebook = nbformat.read(options.notebook, as_version=4)
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    cell_numbers = iter(range(1, count + 1))

    def begun(cell: dict, cell_index: int) -> None:
        if cell["cell_type"] == "code":
            title = cell["source"].strip().splitlines()[0]
            console.print(f"  cell {next(cell_numbers)} of {count}: {title[:90]}", highlight=False, markup=False)

    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", on_cell_start=begun,
        resources={"metadata": {"path": str(options.notebook.parent)}},
    )  # fmt: skip
    code = 0
    try:
        client.execute()
    except CellExecutionError as error:
        console.print(str(error), highlight=False, markup=False)
        code = 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, options.out)
    console.print(f"wrote {options.out}", highlight=False)
    return code
