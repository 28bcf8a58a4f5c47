"""The summary of a pack: every sentence is carried by rows, whatever was measured and whoever is ahead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from evidence.core.pack import Pack, read_pack
from evidence.judge.conclude import conclude
from evidence.judge.summary import Summary, conclusion, lines, summary
from few_rows import call, checks, code, fault, pack_of, stage, times

PACKS = Path(__file__).parents[2] / "packs"
GOOD = [checks("cpp"), checks("mojo_aot")]
LARGE = 4_000_000


def concluded(pack: Pack) -> Summary:
    conclude(pack)
    return summary(pack)


def speeds(mojo: float, eager: float = 200.0, ops: int = 12, wide: float = 0.01, **more: float) -> Pack:
    """C++ in 100 us and Mojo in `mojo`, on ops that differ by a few percent."""
    rows = []
    for number in range(ops):
        varied = mojo * (1 + 0.01 * (number % 3 - 1))
        us = {"eager": eager, "cpp": 100.0, "mojo_aot": varied, **more}
        rows += times(f"op{number}", LARGE, us, wide)
    return pack_of(runtime=rows, correctness=GOOD)


def sentence(pack: Pack, topic: str = "CPU") -> str:
    return next(str(said) for said in concluded(pack).sentences if said.topic == topic)


@pytest.mark.parametrize(
    ("pack", "expected"),
    [
        (speeds(100.0), "both run equally fast within 2%"),
        (speeds(104.0), "both run equally fast within 5%"),
        (speeds(108.0), "C++ runs 1.08× as fast"),
        (speeds(50.0), "Mojo runs 2.00× as fast"),
        (speeds(200.0), "C++ runs 2.00× as fast"),
        (speeds(100.0, wide=0.9), "too close to call"),
        (
            speeds(50.0, ops=1),
            "op0, 1 row: C++ faster in 0, Mojo in 1, no difference shown in 0; one op says",
        ),
    ],
)
def test_the_sides_are_ahead_equal_or_too_close_to_call(pack, expected):
    assert expected in sentence(pack)


@pytest.mark.parametrize(
    ("pack", "expected"),
    [
        (speeds(100.0), "both beat PyTorch on 12 of 12 ops"),
        (speeds(190.0, eager=150.0), "C++ beats PyTorch on 12 and Mojo beats PyTorch on 0 of 12 ops"),
        (speeds(100.0, eager=90.0), "both beat PyTorch on 0 of 12 ops"),
        (speeds(100.0, compile=50.0), "both beat PyTorch on 0 of 12 ops"),
    ],
)
def test_pytorch_is_the_faster_of_eager_and_compile(pack, expected):
    assert expected in sentence(pack)


def test_a_pack_of_one_side_compares_nothing():
    rows = times("add", LARGE, {"eager": 200, "cpp": 100})
    said = concluded(pack_of(runtime=rows, correctness=[checks("cpp")]))
    assert str(said.sentences[0]) == (
        "CPU: run time of both sides not measured; C++ beats PyTorch on 1 of 1 op (eager; torch.compile not timed)."
    )
    assert all(answer.strength == "not measured" for answer in said.decisions)


def test_an_empty_pack_says_that_nothing_was_measured():
    said = concluded(pack_of())
    assert [str(each) for each in said.sentences] == [
        "CPU: run time of both sides not measured.", "Building, code and mistakes were not measured.",
        "GPU: not timed.",
    ]  # fmt: skip
    assert not said.figures
    assert not said.moves
    assert not said.leaves


def test_gpu_rows_are_timed_and_never_those_of_the_cpu():
    rows = speeds(100.0).rows("runtime")
    on_gpu = [row | {"device": "cuda", "route": row["route"].replace("mojo_aot", "mojo")} for row in rows]
    for row in on_gpu:
        if row["route"] == "mojo":
            row["median_us"] *= 2
            row.update({name: value / 2 for name, value in row.items() if name.startswith("ratio_to_cpp") and value})
    said = concluded(pack_of(runtime=[*rows, *on_gpu], correctness=GOOD))
    cpu, _, gpu = map(str, said.sentences)
    assert "both run equally fast" in cpu
    assert "C++ runs 2.00× as fast" in gpu
    assert "not timed" not in gpu


def test_work_names_both_figures_and_the_side_that_is_ahead():
    faults = [fault(f"f{n}", "mojo_aot", "compile") for n in range(4)] + [
        fault(f"f{n}", "cpp", "silent") for n in range(4)
    ]
    built = [stage("cpp", "edit", 5.0), stage("mojo_aot", "edit", 12.0)]
    sizes = [
        code("cpp", "kernel", 100, tokens=900, gzip_bytes=900),
        code("mojo_aot", "kernel", 100, tokens=910, gzip_bytes=905),
    ]
    said = sentence(pack_of(build=built, faults=faults, code=sizes), "work")
    assert "C++ builds faster (edit to result 5.00\u00a0s against 12.0\u00a0s)" in said
    assert "both need about as much code of all ops for CPU and GPU (900 against 910 tokens)" in said
    assert "Mojo catches more of 4 planted mistakes at compile time (4 against 0; by the end of" in said


def test_moves_are_sorted_by_gain_and_what_does_not_pay_is_left():
    rows = []
    for op, us in {"slow": 250.0, "fast": 20.0, "middle": 100.0, "same": 199.0}.items():
        rows += times(op, LARGE, {"eager": 200.0, "cpp": us, "mojo_aot": us}, 0.01)
    said = concluded(pack_of(runtime=rows, correctness=GOOD))
    assert [move.op for move in said.moves] == ["fast", "middle"]
    assert {move.op for move in said.leaves} == {"slow", "same"}
    assert said.moves[0].gain.mid == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_no_sentence_holds_the_score(name):
    """A mean of seconds, megabytes and lines reads like a speed, so it stands in the details only."""
    pack = read_pack(PACKS / name)
    said = concluded(pack)
    whole = " ".join([*lines(said, 10_000), *(answer.sentence for answer in said.decisions)])
    scores = re.compile(r"[Ss]core|[Ww]eighted|favoured by")
    assert not scores.search(whole)
    for answer in said.decisions:
        assert answer.outcomes or answer.strength == "not measured"
        assert conclusion(answer) in {"tie", "clear", "not measured"} or re.fullmatch(
            r"(C\+\+|Mojo) \((clear|slight)\)", conclusion(answer)
        )


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_every_clause_leads_to_rows_of_the_pack(name):
    pack = read_pack(PACKS / name)
    said = concluded(pack)
    for clause in (clause for each in said.sentences for clause in each.clauses):
        for pointer in clause.rows:
            _, table, _, index = pointer.split("/")
            assert len(pack.rows(table)) > int(index), clause.text


def test_the_text_fits_the_width_and_prints_every_part():
    pack = read_pack(PACKS / "amd-epyc-zen4-2c")
    said = concluded(pack)
    told = lines(said, 100)
    assert max(map(len, told)) <= 100
    assert len(told) <= 30
    assert [line.split(":")[0] for line in told if re.match(r"CPU|GPU|Move|Leave|Decisions", line)] == [
        "CPU", "GPU", "Move", "Leave", "Decisions",
    ]  # fmt: skip
    assert json.dumps(told)


def test_strength_is_slight_where_one_weight_turns_the_answer():
    said = concluded(pack_of(dispatch=[call("cpp", 2.0), call("mojo_aot", 2.0)], correctness=GOOD))
    assert {answer.strength for answer in said.decisions} <= {"clear", "slight", "tie", "not measured"}
