"""One page for a meeting: the first screen of a pack as `report.pdf`, printed by a browser where there is one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from evidence.core import text
from evidence.core.child import run_command
from evidence.core.pack import Pack, mode
from evidence.judge.headline import Move
from evidence.judge.summary import COLUMNS, conclusion, summary
from evidence.page.decisions import reason
from evidence.page.report import PDF_FILE, template

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
TIMEOUT = 60.0
MOVES = 8
"""Ops that the page names of each list."""


def browser() -> str | None:
    """The program of a browser that prints PDF without a window."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def write_pdf(pack: Pack, folder: Path) -> Path | None:
    """Print the page into `folder`; None without a browser, or where it fails. An older file is removed in any case."""
    target = folder / PDF_FILE
    target.unlink(missing_ok=True)
    program = browser()
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch, "sheet.html")
        page.write_text(sheet(pack), encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={scratch}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses to run as root with it
        command = [program, *options, f"--print-to-pdf={target.resolve()}", page.as_uri()]
        run_command(command, Path(scratch), timeout=TIMEOUT)
    return target if target.is_file() else None


def sheet(pack: Pack) -> str:
    """The page as HTML."""
    overview = summary(pack)
    return template(
        "sheet.html",
        summary=overview,
        columns=COLUMNS,
        moves=[_move(move) for move in overview.moves[:MOVES]],
        leaves=[move.op for move in overview.leaves[:MOVES]],
        conclusion=conclusion,
        reason=reason,
        mode=mode(pack),
        commit=str(pack.facts("versions").get("commit") or "unknown")[:9],
    )


def _move(move: Move) -> str:
    return f"{move.op} {text.factor(move.gain.mid)}"
