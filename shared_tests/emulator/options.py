"""The options of the command, apart from what reads them: describing them needs no PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which part of the catalogue, and how."""
    parser.add_argument("--ops", default="", help="comma-separated op names (default: all)")
    parser.add_argument("--sides", default="", help="comma-separated, of cpp and mojo (default: both)")
    parser.add_argument("--dtypes", default="", help="comma-separated, such as bfloat16 (default: those of each op)")
    parser.add_argument("--all", action="store_true", help="larger samples and more row lengths")
    parser.add_argument(
        "--noise", type=float, default=0.0, metavar="ULP",
        help="change results of approximate instructions by up to so many units in the last place (default: 0)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write every case to this file")
