"""Instruction counts: from callgrind's files as it wrote them, and what rows and page say of them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from evidence.core.pack import RAN, read_pack
from evidence.core.plan import make_plan
from evidence.page.blocks import Banner, Text
from evidence.page.table import Table
from evidence.sections.instructions import callgrind, measure, page, perf
from evidence.sections.instructions.measure import IN_ITS_OWN_THREADS, Counts, is_counted, row
from few_rows import pack_of

PACKS = Path(__file__).parents[3] / "packs"
CASE = {"op": "rms_norm", "sample": "1x4096", "dtype": "float32", "elements": 4096}

# What callgrind of Valgrind 3.19 wrote of 20 calls of rms_norm in float32, 1x4096, built for x86-64-v3.
RECORDED_CALLS = 20
EMPTY, EAGER, CPP, MOJO_AOT = 19_784, 1_794_320, 477_912, 495_764
DUMP = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 27161
cmd: python /tmp/cg2.py
part: 1

desc: I1 cache:
desc: Timerange: Basic block 0 - 1073741824
desc: Trigger: Client Request

positions: line
events: Ir
summary: {total}

ob=(1) /usr/bin/python3.11
fl=(1) ???
fn=(1) _PyEval_EvalFrameDefault
0 {total}

totals: {total}
"""


@pytest.fixture(autouse=True)
def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "CALLS", RECORDED_CALLS)


def dumped(folder: Path, *totals: int) -> Path:
    """The files of a process; the last one, of its end, has no number."""
    out = folder / "callgrind-0"
    for number, total in enumerate(totals, 1):
        (folder / f"callgrind-0.{number}").write_text(DUMP.format(total=total))
    out.write_text(DUMP.format(total=0))
    return out


def line(route: str) -> dict:
    return {"case": {"op": "rms_norm", "route": route}, "count": None}


def test_a_count_is_that_of_the_calls_less_the_loop(tmp_path: Path) -> None:
    counts = Counts()
    lines = [{"begin": None}, {"case": None, "count": None}, line("eager"), line("cpp"), line("mojo_aot")]
    counts.add(lines, callgrind.counts(dumped(tmp_path, EMPTY, EAGER, CPP, MOJO_AOT)))
    assert counts.instructions["rms_norm", "cpp"] == [(CPP - EMPTY) / RECORDED_CALLS]
    assert counts.instructions["rms_norm", "mojo_aot"] == [(MOJO_AOT - EMPTY) / RECORDED_CALLS]


def test_dumps_are_read_in_their_order(tmp_path: Path) -> None:
    assert callgrind.counts(dumped(tmp_path, *range(100, 112))) == list(range(100, 112))


def test_a_route_that_raises_has_no_dump(tmp_path: Path) -> None:
    counts = Counts()
    failed = {"case": {"op": "rms_norm", "route": "cpp"}, "error": "ImportError: no library"}
    lines = [{"case": None, "count": None}, failed, line("mojo_aot")]
    counts.add(lines, callgrind.counts(dumped(tmp_path, EMPTY, MOJO_AOT)))
    assert counts.instructions["rms_norm", "mojo_aot"] == [(MOJO_AOT - EMPTY) / RECORDED_CALLS]
    assert row(CASE, "cpp", counts, "callgrind", {}).message == "ImportError: no library"


def test_processes_that_agree_repeat() -> None:
    counts = Counts()
    counts.instructions["rms_norm", "cpp"] = [22_906.0, 22_573.0 * 1.01]
    agreed = row(CASE, "cpp", counts, "callgrind", {})
    assert agreed.repeats is True
    assert agreed.message is None
    counts.instructions["rms_norm", "cpp"] = [22_906.0, 24_000.0]
    differing = row(CASE, "cpp", counts, "callgrind", {})
    assert differing.repeats is False
    assert differing.message == "2 processes differ by 4.8%, more than 1%"


