"""The content of a report, collected from the sections in their order: this module names none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import COMPLETE, Pack
from evidence.core.section import declarations
from evidence.judge.summary import lines, summary
from evidence.page import claims, decisions, loss_table, method, verdict
from evidence.page.blocks import Block, Details, Text
from evidence.page.common import Context
from evidence.page.summary_csv import csv_link

PDF_FILE = "report.pdf"
"""One page for a meeting, which the first screen links to where it lies beside the page."""

FIRST = {"verdict": ("Verdict", verdict.content), "decisions": ("Which side for which decision?", decisions.content)}
LAST = {
    "claims": ("The talk's claims", claims.content),
    "losses": ("Where does each side lose?", loss_table.content),
    "method": ("How was it measured?", method.content),
}


@dataclass(frozen=True)
class Part:
    """A question of the page.

    Attributes:
        name: its anchor.
        title: in headings and navigation.
        blocks: what it shows.
        recorded: said beside the heading where rows are those of an earlier run.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    recorded: str = ""


def parts(pack: Pack, rounds: Context) -> list[Part]:
    """The page from top to bottom: the verdict, every section that has content, and what applies to all of them."""
    sections = {section.name: (section.title, content) for section, content in declarations("page", "content")}
    contents: dict[str, tuple[str, Callable[[Pack], list[Block]]]] = {**FIRST, **sections, **LAST}
    tables = {section.name: tuple(section.tables) for section, _ in declarations("page", "content")}
    named_parts = [
        Part(name, title, tuple(content(pack)), recorded(pack, tables.get(name, ())))
        for name, (title, content) in contents.items()
    ]
    return [*named_parts, Part("details", "All rows", tuple(_all_rows(rounds)))]


def recorded(pack: Pack, tables: Iterable[str]) -> str:
    """`recorded, 29 November 2026`, for a section whose rows an earlier run measured; each table by its name where
    not all of them are from that day."""
    records = pack.facts("settings").get("recorded") or {}
    dates = {table: records[table]["date"] for table in tables if table in records}
    if not dates:
        return ""
    if len(dates) == len(tuple(tables)) and len(set(dates.values())) == 1:
        return f"recorded, {_day(next(iter(dates.values())))}"
    return "; ".join(f"{table} recorded, {_day(date)}" for table, date in dates.items())


def _day(date: str) -> str:
    """`29 November 2026` from an ISO date, with or without a time."""
    day = datetime.fromisoformat(date)
    return f"{day.day} {day:%B %Y}"


def _all_rows(rounds: Context) -> list[Block]:
    """Where each table of the pack stands on the page, and why there are no rounds."""
    shown = [section for section, _ in declarations("page", "content")]
    tables = [table for section in shown for table in section.tables] + ["claims", "decisions"]
    links = Markup(", ").join(Markup('<a href="#{0}">{0}</a>').format(table) for table in tables)
    lead = Markup("Every row of the pack stands on this page: {}.").format(links)
    blocks: list[Block] = [Details("Tables of the pack", (Text(lead),), text.count(len(tables), "table"))]
    if rounds["reason"]:
        blocks.append(Text(f"No rounds to show: {rounds['reason']}.", "note"))
    return blocks


def rounds_behind(pack: Pack, folder: Path) -> Context:
    """The rounds behind the rows of all sections: `rows` and `about` by row, and the `reason` where there are none."""
    context: Context = {"rows": {}, "about": {}, "reason": None}
    for _, rounds in declarations("page", "rounds"):
        of_section = rounds(pack, folder)
        context["rows"].update(of_section["rows"])
        context["about"].update(of_section["about"])
        context["reason"] = of_section["reason"]
    return context


def machine_line(pack: Pack) -> list[str]:
    """Machine, versions and commit, as short phrases."""
    machine, versions = pack.facts("machine"), pack.facts("versions")
    phrases = []
    if machine.get("cpu"):
        cores = machine.get("cores_usable")
        phrases.append(str(machine["cpu"]) + (f", {text.count(cores, 'core')}" if isinstance(cores, int) else ""))
    if "gpus" in machine:
        gpus = machine["gpus"]
        phrases.append(", ".join(str(gpu) for gpu in gpus) if isinstance(gpus, list) and gpus else "no GPU")
    phrases += [f"{name} {versions[name]}" for name in ("torch", "modular") if versions.get(name)]
    phrases += [str(line) for line in versions.get("cxx") or [] if isinstance(versions["cxx"], list)]
    if versions.get("commit"):
        local = " with local changes" if versions.get("dirty") else ""
        phrases.append(f"commit {str(versions['commit'])[:9]}{local}")
    return phrases


def notices(pack: Pack, warnings: Iterable[str]) -> list[tuple[str, str]]:
    """Notices above the report, each with its opening words: warnings about the machine, an incomplete run, and those
    that the sections declare (`notices(pack)`)."""
    entries = [("", warning) for warning in warnings]
    if pack.status != COMPLETE:
        entries.append(("Partial pack.", "The run did not reach its end."))
    return entries + [notice for _, declared in declarations("page", "notices") for notice in declared(pack)]


def context(pack: Pack, folder: Path) -> Context:
    """Everything that `report.html` and `report.md` print, apart from figures and their data."""
    rounds = rounds_behind(pack, folder)
    shown = summary(pack)
    return {
        "summary": shown,
        "summary_text": "\n".join(lines(shown)),
        "csv": csv_link(shown),
        "pdf": PDF_FILE if (folder / PDF_FILE).is_file() else "",
        "machine": shown.machine,
        "notices": notices(pack, shown.warnings),
        "parts": parts(pack, rounds),
        "methods": method.methods(pack),
        "rounds": rounds,
    }
