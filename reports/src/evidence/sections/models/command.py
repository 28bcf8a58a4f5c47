"""`evidence models`: swap ops into whole models stage by stage, into a pack's section `models`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from evidence.commands.into_pack import fill, pack_for
from evidence.commands.load import others_now
from evidence.commands.options import named
from evidence.core.command import Command
from evidence.core.pack import PARTIAL, RAN, Pack, PackError, write_pack
from evidence.sections.models.row import LostRow, ModelRow, SpeedRow, StartRow

if TYPE_CHECKING:  # `measure` needs torch, which the other commands may do without
    from evidence.sections.models.measure import Choice

DTYPES = ("float32", "bfloat16")


def add(parser: argparse.ArgumentParser) -> None:
    """Which models, and which pack they go to."""
    from evidence.sections.models import zoo
    from evidence.sections.models.measure import PARTS, ROUTES
    from evidence.sections.models.variants import PACKAGES

    parser.add_argument("--quick", action="store_true", help="GPT-2 124M in float32, small budgets")
    parser.add_argument(
        "--model", action="append", default=[],
        help=f"one of {', '.join(zoo.ZOO)}, a folder or a hub id; may be given several times (default: all of these)",
    )  # fmt: skip
    parser.add_argument("--dtypes", default="", help=f"comma-separated, of {', '.join(DTYPES)} (default: both)")
    parser.add_argument(
        "--routes", default="", help=f"comma-separated, of {', '.join(PACKAGES)} (default: {', '.join(ROUTES)})"
    )
    parser.add_argument(
        "--parts", default="", help=f"comma-separated, of {', '.join(PARTS)} (default: all), to fill up a run"
    )  # fmt: skip
    parser.add_argument(
        "--pack", type=Path, default=None,
        help="the pack to write into, made where there is none (default: reports/out/latest, else a new one)",
    )  # fmt: skip


def choose(options: argparse.Namespace) -> Choice:
    """What the options ask for.

    Raises:
        ValueError: a model, a dtype or a route that is not known.
    """
    from evidence.sections.models import zoo
    from evidence.sections.models.measure import PARTS, ROUTES, Choice
    from evidence.sections.models.variants import PACKAGES

    for name in options.model:
        if not zoo.is_known(name) and name.count("/") != 1:
            raise ValueError(
                f"model is {name!r}, expected one of {', '.join(zoo.ZOO)}, a folder, or a hub id as owner/name"
            )
    dtypes = named(options.dtypes, DTYPES, "dtype") or (("float32",) if options.quick else DTYPES)
    routes = named(options.routes, tuple(PACKAGES), "route") or ROUTES
    parts = named(options.parts, PARTS, "part") or PARTS
    return Choice(
        tuple(options.model) or (zoo.QUICK if options.quick else tuple(zoo.ZOO)), dtypes, routes, options.quick, parts
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """0, also where a model or route fails: that is a row; 2 for bad usage, 130 after Ctrl-C with a part."""
    from evidence.commands.report import render_pack
    from evidence.core import machine, quiet
    from evidence.core.recorded import keep_own
    from evidence.sections.models.measure import RECORDED, measure, title

    try:
        choice = choose(options)
        folder, pack = pack_for(options.pack, "models", "the models")
    except (ValueError, PackError) as error:
        console.print(f"models: {error}", highlight=False, markup=False)
        return 2
    others_before = others_now(console)
    commit = machine.versions()["commit"]
    before = quiet.Load.now()

    def steps(tell: Callable[[str], None]) -> Iterator[list[ModelRow]]:
        def begin(case: dict[str, Any]) -> None:
            tell(title(case))
            console.print(f"  {title(case)}", highlight=False, markup=False)

        return measure(choice, folder / "models-log.txt", begin)

    def keep(rows: list[ModelRow]) -> None:
        store(pack, rows, commit, choice.quick)
        write_pack(pack, folder)

    interrupted = fill(console, len(choice.cases()), steps, keep)
    others = quiet.Load.now().others_since(before)
    pack.facts("settings")["models_others_load"] = others
    pack.facts("settings")["models_load_others_before"] = others_before
    part = interrupted or options.quick or options.model or options.dtypes or options.routes or options.parts
    keep_own(RECORDED, ("models",), pack, folder, not part)
    write_pack(pack, folder)
    code = render_pack(folder, console)
    return 130 if interrupted else code


def store(pack: Pack, rows: list[ModelRow], commit: str | None, quick: bool) -> None:
    """Put rows in the place of those of the same model, dtype and kind (of start and torch.compile also the route)."""

    def key(row: ModelRow) -> tuple[str, str, type[ModelRow], bool, str]:
        compiled = isinstance(row, SpeedRow) and row.how == "torch.compile"
        apart = compiled or isinstance(row, StartRow | LostRow)
        return row.model, row.dtype, type(row), compiled, row.route if apart else ""

    new = {key(row) for row in rows}
    done = {(row.model, row.dtype, row.route) for row in rows}
    kept = [
        row
        for row in pack.table(ModelRow)
        if key(row) not in new and not (isinstance(row, LostRow) and (row.model, row.dtype, row.route) in done)
    ]
    lost = [row for row in (*kept, *rows) if isinstance(row, LostRow)]
    reason = "; ".join(f"{row.model} {row.dtype}, {row.stage}: {row.message}" for row in lost) or None
    pack.set_rows("models", [*kept, *rows], PARTIAL if lost else RAN, reason)
    pack.facts("settings")["models_commit"] = commit
    pack.facts("settings")["models_quick"] = quick


COMMAND = Command("models", "swap the ops of whole models, stage by stage, into a pack's models section", add, run)
