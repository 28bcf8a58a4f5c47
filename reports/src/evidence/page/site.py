"""A folder of packs for any static host: an index, one page a pack, and the history of the headline figures."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from evidence.core.pack import PACK_FILE, Pack, PackError, mode, read_pack
from evidence.judge.summary import COLUMNS, Summary, summary
from evidence.page.context import machine_line
from evidence.page.pdf import write_pdf
from evidence.page.report import HTML_FILE, MARKDOWN_FILE, PDF_FILE, render, template
from evidence.page.table import Column, Table, columns, row

INDEX_FILE = "index.html"
EXTRA_FILES = (PACK_FILE, MARKDOWN_FILE, PDF_FILE)


@dataclass(frozen=True)
class Entry:
    """A pack of the site.

    Attributes:
        name: its folder in the site.
        summary: what its first screen says.
        files: those that lie beside its page, for links.
    """

    name: str
    pack: Pack
    summary: Summary
    files: tuple[str, ...]

    @property
    def machine(self) -> str:
        """The kind of machine: packs of different kinds are not held against each other."""
        return str(self.pack.facts("machine").get("key") or self.pack.facts("machine").get("cpu") or "unknown machine")

    @property
    def commit(self) -> str:
        """The first letters of the commit, with a word for local changes."""
        versions = self.pack.facts("versions")
        return str(versions.get("commit") or "unknown")[:9] + (" +" if versions.get("dirty") else "")

    @property
    def date(self) -> str:
        """The day of the run."""
        created = datetime.fromisoformat(self.pack.created_utc)
        return f"{created.day} {created:%b %Y}"

    @property
    def mode(self) -> str:
        """`quick`, `standard` or `full`."""
        return mode(self.pack)


def write_site(packs: Sequence[Path], site: Path) -> list[Entry]:
    """Render every pack into a folder of its own below `site`, and the index.

    Args:
        packs: folders of packs, or their files; they are not changed.
        site: a new folder, or one that an earlier call wrote.

    Returns:
        The packs, the newest first.

    Raises:
        PackError: a pack cannot be read, two packs have the same name, or `site` holds something else.
    """
    folders = [path.parent if path.is_file() else path for path in packs]
    names = [folder.resolve().name for folder in folders]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PackError(
            f"several packs are named {', '.join(sorted(twice))}, expected a folder name of its own for each"
        )
    if site.exists() and any(site.iterdir()) and not (site / INDEX_FILE).is_file():
        raise PackError(f"{site} is not empty and holds no {INDEX_FILE}, expected a new folder or an earlier site")
    entries = [_entry(folder, site / name, read_pack(folder)) for folder, name in zip(folders, names, strict=True)]
    entries.sort(key=lambda entry: entry.pack.created_utc, reverse=True)
    (site / INDEX_FILE).write_text(index(entries), encoding="utf-8")
    return entries


def _entry(folder: Path, target: Path, pack: Pack) -> Entry:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copy2(file, target)
    write_pdf(pack, target)
    for file in render(target):
        if file.name == HTML_FILE:
            file.rename(target / INDEX_FILE)
    files = tuple(name for name in EXTRA_FILES if (target / name).is_file())
    return Entry(target.name, pack, summary(pack), files)


def index(entries: Sequence[Entry]) -> str:
    """The page that lists the packs, by machine."""
    by_machine: dict[str, list[Entry]] = {}
    for entry in entries:
        by_machine.setdefault(entry.machine, []).append(entry)
    machines = [(" · ".join(machine_line(of[0].pack)[:2]), of, history(of)) for of in by_machine.values()]
    return template("site.html", machines=machines)


def history(entries: Iterable[Entry]) -> Table:
    """Every headline figure of every route over the packs of one machine, in the order of time."""
    ordered = sorted(entries, key=lambda entry: entry.pack.created_utc)
    titles = dict(COLUMNS)
    figures = dict.fromkeys(figure.name for entry in ordered for figure in entry.summary.figures)
    values = [{figure.name: figure.values for figure in entry.summary.figures} for entry in ordered]
    lines = [
        row(titles[route], *(of_pack.get(figure, {}).get(route, "–") for of_pack in values), group=figure)
        for figure in figures
        for route in titles
        if any(of_pack.get(figure, {}).get(route) for of_pack in values)
    ]
    heads = [Column(f"{entry.date}, {entry.mode} run, {entry.commit}", number=True) for entry in ordered]
    return Table("History of the headline figures", columns("", *heads), tuple(lines), "Commit and run of each column")
