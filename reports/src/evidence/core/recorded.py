"""Recorded results: rows of an earlier run that a standard run takes over, where nothing that they depend on changed.

What does not depend on the load of the machine (where mistakes are caught, what survives an upgrade) takes minutes and
gives the same rows again. A stage declares what its rows depend on; a hash of it is the key that a pack keeps in
`settings["keys"]`. A later standard run looks for a pack with the same key: first where the last run with this key has
written its pack, then among the packs in the tree, which come with a clone. It takes the rows over and says so in
`settings["recorded"]`, table by table, with date, commit, key and machine. Without such a pack it measures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evidence.core import machine
from evidence.core.machine import ROOT
from evidence.core.mode import QUICK
from evidence.core.pack import RAN, Pack, PackError, Row, mode, read_pack
from evidence.core.plan import Plan

KERNELS = (
    "cpp_ext/setup.py", "cpp_ext/csrc/**/*", "cpp_ext/src/**/*.py",
    "mojo_ops/kernels/**/*", "mojo_ops/src/**/*.py",
)  # fmt: skip
"""The sources of both packages."""

TOOLCHAINS = ("python", "torch", "modular", "max", "mojo", "cxx")
"""The versions that both packages are built and run with."""

SECTIONS = ROOT / "reports" / "src" / "evidence" / "sections"

SHOWING = ("judge.py", "page.py", "figures.py", "headline.py", "op.py", "readings.py", "table.py", "totals.py")
"""Modules of a section that only read its rows."""

TREE = ROOT / "reports" / "packs"
"""Packs that come with a clone."""

LOCAL = ROOT / "reports" / "out" / "recorded"
"""A file for each key, which names the folder of the last pack whose run measured it on this machine."""


def of_the_routes(plan: Plan, row: Row) -> bool:
    """Whether a row is of a route of the plan."""
    return row["route"] in plan.routes


def measured(row: Row) -> bool:
    """For stages that always end: every row is a result."""
    return True


def of_every_run(plan: Plan, row: Row) -> bool:
    """For rows that are neither of an op nor of a route that a plan could leave out."""
    return True


def of_the_ops(plan: Plan, row: Row) -> bool:
    """Whether a row is of an op of the plan."""
    return row["op"] in plan.ops


@dataclass(frozen=True)
class Recorded:
    """What the rows of a stage depend on.

    Attributes:
        sources: patterns of files, from the root of the checkout.
        versions: names of facts in `versions` of a pack.
        machine: names of facts in `machine` of a pack.
        environment: names of environment variables.
        belongs: whether a row belongs to a run with this plan, whose routes may be fewer.
        complete: whether a row is a result; False for one that a stage left out because its time was over.
        of_a_run: whether `compare` measures the rows, for the ops, routes and device of a run; False if another command
            does, which notes the key only if it has measured everything.
    """

    sources: tuple[str, ...]
    versions: tuple[str, ...] = TOOLCHAINS
    machine: tuple[str, ...] = ("architecture",)
    environment: tuple[str, ...] = ()
    belongs: Callable[[Plan, Row], bool] = of_the_routes
    complete: Callable[[Row], bool] = measured
    of_a_run: bool = True

    def key(self) -> str:
        """The hash of all that the rows depend on, in this checkout, environment and machine."""
        parts = {
            "sources": {str(file.relative_to(ROOT)): _digest(file) for file in self._files()},
            "versions": {name: _versions().get(name) for name in self.versions},
            "machine": {name: _machine().get(name) for name in self.machine},
            "environment": {name: os.environ.get(name) for name in self.environment},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _files(self) -> list[Path]:
        files = {file for pattern in self.sources for file in ROOT.glob(pattern) if file.is_file()}
        return sorted(file for file in files if not _made(file) and not _shows(file) and not _tests(file))


def _made(file: Path) -> bool:
    """Whether a build or an import has made a file."""
    return bool({"__pycache__", "artifacts"} & set(file.parts)) or file.suffix in (".so", ".pyc")


def _tests(file: Path) -> bool:
    """Whether a file holds tests, which no measurement runs."""
    return file.name.startswith("test_") and file.suffix == ".py"


def _shows(file: Path) -> bool:
    """Whether a module of a section judges or shows rows: it changes none."""
    return SECTIONS in file.parents and file.name in SHOWING


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


_versions = cache(machine.versions)
_machine = cache(machine.machine)


@dataclass(frozen=True)
class Record:
    """Rows by table, and the mark that says where they come from: date, commit, key, machine."""

    rows: dict[str, list[Row]]
    marks: dict[str, dict[str, Any]]

    def enter(self, pack: Pack) -> None:
        """Put the rows into a pack, each table with its mark."""
        for table, rows in self.rows.items():
            pack.set_rows(table, rows)
            pack.facts("settings").setdefault("recorded", {})[table] = self.marks[table]
            pack.facts("settings").setdefault("keys", {})[table] = self.marks[table]["key"]


def find(recorded: Recorded, tables: tuple[str, ...], plan: Plan) -> Record | None:
    """The newest record that a run with this plan may take over, or None."""
    key = recorded.key()
    for folder in _folders(key):
        pack = _pack(folder)
        if pack is not None and _holds(pack, recorded, tables, plan, key):
            rows = {table: [dict(row) for row in pack.rows(table) if recorded.belongs(plan, row)] for table in tables}
            return Record(rows, {table: _mark(pack, table, key) for table in tables})
    return None


def keep(recorded: Recorded, tables: tuple[str, ...], pack: Pack, folder: Path) -> None:
    """Note the key of what a run has just measured, and where its pack is, unless a table is not complete."""
    whole = all(pack.section_status(table) == RAN for table in tables)
    if not whole or not all(recorded.complete(row) for table in tables for row in pack.rows(table)):
        return
    key = recorded.key()
    pack.facts("settings").setdefault("keys", {}).update(dict.fromkeys(tables, key))
    LOCAL.mkdir(parents=True, exist_ok=True)
    (LOCAL / key).write_text(f"{folder.resolve()}\n")


def keep_own(recorded: Recorded, tables: tuple[str, ...], pack: Pack, folder: Path, whole: bool) -> None:
    """`keep` for a command of a section, which has written rows into a pack that may hold older ones beside them.

    Args:
        recorded: what the rows depend on.
        tables: that the command has written.
        pack: of the rows.
        folder: of the pack.
        whole: whether the command has measured everything; else the pack is no record.
    """
    for name in ("keys", "recorded"):
        for table in tables:
            pack.facts("settings").get(name, {}).pop(table, None)
    if whole:
        keep(recorded, tables, pack, folder)


def _folders(key: str) -> Iterator[Path]:
    """Folders of packs that may hold what the key stands for."""
    local = LOCAL / key
    if local.is_file():
        yield Path(local.read_text().strip())
    yield from (folder for folder in sorted(TREE.glob("*")) if folder.is_dir())


def _pack(folder: Path) -> Pack | None:
    try:
        return read_pack(folder)
    except PackError:  # it was deleted or is of a release that cannot be read
        return None


def _holds(pack: Pack, recorded: Recorded, tables: tuple[str, ...], plan: Plan, key: str) -> bool:
    settings = pack.facts("settings")
    return (
        all(settings.get("keys", {}).get(table) == key for table in tables)
        and all(pack.section_status(table) == RAN for table in tables)
        and all(recorded.complete(row) for table in tables for row in pack.rows(table))
        and (not recorded.of_a_run or _covers(pack, plan))
    )


def _covers(pack: Pack, plan: Plan) -> bool:
    """Whether the run of a pack measured at least the ops and routes of a plan, and on its device."""
    settings = pack.facts("settings")
    return (
        set(plan.routes) <= set(settings["routes"])
        and set(plan.ops) <= set(settings["ops"])
        and plan.device == settings["device"]
        and mode(pack) != QUICK
    )


def _mark(pack: Pack, table: str, key: str) -> dict[str, Any]:
    """Where rows come from; those that the pack has taken over itself keep their mark."""
    mark: dict[str, Any] | None = pack.facts("settings").get("recorded", {}).get(table)
    if mark is not None:
        return mark
    own_commit = pack.facts("settings").get(f"{table}_commit")  # of a table that another command has added
    commit, cpu = own_commit or pack.facts("versions").get("commit"), pack.facts("machine").get("cpu")
    return {"date": pack.created_utc[:10], "commit": commit, "key": key, "machine": cpu}
