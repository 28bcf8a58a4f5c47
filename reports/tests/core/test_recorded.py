"""Recorded results: the same key gives the same rows with a mark; a change of what they depend on measures again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evidence.core import recorded
from evidence.core.machine import ROOT
from evidence.core.pack import Pack, empty_pack, read_pack, write_pack
from evidence.core.plan import Plan, make_plan
from evidence.core.recorded import Recorded, find, keep, keep_own, of_the_ops
from evidence.core.run import run_stage
from evidence.core.section import declarations
from evidence.core.stage import RECORD_SECONDS, Run, Stage, taken_over
from rich.console import Console
from rich.progress import Progress

VERSIONS = {"python": "3.12.1", "torch": "2.13.0", "cxx": ["g++ 12"], "commit": "abc"}
MACHINE = {"architecture": "x86_64", "cpu": "one CPU"}


def footprint(route: str, size: int = 7) -> dict[str, Any]:
    return {"route": route, "purpose": "run", "package": "torch", "version": "2.13.0", "bytes": size, "files": 1,
            "kind": "python package", "message": None}  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of two files, and no packs but those of a test."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels/add.cpp").write_text("a + b")
    (tmp_path / "README.md").write_text("text")
    monkeypatch.setattr(recorded, "_versions", VERSIONS.copy)
    monkeypatch.setattr(recorded, "_machine", MACHINE.copy)
    monkeypatch.setattr(recorded, "LOCAL", tmp_path / "out/recorded")
    monkeypatch.setattr(recorded, "TREE", tmp_path / "packs")
    monkeypatch.setattr(recorded, "ROOT", tmp_path)
    return tmp_path


DEPENDS = Recorded(("kernels/**/*",), ("python", "torch", "cxx"), environment=("EVIDENCE_TEST",))


def stage(measured: list[str]) -> Stage:
    """A stage whose runs are counted in `measured`."""

    def run(run: Run) -> None:
        measured.append(run.plan.mode)
        run.pack.set_rows("footprint", [footprint(route) for route in run.plan.routes])

    return Stage("stand-in", 50, lambda plan: 300.0, run, ("footprint",), recorded=DEPENDS)


def run_of(plan: Plan, folder: Path, stage: Stage) -> Pack:
    """The pack of a run of one stage, as written."""
    folder.mkdir(parents=True)
    run = Run(plan, folder, Console(quiet=True), Progress(disable=True))
    run.task = run.progress.add_task("")
    run.pack.set_facts("versions", VERSIONS)
    run.pack.set_facts("machine", MACHINE)
    run.pack.set_facts(
        "settings", {"mode": plan.mode, "quick": plan.quick, "ops": plan.ops, "routes": plan.routes, "device": "cpu"}
    )
    run_stage(run, stage)
    return read_pack(folder)


def test_the_key_follows_sources_and_versions(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = DEPENDS.key()
    (checkout / "README.md").write_text("another text")
    (checkout / "kernels/__pycache__").mkdir()
    (checkout / "kernels/__pycache__/add.pyc").write_text("bytecode")
    (checkout / "kernels/add.so").write_text("built")
    (checkout / "kernels/test_add.py").write_text("a test")
    assert DEPENDS.key() == key
    keys = {key}
    (checkout / "kernels/add.cpp").write_text("a - b")
    keys.add(DEPENDS.key())
    (checkout / "kernels/add.cpp").rename(checkout / "kernels/sub.cpp")
    keys.add(DEPENDS.key())
    (checkout / "kernels/mul.cpp").write_text("a * b")
    keys.add(DEPENDS.key())
    monkeypatch.setattr(recorded, "_versions", lambda: {**VERSIONS, "torch": "2.14.0"})
    keys.add(DEPENDS.key())
    monkeypatch.setattr(recorded, "_machine", lambda: {**MACHINE, "architecture": "aarch64"})
    keys.add(DEPENDS.key())
    monkeypatch.setenv("EVIDENCE_TEST", "set")
    keys.add(DEPENDS.key())
    assert len(keys) == 7
    monkeypatch.setattr(recorded, "_versions", lambda: {**VERSIONS, "commit": "another"})
    other = DEPENDS.key()
    monkeypatch.setattr(recorded, "_versions", VERSIONS.copy)
    assert other == DEPENDS.key()


def test_rows_come_back_equal_and_marked(checkout: Path) -> None:
    """A full run measures; a standard run of fewer routes takes its own rows over; a full run measures again."""
    measured: list[str] = []
    full = run_of(make_plan("", "", "cpu", "full"), checkout / "full", stage(measured))
    standard = run_of(make_plan("", "", "cpu"), checkout / "standard", stage(measured))
    assert measured == ["full"]
    routes = make_plan("", "", "cpu").routes
    assert standard.rows("footprint") == [row for row in full.rows("footprint") if row["route"] in routes]
    mark = {"date": full.created_utc[:10], "commit": "abc", "key": DEPENDS.key(), "machine": "one CPU"}
    assert standard.facts("settings")["recorded"] == {"footprint": mark}
    assert "recorded" not in full.facts("settings")
    run_of(make_plan("", "", "cpu", "full"), checkout / "again", stage(measured))
    assert measured == ["full", "full"]


def test_a_pack_in_the_tree_is_a_record(checkout: Path) -> None:
    """A clone has no local file. Rows that a pack has taken over itself keep their first mark."""
    measured: list[str] = []
    first = run_of(make_plan("", "", "cpu"), checkout / "first", stage(measured))
    second = run_of(make_plan("", "", "cpu"), checkout / "second", stage(measured))
    write_pack(second, checkout / "packs/of-a-machine")
    for file in recorded.LOCAL.iterdir():
        file.unlink()
    third = run_of(make_plan("", "", "cpu"), checkout / "third", stage(measured))
    assert measured == ["standard"]
    assert third.rows("footprint") == first.rows("footprint")
    assert third.facts("settings")["recorded"] == second.facts("settings")["recorded"]


def test_a_change_or_a_further_route_measures_again(checkout: Path) -> None:
    measured: list[str] = []
    plan = make_plan("", "cpp", "cpu")
    run_of(plan, checkout / "first", stage(measured))
    assert stage(measured).expected(plan) == RECORD_SECONDS
    wider = make_plan("", "cpp,mojo", "cpu")
    assert stage(measured).expected(wider) == 300.0
    run_of(wider, checkout / "wider", stage(measured))
    assert stage(measured).expected(plan) == RECORD_SECONDS
    (checkout / "kernels/add.cpp").write_text("a - b")
    assert stage(measured).expected(plan) == 300.0
    pack = run_of(plan, checkout / "changed", stage(measured))
    assert len(measured) == 3
    assert "recorded" not in pack.facts("settings")


def test_a_run_of_some_ops_does_not_wait(checkout: Path) -> None:
    measured: list[str] = []
    of_add = run_of(make_plan("add", "", "cpu"), checkout / "some", stage(measured))
    assert (measured, of_add.section_status("footprint")) == ([], "did not run")
    assert "a run of some ops does not measure it" in str(of_add.reason("footprint"))
    named = run_of(make_plan("add", "", "cpu", only="install"), checkout / "named", stage(measured))
    assert (measured, named.section_status("footprint")) == (["standard"], "ran")
    again = run_of(make_plan("add", "", "cpu"), checkout / "again", stage(measured))
    assert again.rows("footprint") == named.rows("footprint")
    assert stage(measured).record(make_plan("add,rope", "", "cpu")) is None


@pytest.mark.parametrize("flaw", ["partial", "incomplete", "quick", "deleted"])
def test_what_is_not_whole_is_no_record(flaw: str, checkout: Path) -> None:
    depends = Recorded(DEPENDS.sources, DEPENDS.versions, complete=lambda row: row["bytes"] > 0)
    plan = make_plan("", "cpp", "cpu")
    pack = empty_pack()
    pack.set_facts(
        "settings",
        {"mode": "quick" if flaw == "quick" else "full", "ops": plan.ops, "routes": plan.routes, "device": "cpu"},
    )
    state = ("partial", "interrupted") if flaw == "partial" else ("ran", None)
    pack.set_rows("footprint", [footprint("cpp", 0 if flaw == "incomplete" else 7)], *state)
    folder = checkout / "pack"
    keep(depends, ("footprint",), pack, folder)
    if flaw != "deleted":
        write_pack(pack, folder)
    assert find(depends, ("footprint",), plan) is None
    noted = "keys" in pack.facts("settings")
    assert noted == (flaw in ("quick", "deleted"))


def target(op: str) -> dict[str, Any]:
    return {"op": op, "side": "cpp", "target": "sm_90", "status": "built", "message": None, "seconds": 1.0,
            "bytes": 9, "tool": "nvcc", "proof": None, "together": 1}  # fmt: skip


OWN = Recorded(("kernels/**/*",), ("torch",), belongs=of_the_ops, of_a_run=False)
OF_A_COMMAND = taken_over("targets", 131, ("targets",), "`nox -s targets` builds them", OWN)


@pytest.mark.parametrize("mode", ["standard", "full"])
def test_what_a_command_has_measured_is_taken_over(mode: Any, checkout: Path) -> None:
    """Without a record the pack names the command, and the plan shows nothing. A pack of that command alone is one."""
    plan = make_plan("", "", "cpu", mode)
    without = run_of(plan, checkout / "without", OF_A_COMMAND)
    assert (without.section_status("targets"), OF_A_COMMAND.step(plan).seconds) == ("did not run", 0.0)
    assert without.reason("targets") == "`nox -s targets` builds them"
    pack = empty_pack("only the targets")
    pack.set_rows("targets", [target("add"), target("rope")])
    pack.facts("settings")["targets_commit"] = "def"
    keep_own(OWN, ("targets",), pack, checkout / "own", whole=True)
    write_pack(pack, checkout / "own")
    of_all = run_of(plan, checkout / "all", OF_A_COMMAND)
    assert of_all.facts("settings")["recorded"]["targets"]["commit"] == "def"
    assert [row["op"] for row in of_all.rows("targets")] == ["add", "rope"]
    of_add = run_of(make_plan("add", "cpp", "cpu", mode), checkout / "add", OF_A_COMMAND)
    assert [row["op"] for row in of_add.rows("targets")] == ["add"]
    assert OF_A_COMMAND.record(make_plan("", "", "cpu", "quick")) is None


def test_a_part_written_into_a_record_ends_it(checkout: Path) -> None:
    pack = empty_pack()
    pack.set_rows("targets", [target("add")])
    for whole in (True, False):
        keep_own(OWN, ("targets",), pack, checkout / "own", whole)
        write_pack(pack, checkout / "own")
        assert (find(OWN, ("targets",), make_plan("", "", "cpu")) is not None) == whole


def test_what_shows_rows_is_no_part_of_a_key() -> None:
    """The page of a section may change without measuring again; what measures may not."""
    for section, stages in declarations("measure", "STAGES"):
        for stage in (stage for stage in stages if stage.recorded):
            names = {file.name for file in stage.recorded._files() if file.parent.name == section.name}
            assert "measure.py" in names
            assert not {"page.py", "judge.py"} & names


def test_every_declared_pattern_has_files() -> None:
    """A pattern that names nothing would let its sources change without another key."""
    stages = [stage for _, declared in declarations("measure", "STAGES") for stage in declared if stage.recorded]
    assert {"faults", "upgrade", "footprint", "integration", "gpu", "targets", "models"} <= {
        table for stage in stages for table in stage.tables
    }
    for stage in stages:
        for pattern in stage.recorded.sources:
            assert any(path.is_file() for path in ROOT.glob(pattern)), f"{stage.name}: {pattern}"
