"""Two packs compared: noise is no change, a real loss is found and ends with 1, other machines are refused with 2."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import pytest
from evidence.__main__ import main
from evidence.core.pack import PACK_FILE, Pack, write_pack
from evidence.judge.conclude import conclude
from evidence.judge.diff import BETTER, CHANGED, REGRESSION, diff, other_machine
from few_rows import (
    call,
    checks,
    code,
    fault,
    feature,
    noise,
    pack_of,
    stage,
    times,
    upgraded,
)


def kinds(comparison) -> dict[str, str]:
    return {f"{change.section}: {change.what}": change.kind for change in comparison.changes}


def run(cpp_us: float = 100.0, eager_us: float = 200.0, wide: float = 0.02, band: float | None = None) -> Pack:
    rows = times("add", 4_000_000, {"eager": eager_us, "cpp": cpp_us}, wide)
    return pack_of(runtime=rows, noise=[] if band is None else [noise("cpp", "large", band, base="eager")])


def slower(factor: float, high: float = 1.02) -> list[dict[str, Any]]:
    """A call whose ratio to eager ranges over 1.6x between the processes of a run, and the same call slower."""
    first = call("mojo", 100.0, ratio_to_eager=0.5, ratio_low=0.4, ratio_high=0.64, high_us=100.0 * high)
    return [
        first,
        call("mojo", 100.0 * factor, **dict.fromkeys(("ratio_to_eager", "ratio_low", "ratio_high"), 0.5 / factor)),
    ]


ROW = "runtime: add cpp cpu float32 4000000 call"


def test_a_pack_against_itself_shows_nothing():
    pack = run()
    conclude(pack)
    comparison = diff(pack, pack)
    assert not comparison.changes
    assert not comparison.notes
    assert comparison.overlap == 1.0
    assert all(same == of > 0 for same, of in comparison.words.values())


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (run(103), None),
        (run(130), REGRESSION),
        (run(75), BETTER),
        (run(130, wide=0.4), None),
        (run(104.5, wide=0.001), None),
    ],
)
def test_run_time_changes_only_beyond_its_interval_and_what_matters(after, kind):
    assert kinds(diff(run(), after)).get(ROW) == kind


def test_run_time_changes_only_beyond_the_noise_bands_of_both_packs():
    assert kinds(diff(run(band=1.02), run(130, band=1.02))) == {ROW: REGRESSION}
    assert not diff(run(band=1.5), run(130, band=1.02)).changes
    assert not diff(run(band=1.02), run(130, band=1.5)).changes


def test_a_faster_eager_is_no_regression_of_the_route():
    comparison = diff(run(), run(cpp_us=100, eager_us=120))
    assert kinds(comparison) == {ROW: CHANGED}
    assert any("eager itself took 0.60" in note for note in comparison.notes)
    assert not diff(run(), run(cpp_us=150, eager_us=300)).regressions


def test_a_noisy_row_is_no_regression():
    after = run(130)
    for row in after.rows("runtime"):
        row["noisy"] = True
    assert kinds(diff(run(), after)) == {ROW: CHANGED}


def test_a_route_that_runs_no_longer():
    after = run()
    after.rows("runtime")[1]["status"] = "failed correctness"
    assert kinds(diff(run(), after)) == {ROW: REGRESSION}
    assert kinds(diff(after, run())) == {ROW: BETTER}


def test_a_stage_that_is_left_out_is_no_regression():
    """Another release may leave to full runs what this one measures."""
    measured, left_out = stage("cpp", "edit", 4), {**stage("cpp", "edit", 4), "status": "did not run"}
    for before, after in ((measured, left_out), (left_out, measured)):
        (change,) = diff(pack_of(build=[before]), pack_of(build=[after])).changes
        assert change.kind == CHANGED


@pytest.mark.parametrize(
    ("section", "before", "after", "kind"),
    [
        ("dispatch", call("cpp", 2), call("cpp", 4, ratio_to_eager=1.25, ratio_low=1.2, ratio_high=1.3), REGRESSION),
        ("dispatch", call("cpp", 2), call("cpp", 2.3), None),
        ("dispatch", call("cpp", 2), call("cpp", 4, noisy=True), None),
        ("dispatch", *slower(2), REGRESSION),
        ("dispatch", *slower(1.4), None),
        ("dispatch", *slower(1.6), REGRESSION),
        ("dispatch", *slower(2, high=2.1), None),
        ("build", stage("cpp", "edit", 4), stage("cpp", "edit", 5), REGRESSION),
        ("build", stage("cpp", "edit", 5), stage("cpp", "edit", 4), BETTER),
        ("build", stage("cpp", "edit", 4, wide=0.2), stage("cpp", "edit", 5, wide=0.2), None),
        ("build", stage("cpp", "edit", 4, 0, 1), stage("cpp", "edit", 5, 0, 1), None),
        ("build", stage("cpp", "noop", 0.01), stage("cpp", "noop", 0.03), None),
        ("build", stage("mojo_aot", "noop", 0.12, 0, 1), stage("mojo_aot", "noop", 0.21, 0, 1), None),
        ("build", stage("cpp", "prerequisites", 10), stage("cpp", "prerequisites", 90), CHANGED),
        ("correctness", checks("cpp"), checks("cpp", failed=1), REGRESSION),
        ("correctness", checks("cpp", failed=2), checks("cpp", failed=1), BETTER),
        ("faults", fault("f", "mojo", "compile"), fault("f", "mojo", "silent"), REGRESSION),
        ("faults", fault("f", "mojo", "crash"), fault("f", "mojo", "call"), BETTER),
        ("faults", fault("f", "mojo", "crash"), fault("f", "mojo", "did not run"), CHANGED),
        ("integration", feature("cpp", "vmap"), feature("cpp", "vmap", "fails"), REGRESSION),
        ("integration", feature("cpp", "vmap", "refused"), feature("cpp", "vmap"), BETTER),
        ("integration", feature("cpp", "vmap"), feature("cpp", "vmap", "did not run"), CHANGED),
        ("upgrade", upgraded("cpp", "works"), upgraded("cpp", "crash"), REGRESSION),
        ("code", code("cpp", "kernel", 10), code("cpp", "kernel", 90), CHANGED),
    ],
)
def test_sections(section, before, after, kind):
    comparison = diff(pack_of(**{section: [before]}), pack_of(**{section: [after]}))
    assert [change.kind for change in comparison.changes] == ([kind] if kind else [])


def test_rows_of_one_pack_only_are_noted_not_judged():
    more = pack_of(runtime=run().rows("runtime") + times("rope", 16, {"eager": 5, "cpp": 5}))
    comparison = diff(more, run())
    assert not comparison.changes
    assert "runtime: 2 rows in both, 2 only in A and 0 only in B are not compared" in comparison.notes


def test_settings_that_differ_are_noted():
    quick = run()
    quick.facts("settings")["processes"] = 2
    quick.facts("versions")["torch"] = "2.14.0"
    notes = diff(run(), quick).notes
    assert "settings: processes is None in A and 2 in B" in notes
    assert "versions: torch is '2.13.0' in A and '2.14.0' in B" in notes


def test_words_that_changed_are_named():
    before, after = run(), run()
    for pack, caught in ((before, "compile"), (after, "silent")):
        pack.set_rows("faults", [fault("f", "mojo_aot", caught, "type"), fault("f", "cpp", "silent", "type")])
        conclude(pack)
    comparison = diff(before, after)
    assert kinds(comparison)["claims: types"] == CHANGED
    assert comparison.words["claims"] == (20, 21)


OPS = [f"op{number}" for number in range(20)]


def simulated(seed: int, slower: dict[tuple[str, int], float] | None = None, every: float = 1.0) -> Pack:
    """A run of 20 ops with 5 samples each, whose ratios move from run to run by more than their intervals say.

    Half of what moves a ratio is the same for an op's samples, and one row in fifty moves by far more.

    Args:
        slower: by op and number of the sample, the factor of its time.
        every: the factor of the time of every row.
    """
    chance = random.Random(seed)
    rows = []
    for op in OPS:
        of_op = chance.gauss(0, 0.015)
        for number in range(5):
            own = chance.gauss(0, 0.015) * (5 if chance.random() < 0.02 else 1)
            time = 100 * math.exp(of_op + own) * every * (slower or {}).get((op, number), 1.0)
            rows += times(op, 1000 + number, {"eager": 200.0, "cpp": time}, wide=0.02)
    return pack_of(runtime=rows)


def test_two_runs_of_the_same_code_seldom_show_a_regression():
    pairs = [diff(simulated(2 * seed), simulated(2 * seed + 1)) for seed in range(60)]
    assert sum(bool(pair.regressions) for pair in pairs) <= 6  # 5 % and the rows that move by far more
    assert sum(pair.overlapping for pair in pairs) >= 0.7 * sum(pair.intervals for pair in pairs)


@pytest.mark.parametrize("factor", [1.25, 1.5])
def test_a_row_that_became_slower_is_named_alone(factor):
    seen = 0
    for seed in range(20):
        regressions = diff(simulated(seed), simulated(seed + 100, {("op7", 3): factor})).regressions
        seen += [change.what for change in regressions] == ["op7 cpp cpu float32 1003 call"]
    assert seen >= (12 if factor < 1.5 else 18)


def test_what_all_rows_lost_is_one_regression():
    for seed in range(20):
        regressions = diff(simulated(seed), simulated(seed + 100, every=1.15)).regressions
        assert "cpp, all 100 rows of 20 ops" in [change.what for change in regressions]
        assert len(regressions) <= 3


# machines and the command


@pytest.mark.parametrize(
    ("key", "value"),
    [("cpu", "Other CPU"), ("cores_usable", 64), ("memory_gib", 32.0), ("gpus", ["H200"]), ("simd", ["avx512f"])],
)
def test_other_machines_are_named(key, value):
    other = run()
    assert not other_machine(run(), other)
    other.facts("machine")[key] = value
    assert [key in note and repr(value) in note for note in other_machine(run(), other)] == [True]


def test_memory_of_a_virtual_machine_may_differ_by_a_hundredth():
    other = run()
    other.facts("machine")["memory_gib"] = 15.9
    assert not other_machine(run(), other)


@pytest.fixture
def packs(tmp_path):
    def write(name: str, pack: Pack) -> str:
        conclude(pack)
        write_pack(pack, tmp_path / name)
        return str(tmp_path / name)

    return write


def test_exit_codes(packs, capsys):
    a, same, worse = packs("a", run()), packs("same", run(102)), packs("worse", run(150))
    assert main(["diff", a, same]) == 0
    assert main(["diff", a, worse]) == 1
    assert "regression" in capsys.readouterr().out
    assert main(["diff", worse, a]) == 0


def test_another_machine_is_refused_unless_told(packs, capsys):
    other = run(150)
    other.facts("machine")["cpu"] = "Other [red]CPU[/red]"
    a, b = packs("a", run()), packs("b", other)
    assert main(["diff", a, b]) == 2
    output = capsys.readouterr().out
    assert "cpu is 'Example CPU' in A and 'Other [red]CPU[/red]' in B" in output
    assert "--across-machines" in output
    assert main(["diff", a, b, "--across-machines"]) == 1


def test_another_mode_is_refused_unless_told(packs, capsys):
    quick = run(150)
    quick.facts("settings")["quick"] = True
    standard = run()
    standard.facts("settings")["mode"] = "standard"
    a, b, c = packs("a", run()), packs("b", quick), packs("c", standard)
    assert main(["diff", a, b]) == 2
    assert "A is a full run and B a quick run" in capsys.readouterr().out
    assert main(["diff", a, c]) == 2
    assert main(["diff", a, b, "--across-modes"]) == 1
    assert "note: A is a full run and B a quick run" in capsys.readouterr().out


def test_the_summary_comes_first_and_is_short(packs, capsys):
    slower = pack_of(runtime=[row for n in range(30) for row in times("add", n + 1, {"eager": 200, "cpp": 100}, 0.01)])
    for row in slower.rows("runtime")[1::6]:
        row["status"] = "failed correctness"
    faster = pack_of(runtime=[row for n in range(30) for row in times("add", n + 1, {"eager": 200, "cpp": 100}, 0.01)])
    assert main(["diff", packs("a", faster), packs("b", slower)]) == 1
    lines = capsys.readouterr().out.splitlines()
    summary = lines[: next(i for i, line in enumerate(lines) if line.startswith("regression: "))]
    assert lines[0] == "10 regressions, 0 better, 0 changed without being better or worse"
    assert 5 <= len(summary) <= 10
    assert summary[-1].startswith("the same in both: claims 21 of 21")


def test_markdown_is_a_comment_whose_table_is_whole(packs, capsys):
    before, after = run(), run(150)
    for pack in (before, after):
        for row in pack.rows("runtime"):
            row["sample"] = "a|b `c` <d>"
    assert main(["diff", packs("a", before), packs("b", after), "--markdown"]) == 1
    comment = capsys.readouterr().out
    assert comment.startswith("**1 regression, ")
    table = [line for line in comment.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in table)
    assert "<d>" not in comment


def test_json(packs, capsys):
    a, b = packs("a", run()), packs("b", run(150))
    assert main(["diff", a, b, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["regressions"] == 1
    assert result["changes"][0]["what"] == "add cpp cpu float32 4000000 call"
    assert result["changes"][0]["factor"] == pytest.approx(2 / 3, rel=0.01)
    assert result["ratio_intervals"] == {"common": 1, "overlapping": 0, "share": 0.0}
    assert result["same_words"]["claims"] == {"same": 21, "of": 21}


def test_a_pack_that_cannot_be_read(packs, tmp_path, capsys):
    assert main(["diff", packs("a", run()), str(tmp_path / "absent")]) == 2
    assert "does not exist" in capsys.readouterr().out
    old = tmp_path / "old"
    old.mkdir()
    (old / "pack.json").write_text('{"schema_version": 2}')
    assert main(["diff", packs("a", run()), str(old)]) == 2
    assert "schema_version is 2, expected 3 to 4" in capsys.readouterr().out


def test_report_refuses_bad_weights_before_it_writes(packs, tmp_path, capsys):
    folder = packs("a", run())
    before = (tmp_path / "a" / PACK_FILE).read_bytes()
    (tmp_path / "w.toml").write_text("clip = 3.0\n[cpu]\nluck = 1\n")
    assert main(["report", folder, "--weights", str(tmp_path / "w.toml")]) == 2
    assert "cpu.luck is no criterion" in capsys.readouterr().out
    assert (tmp_path / "a" / PACK_FILE).read_bytes() == before