def test_a_row_without_a_count_says_why() -> None:
    engine = row(CASE, "mojo", Counts(), "callgrind", {})
    assert (engine.instructions, engine.message) == (None, IN_ITS_OWN_THREADS)
    gated = row(CASE, "cpp", Counts(), "callgrind", {"cpp": ("failed correctness", "wrong by 3")})
    assert gated.message == "wrong by 3"
    missing = row(CASE, "cpp", Counts(), "callgrind", {})
    assert missing.message == "the process did not reach it"
    assert not is_counted({"route": "cpp", "instructions": None})
    assert is_counted({"route": "mojo", "instructions": None})


# What the process printed when a build for this CPU met an instruction that Valgrind 3.19 does not know.
ILLEGAL = """\
==27852== Process terminating with default action of signal 4 (SIGILL)
==27852==  Illegal opcode at address 0x36A87080
==27852==    at 0x36A87080: mojo_ops_set_engine (in libmojo_ops.so)
"""


def test_a_build_with_avx512_is_named_as_the_reason() -> None:
    assert "x86-64-v3" in callgrind.crash(-4, ILLEGAL)
    assert callgrind.crash(1, "ImportError: no torch\n") == (
        "the process under callgrind ended with 1: ImportError: no torch"
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOENT, "virtual machines often have none"),
        (errno.EACCES, "perf_event_paranoid"),
        (errno.EMFILE, "perf_event_open"),
    ],
)
def test_perf_says_why_it_cannot_count(number: int, reason: str) -> None:
    assert reason in perf.explained(number)


def test_the_tool_is_perf_then_callgrind_in_a_full_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = {mode: make_plan("rms_norm", "", "cpu", mode) for mode in ("standard", "full")}
    monkeypatch.setattr(measure, "Counter", lambda: None)
    assert measure.choose(plans["standard"]) == ("perf", "")

    def unavailable() -> None:
        raise perf.Unavailable("no counter")

    monkeypatch.setattr(measure, "Counter", unavailable)
    monkeypatch.setattr(measure.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert measure.choose(plans["full"]) == ("callgrind", "no counter")
    tool, why = measure.choose(plans["standard"])
    assert tool is None
    assert why.startswith("no counter; callgrind could count")
    monkeypatch.setattr(measure.shutil, "which", lambda name: None)
    assert measure.choose(plans["full"])[1].endswith("is not installed")


def test_cases_are_small() -> None:
    cases = measure.cases_of(make_plan("", "", "cpu", "standard"))
    assert {case["op"] for case in cases} >= {"add", "rms_norm", "softmax"}
    assert all(case["elements"] <= 65_536 for case in cases)


def test_the_page_compares_the_sides_and_shows_every_count() -> None:
    counts = Counts()
    for route, total in (("eager", EAGER), ("cpp", CPP), ("mojo_aot", MOJO_AOT)):
        counts.instructions["rms_norm", route] = [(total - EMPTY) / RECORDED_CALLS] * 2
    pack = pack_of()
    pack.set_rows("instructions", [row(CASE, route, counts, "callgrind", {})
                                   for route in ("eager", "cpp", "mojo_aot", "mojo")], RAN)  # fmt: skip
    finding, table, absent, _ = page.content(pack)
    assert isinstance(absent, Text)
    assert str(absent.text) == f"Not available. mojo: {IN_ITS_OWN_THREADS}."
    assert isinstance(finding, Text)
    assert "1.04×" in str(finding.text)
    assert isinstance(table, Table)
    (only,) = table.rows
    assert [cell.text for cell in only.cells[2:]] == ["88,727", "22,906", "not available", "23,799"]


@pytest.mark.parametrize("folder", sorted(PACKS.iterdir()), ids=lambda folder: folder.name)
def test_packs_of_earlier_releases_say_that_nothing_was_counted(folder: Path) -> None:
    (only,) = page.content(read_pack(folder))
    assert isinstance(only, Banner)
