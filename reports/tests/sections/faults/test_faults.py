"""The fault corpus: its files fit, the ladder classifies, processes end, and the correct op passes for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from evidence.core.child import Children, Finished
from evidence.core.pack import PARTIAL, check, empty_pack
from evidence.sections.faults import ladder as faults
from evidence.sections.faults import measure as faults_stage
from evidence.sections.faults import messages
from evidence.sections.faults.build import ADDRESS, ASSERTIONS, SHIPPED, THREAD, Missing, tools_for
from evidence.sections.faults.corpus import BASES, CORRECT, CorpusError, Edited, Fault, base, read_corpus, read_fault
from evidence.sections.faults.ladder import Climbed, Ladder, Step, called, row, self_check, try_fault
from evidence.sections.faults.readings import faults as read_faults
from evidence.sections.faults.readings import summary
from evidence.sections.faults.row import FaultRow

CORPUS = read_corpus()
ASKED = {
    "wrong_dtype", "wrong_rank", "read_past_end", "write_past_end", "forgotten_tail", "race", "uninitialised_output",
    "index_32", "misspelt_name", "wrong_argument_count", "missing_registration", "exception_in_kernel",
}  # fmt: skip


def fault(**changed: object) -> Fault:
    defaults = {
        "name": "one", "title": "One", "kind": "memory", "mistake": "m", "call": "pick(x, rows, 2.0)", "want": "",
        "repeat": 1, "sides": {"cpp": Edited()},
    }  # fmt: skip
    return Fault(**{**defaults, **changed})  # type: ignore[arg-type]


def test_the_registration_of_mojo_aot_loads_without_the_engine():
    code = "import sys; from evidence.sections.faults.child import mojo_native; mojo_native().register; "
    code += "assert not {'max', 'mojo_ops'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_corpus_has_the_mistakes_that_were_asked_for_on_both_sides():
    by_name = {mistake.name: mistake for mistake in CORPUS}
    assert by_name.keys() >= ASKED
    for name in ASKED:
        assert {"cpp", "mojo_aot"} <= by_name[name].sides.keys(), name


@pytest.mark.parametrize(
    ("mistake", "side"), [(mistake, side) for mistake in CORPUS for side in mistake.sides], ids=str
)
def test_every_edit_applies_and_changes_something(mistake, side):
    wrong = mistake.source(side)
    assert (wrong != base(side)) == bool(mistake.sides[side].edits)
    assert mistake.diff(side) or mistake.name in (
        "caller_argument_count",
        "none_tensor",
        "wrong_dtype",
        "wrong_rank",
        "scalar_type",
    )
    changed = [line for line in mistake.diff(side).splitlines() if line[0] in "+-"]
    assert len(changed) <= 20, "a mistake is a small edit"


def test_an_edit_that_no_longer_applies_is_a_row_that_says_so(tmp_path):
    class OnlySource(Ladder):
        def __init__(self) -> None:
            self.side = "cpp"

    broken = fault(sides={"cpp": Edited((("no such line", "x"),))})
    with pytest.raises(CorpusError, match=r"one\.toml: cpp\.edits: 'no such line' is 0 times in pick\.cpp"):
        broken.source("cpp")
    fault_row = try_fault(OnlySource(), broken, True)
    assert fault_row.caught == "did not run"
    assert "no such line" in fault_row.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "bad.toml"),
        ('title = "a"\nkind = "memory"\n[cpp]\nedits = []', "mistake"),
        ('title = "a"\nkind = "odd"\nmistake = "m"\n[cpp]\nedits = []', "kind is 'odd'"),
        ('title = "a"\nkind = "type"\nmistake = "m"\n[cpp]\nedits = [["one"]]', r"cpp\.edits"),
        ('title = "a"\nkind = "type"\nmistake = "m"\n[rust]\nedits = []', "rust"),
    ],
)
def test_a_bad_fault_file_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_fault(tmp_path / "bad.toml")


COMPILED, LOADED = Step("compile", "ok", 2.0), Step("load", "ok", 0.5)


@pytest.mark.parametrize(
    ("steps", "caught", "shipped", "seconds"),
    [
        ([Step("compile", "compile", 1.0)], "compile", "compile", 1.0),
        ([COMPILED, Step("load", "load", 1.0)], "load", "load", 3.0),
        ([COMPILED, LOADED, Step("call", "call", 1.0)], "call", "call", 3.5),
        ([COMPILED, LOADED, Step("call", "silent", 1.0)], "silent", "silent", None),
        ([COMPILED, LOADED, Step("call", "crash", 1.0)], "crash", "crash", 3.5),
        ([COMPILED, LOADED, Step("call", "no effect", 1.0)], "no effect", "no effect", None),
        ([COMPILED, LOADED, Step("call", "silent", 1.0), Step("ASan", "sanitizer", 4.0)], "sanitizer", "silent", 7.5),
        ([COMPILED, LOADED, Step("call", "crash", 1.0), Step("ASan", "crash", 4.0)], "crash", "crash", 3.5),
        ([COMPILED, LOADED, Step("call", "no effect", 1.0), Step("ASan", "sanitizer", 4.0)],
         "sanitizer", "no effect", 7.5),
        ([COMPILED, LOADED, Step("call", "silent", 1.0), Step("ASan", "did not run")], "silent", "silent", None),
        ([Step("compile", "did not run")], "did not run", "did not run", None),
    ],
)  # fmt: skip
def test_class_of_a_row(steps, caught, shipped, seconds):
    fault_row = row(fault(), "cpp", Climbed(steps))
    assert (fault_row.caught, fault_row.shipped, fault_row.seconds) == (caught, shipped, seconds)


def lines(*reports: dict, also: str = "") -> str:
    return "\n".join("@@" + json.dumps(line) for line in reports) + "\n" + also


LOAD = {"step": "load", "outcome": "ok", "seconds": 0.1}
WRONG = {"step": "call", "outcome": "silent", "message": "3 of 9 elements wrong"}
OVERFLOW = """==2==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60200000eff4 at pc 0x7f1 bp 0x7 sp 0x8
READ of size 4 at 0x60200000eff4 thread T0
    #0 0x7fc2c06e1532 in sum_of /tmp/somewhere/pick.mojo:15
