"""The build lab: order of repeats, medians, CPU seconds, failures, edits that do not arrive, package records."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from evidence.core import packages
from evidence.core.mode import Mode
from evidence.core.pack import empty_pack, read_pack, write_pack
from evidence.core.plan import make_plan
from evidence.core.sides import Edit, clean_copy
from evidence.sections.build import measure as build_stage
from evidence.sections.build import prerequisites
from evidence.sections.build import stages as build_lab
from evidence.sections.build.recipes import BASE, FURTHER, LAB_SIDES, NEW_OP, LabSide, Step
from evidence.sections.build.row import BuildRow
from evidence.sections.build.shortened import shortened
from evidence.sections.build.stages import WRONG, Failed, Lab, artifact_bytes, row

NOTHING = "the fake has no such stage"
# A build that writes the kernel it found into an artifact; `once` leaves one that is there as it is.
BUILD = """
import pathlib, sys
kernel, artifact = pathlib.Path("kernel.txt").read_text(), pathlib.Path("made.bin")
if "once" not in kernel or not artifact.exists():
    artifact.write_text(kernel)
if "broken" in kernel:
    sys.exit("error: kernel.txt is broken")
"""
CHECK = """
import pathlib, sys
kernel = pathlib.Path("fake/made.bin").read_text()
sys.exit(0 if "{word}" in kernel else f"wrong result: {{kernel}}")
"""


def make_fake(root: Path, name: str, kernel: str = "one", **more: Step) -> LabSide:
    """A side that is built in no time: its `kernel.txt` becomes `made.bin`."""
    source = root / name / "fake"
    source.mkdir(parents=True)
    (source / "kernel.txt").write_text(kernel)
    (source / "make.py").write_text(BUILD)
    build = ("python", "make.py")
    steps: dict[str, Step | str] = {
        "clean": Step(CHECK.format(word="one"), build, timed_check=False, artifacts=("fake/made.bin",)),
        "noop": Step("", build),
        "edit": Step(CHECK.format(word="two"), build, Edit("fake/kernel.txt", "one", "two").apply, note="why"),
        **dict.fromkeys(FURTHER, NOTHING),
        **more,
    }
    return LabSide(name, "fake", "fake", steps, root=root / name)


def lab_of(folder: Path, *sides: LabSide, repeats: int = 3, progress: list[str] | None = None) -> Lab:
    (folder / "copies").mkdir()
    return Lab(sides, folder / "copies", repeats, (progress if progress is not None else []).append)


def rows_of(lab: Lab) -> dict[tuple[str, str], dict]:
    lab.run(lambda: None)
    return {(stage_row.route, stage_row.kind): stage_row for stage_row in lab.rows(ended=True)}


def test_row_of_known_costs() -> None:
    stage_row = row("cpp", "clean", [(3.0, 10.0, 5.0), (1.0, 30.0, 7.0), (2.0, 20.0, 6.0)])
    assert (stage_row.seconds_low, stage_row.seconds_median, stage_row.seconds_high) == (1.0, 2.0, 3.0)
    assert (stage_row.peak_mb, stage_row.cpu_seconds, stage_row.repeats) == (30.0, 6.0, 3)
    assert row("cpp", "first_call", [(1.0, None), (2.0, None)]).seconds_median == 1.5


def test_repeats_go_forward_and_backward(tmp_path: Path) -> None:
    progress: list[str] = []
    rows = rows_of(lab_of(tmp_path, make_fake(tmp_path, "a"), make_fake(tmp_path, "b"), progress=progress))
    assert [line[0] for line in progress if "clean" in line] == ["a", "b", "b", "a", "a", "b"]
    for kind in BASE:
        stage_row = rows["a", kind]
        assert (stage_row.status, stage_row.repeats) == ("ok", 3)
        assert 0 < stage_row.seconds_low <= stage_row.seconds_median <= stage_row.seconds_high
    assert rows["a", "clean"].artifact_bytes == len("one")
    assert rows["a", "edit"].message == "why"
    assert (rows["a", "add_op"].status, rows["a", "add_op"].message) == ("no such stage", NOTHING)
    assert not list((tmp_path / "copies").iterdir())


def test_broken_build_ends_its_side_only(tmp_path: Path) -> None:
    rows = rows_of(lab_of(tmp_path, make_fake(tmp_path, "bad", "broken"), make_fake(tmp_path, "good")))
    for kind in BASE:
        assert rows["bad", kind].status == "did not build"
        assert rows["bad", kind].message == "error: kernel.txt is broken"
        assert rows["good", kind].status == "ok"


def test_preparation_is_not_timed(tmp_path: Path) -> None:
    """What a stage prepares runs before its build; where it fails, nothing is built."""
    slow = ("python", "-c", "import time; time.sleep(2); open('kernel.txt', 'w').write('one')")
    side = make_fake(tmp_path, "a", kernel="none")
    side = replace(side, steps={**side.steps, "clean": replace(side.steps["clean"], prepare=slow)})
    clean = rows_of(lab_of(tmp_path, side, repeats=1))["a", "clean"]
    assert clean.status == "ok"
    assert clean.seconds_median < 2
    (tmp_path / "copies").rmdir()
    failing = replace(side.steps["clean"], prepare=("python", "-c", "raise SystemExit('error: no library')"))
    side = replace(side, steps={**side.steps, "clean": failing})
    clean = rows_of(lab_of(tmp_path, side, repeats=1))["a", "clean"]
    assert (clean.status, clean.message) == ("did not build", "error: no library")


def test_edit_that_does_not_reach_the_result_is_wrong(tmp_path: Path) -> None:
    """A build that does not see the edit ends well and quickly; its fresh process still finds the old kernel."""
    rows = rows_of(lab_of(tmp_path, make_fake(tmp_path, "stale", "one once")))
    assert rows["stale", "noop"].status == "ok"
    assert rows["stale", "edit"].status == "did not run"
    assert rows["stale", "edit"].message == f"{WRONG}: one once"
    assert rows["stale", "edit"].seconds_median is None


def test_stage_behind_a_failed_one_names_it(tmp_path: Path) -> None:
    stale = make_fake(tmp_path, "stale", "one once")
    later = replace(stale, steps={**stale.steps, "add_op": Step(CHECK.format(word="one"))})
    stage_row = rows_of(lab_of(tmp_path, later))["stale", "add_op"]
    assert stage_row.status == "did not run"
    assert "one-line kernel edit" in stage_row.message


def test_failed_further_stage_leaves_the_others(tmp_path: Path) -> None:
    """One that changes nothing is passed over; behind one that has changed the copy nothing runs; the base repeats."""
    broken = Step("", ("python", "no-such-file.py"))
    side = make_fake(tmp_path, "a", add_arch=broken, add_cpu=Step(CHECK.format(word="two")))
    rows = rows_of(lab_of(tmp_path, side))
    assert (rows["a", "edit"].repeats, rows["a", "add_cpu"].repeats) == (3, 3)
    assert (rows["a", "add_arch"].status, rows["a", "add_arch"].repeats) == ("did not build", 0)
    (tmp_path / "copies").rmdir()
    changed = replace(broken, change=lambda copy: None)
    rows = rows_of(lab_of(tmp_path, replace(side, steps={**side.steps, "add_op": changed})))
    assert rows["a", "edit"].repeats == 3
    assert "a stage before it failed: new op" in rows["a", "add_cpu"].message


def test_only_cheap_further_stages_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = make_fake(tmp_path, "a", add_op=Step(CHECK.format(word="two")))
    cheap = rows_of(lab_of(tmp_path, side))["a", "add_op"]
    assert (cheap.repeats, cheap.message) == (3, None)
    (tmp_path / "copies").rmdir()
    monkeypatch.setattr(build_lab, "CHEAP", 0.0)
    rows = rows_of(lab_of(tmp_path, side))
    assert (rows["a", "edit"].repeats, rows["a", "add_op"].repeats) == (3, 1)
    assert "1 of 3 repeats" in rows["a", "add_op"].message


def test_dear_side_is_visited_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_lab, "DEAR", 0.0)
    progress: list[str] = []
    rows = rows_of(lab_of(tmp_path, make_fake(tmp_path, "dear"), progress=progress))
    assert sum("clean" in line for line in progress) == 1
    assert [rows["dear", kind].repeats for kind in BASE] == [1, 1, 1]
    assert "1 of 3 repeats, since clean build and edit" in rows["dear", "edit"].message


def test_stage_that_is_left_out_says_why(tmp_path: Path) -> None:
    left_out = {"edit": Step("", left_out="quick"), "add_cpu": Step("", left_out="as another")}
    rows = rows_of(lab_of(tmp_path, make_fake(tmp_path, "a", **left_out), repeats=1))
    assert (rows["a", "add_cpu"].status, rows["a", "add_cpu"].message) == ("did not run", "as another")
    assert (rows["a", "edit"].status, rows["a", "edit"].message) == ("did not run", "quick")


def test_a_standard_run_leaves_out_what_decides_nothing_or_builds_all_ops_again() -> None:
    """Each stage that is left out says why; what each side is judged by is measured."""
    plan = make_plan("", "", "cpu")
    sides = {name: shortened(LAB_SIDES[name], plan) for name in ("cpp", "mojo", "mojo_aot")}
    left = {
        (name, kind)
        for name, side in sides.items()
        for kind, step in side.steps.items()
        if isinstance(step, Step) and step.left_out
    }
    assert left == {
        ("cpp", "binding_edit"), ("cpp", "add_arch"), ("cpp", "add_cpu"),
        ("mojo_aot", "binding_edit"), ("mojo_aot", "add_cpu"), ("mojo", "binding_edit"), ("mojo", "add_op"), ("mojo", "add_arch"),
    }  # fmt: skip
    assert all(side.warm_up is None for side in sides.values())
    assert shortened(LAB_SIDES["mojo"], make_plan("", "", "cpu", mode="full")) is LAB_SIDES["mojo"]


@pytest.mark.parametrize("mode", ["standard", "quick"])
def test_a_run_of_some_ops_builds_only_what_it_edits(mode: Mode) -> None:
    """Mojo builds the one op; C++ has no such build, and its clean build is measured."""
    plan = make_plan("rms_norm", "", "cpu", mode)
    runs = {
        name: {k for k, s in shortened(LAB_SIDES[name], plan).steps.items() if isinstance(s, Step) and not s.left_out}
        for name in ("cpp", "mojo_aot")
    }
    assert runs == {"cpp": {"clean", "noop", "edit"}, "mojo_aot": {"edit"}}
    warm_up = shortened(LAB_SIDES["mojo_aot"], plan).warm_up or ()
    assert "--ops" in warm_up
    assert warm_up[-2:] == ("--out", "mojo_ops/src/mojo_ops/artifacts")
    assert build_stage.left_to_full(LAB_SIDES["mojo"], plan)


def test_the_warm_up_runs_before_the_stages(tmp_path: Path) -> None:
    """It is no row, and where it fails, the edit says so."""
    warm = replace(make_fake(tmp_path, "warm"), warm_up=("python", "-c", "open('warm.txt', 'w')"))
    looks = Step("", ("python", "-c", "open('warm.txt')"))
    warm = replace(warm, steps={**warm.steps, "edit": looks})
    broken = replace(make_fake(tmp_path, "broken"), warm_up=("python", "-c", "raise SystemExit('no compiler')"))
    rows = rows_of(lab_of(tmp_path, warm, broken, repeats=1))
    assert rows["warm", "edit"].status == "ok"
    assert (rows["broken", "edit"].status, rows["broken", "edit"].message) == ("did not build", "no compiler")


def test_missing_program_is_no_tool_chain(tmp_path: Path) -> None:
    side = make_fake(tmp_path, "a", add_arch=Step("", ("python", "make.py"), needs="no-such-compiler"))
    stage_row = rows_of(lab_of(tmp_path, side, repeats=1))["a", "add_arch"]
    assert (stage_row.status, stage_row.message) == (
        "did not run",
        "no tool chain: no-such-compiler is not on the PATH",
    )


def test_artifact_that_is_not_there_fails(tmp_path: Path) -> None:
    (tmp_path / "one.so").write_bytes(b"12345")
    assert artifact_bytes(tmp_path, ["*.so"]) == 5
    with pytest.raises(Failed, match=r"\*\.mef is not there"):
        artifact_bytes(tmp_path, ["*.so", "*.mef"])


@pytest.mark.parametrize("name", list(LAB_SIDES))
def test_changes_apply_to_todays_sources(name: str, tmp_path: Path) -> None:
    """Every edit applies, and the new op is complete: each of its files names the new op and none names `add`."""
    side = LAB_SIDES[name]
    with clean_copy(side, tmp_path) as copy:
        before = {path for path in copy.rglob("*") if path.is_file()}
        for kind in (*BASE, *FURTHER):
            step = side.steps[kind]
            if isinstance(step, Step) and step.change:
                step.change(copy)
        new = {path for path in copy.rglob("*") if path.is_file()} - before
        assert {path.stem for path in new} == {NEW_OP}
        for path in new:
            tokens = path.read_text().replace("_", " ").replace('"', " ").split()
            assert "add" not in tokens, path
            assert NEW_OP in path.read_text()
        kernel = next(path for path in new if path.suffix in (".cpp", ".mojo")).read_text()
        assert " - y" in kernel or ") - up" in kernel


def test_every_side_says_something_of_every_stage() -> None:
    for side in LAB_SIDES.values():
        assert set(side.steps) == {*BASE, *FURTHER}
        assert all(step.build or step.check or step.left_out for step in side.steps.values() if isinstance(step, Step))


def test_checks_are_python() -> None:
    for side in LAB_SIDES.values():
        for kind, step in side.steps.items():
            if isinstance(step, Step):
                compile(step.check, f"{side.name} {kind}", "exec")


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("c++"), reason="there is no C++ compiler")
def test_cpp_is_built_and_edited_for_real(tmp_path: Path) -> None:
    steps = {**LAB_SIDES["cpp"].steps, **dict.fromkeys(FURTHER, NOTHING)}
    rows = rows_of(lab_of(tmp_path, replace(LAB_SIDES["cpp"], steps=steps), repeats=1))
    assert [rows["cpp", kind].status for kind in BASE] == ["ok"] * 3, rows
    clean, noop = rows["cpp", "clean"], rows["cpp", "noop"]
    assert clean.cpu_seconds > noop.cpu_seconds > 0
    assert clean.artifact_bytes > 10_000


# ---- packages ----


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three packages with records: `top` needs `under`, and `more` with the extra; `over` needs what is not here."""

    def install(name: str, requires: tuple[str, ...], text: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (tmp_path / f"{name}.py").write_text(text)
        needs = "".join(f"Requires-Dist: {item}\n" for item in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        (info / "RECORD").write_text(f"{name}.py,,\n__pycache__/{name}.pyc,,\n")

    extra, elsewhere = 'zz-more; extra == "big"', 'zz-absent; sys_platform == "amiga"'
    install("zz_top", ("zz-under>=1", extra, elsewhere), "12345")
    install("zz_under", ("zz-top",), "123")
    install("zz_more", (), "1")
    install("zz_over", ("zz-absent",), "1")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "zz_top.pyc").write_text("bytecode")
    monkeypatch.syspath_prepend(str(tmp_path))
    packages._installed.cache_clear()
    return tmp_path


def test_closure_follows_records(installed: Path) -> None:
    assert packages.closure(["zz-top"]) == [
        packages.Package("zz_top", "1.0", 5, 1),
        packages.Package("zz_under", "1.0", 3, 1),
    ]
    assert [package.name for package in packages.closure(["zz_top[big]"])] == ["zz_more", "zz_top", "zz_under"]


def test_what_has_no_record_is_named(installed: Path) -> None:
    with pytest.raises(packages.NotCounted, match="zz-absent is not installed"):
        packages.closure(["zz-over"])
    with pytest.raises(ValueError, match="requirement is 'a b', expected a name"):
        packages.closure(["a b"])
    with pytest.raises(packages.NotCounted, match="no-such-program is not on the PATH"):
        packages.system_closure("no-such-program")


@pytest.mark.skipif(not (shutil.which("dpkg-query") and shutil.which("c++")), reason="needs dpkg and a C++ compiler")
def test_compiler_brings_its_system_packages() -> None:
    names = {package.name for package in packages.system_closure("c++")}
    assert any("g++" in name or "clang" in name for name in names)
    assert "binutils" in names
    assert "dpkg" not in names  # essential: on every Debian system


def test_prerequisites_without_installing_are_counted() -> None:
    stage_row = prerequisites.prerequisites_row(LAB_SIDES["cpp"], "quick run", 1)
    assert (stage_row.status, stage_row.seconds_median) == ("did not run", None)
    assert stage_row.packages >= 1
    assert stage_row.install_bytes > 0
    assert "seconds not measured: quick run" in stage_row.message


def test_prerequisites_that_are_not_installed_are_not_counted() -> None:
    stage_row = prerequisites.prerequisites_row(replace(LAB_SIDES["cpp"], requirements=("zz-absent",)), "", 1)
    assert stage_row.status == "did not run"
    assert "zz-absent is not installed" in stage_row.message


def test_pip_that_fails_is_a_reason(tmp_path: Path) -> None:
    installer = prerequisites.Installer(tmp_path)
    installer.python.parent.mkdir(parents=True)
    installer.python.write_text("#!/bin/sh\necho 'ERROR: no network' >&2\nexit 1\n")
    installer.python.chmod(0o755)
    with pytest.raises(RuntimeError, match="ERROR: no network"):
        installer.seconds([packages.Package("one", "1.0", 0, 0)], 1)


def test_header_that_is_not_there_has_no_cost(tmp_path: Path) -> None:
    assert build_stage.header_cost("no/such/header.h", tmp_path) is None


@pytest.mark.parametrize("quick", [True, False])
def test_stage_writes_a_valid_pack(quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes of three routes, one of which did not build: every route has a row of every stage, in quick runs too."""
    names = ("cpp", "cpp_classic", "mojo")
    monkeypatch.setattr(build_stage, "LAB_SIDES", {name: make_fake(tmp_path, name) for name in names})
    monkeypatch.setattr(build_stage, "Installer", lambda folder: "no pip in this test")
    monkeypatch.setattr(build_stage, "load_row", lambda route, *_: row(route, "import_load", [(1.0, None)]))
    seen = []
    run = SimpleNamespace(
        plan=make_plan("", ",".join(names), "cpu", mode="quick" if quick else "full"),
        pack=empty_pack(),
        not_built={"mojo": "no compiler"},
        tell=lambda *_: seen.append(run.pack.section_status("build")),
        progress=SimpleNamespace(advance=lambda *_: None),
        task=None,
    )
    build_stage.stage(run)
    write_pack(run.pack, tmp_path / "pack")
    rows = {(stage_row.route, stage_row.kind): stage_row for stage_row in read_pack(tmp_path / "pack").table(BuildRow)}
    kinds = ("prerequisites", *BASE, *FURTHER, "import_load")
    assert set(rows) == {(name, kind) for name in names for kind in kinds}
    assert len(run.pack.table(BuildRow)) == len(rows)
    assert (rows["cpp", "edit"].status, rows["cpp", "edit"].repeats) == ("ok", 1 if quick else 3)
    assert rows["cpp_classic", "clean"].status == ("did not run" if quick else "ok")
    assert {rows["mojo", kind].message for kind in BASE} == {"no compiler"}
    assert "partial" in seen
    assert run.pack.section_status("build") == "ran"


def test_first_calls_of_a_run_without_the_lab_make_a_partial_table() -> None:
    run = SimpleNamespace(pack=empty_pack("--only runtime left it out"))
    build_stage.add_first_calls(run, {})
    assert run.pack.section_status("build") == "did not run"
    build_stage.add_first_calls(run, {("cpp", "first_call"): [0.5, 0.25]})
    assert (run.pack.section_status("build"), run.pack.reason("build")) == ("partial", "--only runtime left it out")
    (first_call,) = run.pack.table(BuildRow)
    assert (first_call.route, first_call.kind, first_call.repeats) == ("cpp", "first_call", 2)
