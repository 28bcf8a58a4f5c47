"""`evidence report`: judge a pack again and render it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from evidence.core.pack import PackError, read_pack


def add(parser: argparse.ArgumentParser) -> None:
    """The pack and, to decide again, other weights."""
    parser.add_argument("pack", type=Path, help="a pack's folder or its file")
    parser.add_argument(
        "--weights", type=Path, default=None, help="TOML file of weights (default: those that the pack records)"
    )
    parser.add_argument(
        "--prices", type=Path, default=None, help="TOML file of prices (default: those that the pack records)"
    )
    parser.add_argument(
        "--readme", type=Path, default=None, help="also write the headline table between this file's markers"
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """0, or 2 when the pack, the weights, the prices or the README cannot be used."""
    code = render_pack(options.pack, console, options.weights, options.prices)
    if code or options.readme is None:
        return code
    from evidence.page.readme import write_readme

    try:
        write_readme(options.readme, options.pack if options.pack.is_dir() else options.pack.parent)
    except PackError as error:
        console.print(f"report: {error}", highlight=False, markup=False)
        return 2
    console.print(f"wrote {options.readme}", highlight=False)
    return 0


def render_pack(path: Path, console: Console, weights: Path | None = None, prices: Path | None = None) -> int:
    """Judge a pack and write it with its report; `weights` and `prices` replace those that it records."""
    from evidence.core.pack import write_pack
    from evidence.judge.conclude import conclude
    from evidence.judge.prices import PricesError, read_prices
    from evidence.judge.weights import WeightsError, read_weights
    from evidence.page.pdf import write_pdf
    from evidence.page.report import render

    folder = path if path.is_dir() else path.parent
    try:
        pack = read_pack(path)
        conclude(pack, read_weights(weights) if weights else None, read_prices(prices) if prices else None)
        write_pack(pack, folder)
        pdf = write_pdf(pack, folder)
        files = [*render(folder), *([pdf] if pdf else [])]
    except (PackError, WeightsError, PricesError) as error:
        console.print(f"report: {error}", highlight=False, markup=False)
        return 2
    for file in files:
        if file.suffix in (".html", ".md", ".pdf"):
            console.print(f"wrote {file}", highlight=False)
    return 0