"""


@pytest.mark.parametrize(
    ("output", "code", "build", "outcome", "message"),
    [
        (lines(LOAD, WRONG), 0, SHIPPED, "silent", "3 of 9 elements wrong"),
        (lines({"step": "load", "outcome": "load", "message": "no"}), 0, SHIPPED, "load", "no"),
        (lines(LOAD), -11, SHIPPED, "crash", "ended by SIGSEGV"),
        (lines(LOAD, also="free(): invalid pointer"), -6, SHIPPED, "crash", "SIGABRT: free(): invalid pointer"),
        (lines(LOAD, WRONG, also="double free"), -6, SHIPPED, "silent", "3 of 9 elements wrong"),
        (lines(LOAD), None, SHIPPED, "hang", "no end within 7 s"),
        (lines(LOAD, also=OVERFLOW), 66, ADDRESS, "sanitizer", "heap-buffer-overflow on address 0x…, in pick.mojo:15"),
        (lines(LOAD, also="==1==ERROR: AddressSanitizer: SEGV on unknown address"), 66, ADDRESS, "crash", "code 66"),
        (lines(LOAD, also="At: /a/b/pick.mojo:22:19: Assert Error: index 37 is out of bounds"), -4, ASSERTIONS,
         "sanitizer", "At: pick.mojo:22:19: Assert Error: index 37 is out of bounds"),
        (lines(LOAD, also="WARNING: ThreadSanitizer: data race (pid=7)"), 66, THREAD, "sanitizer", "data race"),
    ],
)  # fmt: skip
def test_what_a_child_said_is_classified(output, code, build, outcome, message):
    last = called(Finished(code, 7.0, output), build, "cpp")[-1]
    assert last.outcome == outcome
    assert message in (last.message or "")


@pytest.mark.parametrize(("step", "outcome"), [("load", "compile"), ("call", "call")])
def test_an_engine_that_compiles_at_the_call_refuses_there(step, outcome):
    line = {"step": step, "outcome": step, "message": "RuntimeError: Failed to compile the model. Please file an issue"}
    printed = "/a/pick.mojo:3:4: error: cannot be converted\n  note\n"
    before = [LOAD] if step == "call" else []
    last = called(Finished(0, 1.0, printed + lines(*before, line)), SHIPPED, "mojo")[-1]
    assert (last.outcome, last.by) == (outcome, "MAX graph compiler")
    assert last.message == "pick.mojo:3:4: error: cannot be converted"


def test_help_that_a_sanitizer_had_is_said():
    output = lines(LOAD, also=OVERFLOW)
    assert called(Finished(66, 1.0, output), ADDRESS, "cpp")[-1].by == "AddressSanitizer"
    assert (
        called(Finished(66, 1.0, output), ADDRESS, "mojo_aot")[-1].by
        == "AddressSanitizer, with Mojo's allocator replaced"
    )


def test_who_refused():
    assert faults.speaker("RuntimeError: pick: x has 1 dimensions", "cpp") == "the op itself"
    assert faults.speaker("NotImplementedError: Could not run 'faults::pick'", "cpp") == "PyTorch's dispatcher"
    assert faults.speaker("RuntimeError: faults::pick() is missing value for argument 'scale'", "cpp") == (
        "PyTorch's schema check"
    )


def test_messages_lose_what_belongs_to_the_machine():
    text = (
        "\x1b[1m/home/me/.venv/lib/x.py:3:\x1b[0m  ==77==at 0xdeadbeef1  /usr/include/c++/12/span:278: failed (pid=3)"
    )
    assert messages.clean(text) == "x.py:3: at 0x… span:278: failed"
    assert messages.clean("a / b, 3/4 and/or 1.0/2") == "a / b, 3/4 and/or 1.0/2"
    assert len(messages.clean("x" * 1000)) == 300


def test_first_error_of_a_compiler_and_its_warnings():
    output = (
        "In file included from a.h:\npick.cpp:3:1: warning: no return\npick.cpp:9:2: error: no\npick.cpp:10:2: error: b"
    )
    assert messages.compile_error(output) == "pick.cpp:9:2: error: no"
    assert messages.warnings(output) == ["pick.cpp:3:1: warning: no return"]


def test_quick_runs_name_what_they_leave_out(tmp_path):
    saved = []
    skipped = [mistake for mistake in CORPUS if mistake.name not in faults_stage.QUICK]
    rows = faults_stage.measure(
        skipped, ["cpp"], {}, True, tmp_path / "log", lambda _: None, lambda r, _: saved.append(r)
    )
    assert len(rows) == len(saved[-1]) == sum("cpp" in mistake.sides for mistake in skipped)
    assert {r.caught for r in rows} == {"did not run"}
    assert all("quick" in r.message for r in rows)
    assert {mistake.name for mistake in CORPUS} >= set(faults_stage.QUICK)


def test_a_side_that_did_not_build_is_rows_with_the_reason(tmp_path):
    rows = faults_stage.measure(
        CORPUS, ["cpp"], {"cpp": "no compiler"}, False, tmp_path / "log", lambda _: None, lambda *_: None
    )
    assert {r.message for r in rows} == {"did not build: no compiler"}


def test_interruption_keeps_the_rows_that_came(tmp_path, monkeypatch):
    pack = empty_pack()

    def save(rows, done):
        pack.set_rows("faults", rows, *(() if done else (PARTIAL, "interrupted")))

    def interrupted(ladder, mistake, with_tools):
        if mistake.name == "b":
            raise KeyboardInterrupt
        return faults.row(mistake, ladder.side, Climbed([Step("compile", "compile", 1.0, "no")]))

    class Nothing:
        side = "cpp"

    monkeypatch.setattr(faults_stage, "try_fault", interrupted)
    monkeypatch.setattr(faults_stage, "self_check", lambda *_: None)
    monkeypatch.setattr(faults_stage, "_ladders", lambda *_: {"cpp": Nothing()})
    monkeypatch.setattr(faults_stage, "AT_ONCE", 1)
    three = [fault(name=name) for name in "abc"]
    with pytest.raises(KeyboardInterrupt):
        faults_stage.measure(three, ["cpp"], {}, False, tmp_path / "log", lambda _: None, save)
    assert [r.fault for r in pack.table(FaultRow)] == ["a"]
    assert pack.section_status("faults") == PARTIAL
    check(pack.data)


def test_a_ladder_that_reports_the_correct_op_is_an_error(tmp_path, monkeypatch):
    class Reports(Ladder):
        def __init__(self) -> None:
            self.side = "cpp"

        def climb(self, mistake, tools):
            return Climbed([COMPILED, LOADED, Step("call", "no effect", 1.0), Step("ASan", "sanitizer", 1.0, "leak")])

    problem = self_check(Reports(), True)
    assert problem is not None
    assert "ASan: sanitizer: leak" in problem
    monkeypatch.setattr(faults_stage, "_ladders", lambda *_: {"cpp": Reports()})
    with pytest.raises(faults_stage.SelfCheckFailed, match="leak"):
        faults_stage.measure([fault()], ["cpp"], {}, False, tmp_path / "log", lambda _: None, lambda *_: None)


@pytest.mark.full
def test_the_correct_op_passes_and_a_mistake_is_found_for_real(tmp_path):
    """C++ only: a few seconds of compiling. Both run in the shipped build, the mistake with assertions too."""
    try:
        ladder = Ladder("cpp", Children(50), tmp_path / "log", tmp_path)
    except Missing as missing:
        pytest.skip(str(missing))
    assert self_check(ladder, False) is None
    (wrong,) = (mistake for mistake in CORPUS if mistake.name == "read_past_end")
    climbed = ladder.climb(wrong, (ASSERTIONS,))
    assert climbed.shipped.outcome == "silent"
    assert climbed.decided.by == "libstdc++ assertion"
    (misspelt,) = (mistake for mistake in CORPUS if mistake.name == "misspelt_name")
    assert ladder.climb(misspelt, ()).decided.outcome == "compile"


def test_the_same_tools_look_at_both_sides():
    for mistake in CORPUS:
        assert tools_for("cpp", mistake.kind) == tools_for("mojo_aot", mistake.kind) != ()
    assert set(BASES) == set(CORRECT.sides)


def test_counts_by_side_and_kind():
    pack = empty_pack()
    rows = [
        row(fault(name="a", kind="type"), "cpp", Climbed([Step("compile", "compile", 1.0)])),
        row(fault(name="b"), "cpp", Climbed([Step("call", "silent", 1.0), Step("ASan", "sanitizer", 1.0)])),
        row(fault(name="b", sides={"mojo_aot": Edited()}), "mojo_aot", Climbed([Step("call", "crash", 1.0)])),
    ]
    pack.set_rows("faults", rows)
    check(pack.data)
    assert summary(pack) == {"cpp": {"compile": 1, "sanitizer": 1}, "mojo_aot": {"crash": 1}}
    assert summary(pack, kinds=("memory",)) == {"cpp": {"sanitizer": 1}, "mojo_aot": {"crash": 1}}
    assert summary(pack, shipped=True)["cpp"] == {"compile": 1, "silent": 1}
    mistake = read_faults(pack)[1]
    assert (mistake.pointers["mojo_aot"], mistake.caught("mojo"), mistake.shipped("cpp")) == (
        "/faults/rows/2",
        "did not run",
        "silent",
    )
    assert Path(rows[0].source).parent == Path("reports/faults")


@pytest.mark.full
def test_the_correct_op_passes_on_mojo_aot(tmp_path):
    try:
        ladder = Ladder("mojo_aot", Children(50), tmp_path / "log", tmp_path)
    except Missing as missing:
        pytest.skip(str(missing))
    assert self_check(ladder, False) is None
