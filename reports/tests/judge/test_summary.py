"""The summary of a pack: every sentence is carried by rows, whatever was measured and whoever is ahead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.pack import Pack, read_pack
from evidence.judge.conclude import conclude
from evidence.judge.summary import Summary, conclusion, lines, summary
from few_rows import call, checks, code, emulated, fault, pack_of, stage, target, times

PACKS = Path(__file__).parents[2] / "packs"
GOOD = [checks("cpp"), checks("mojo_aot")]
LARGE = 4_000_000


def concluded(pack: Pack) -> Summary:
    conclude(pack)
    return summary(pack)


def speeds(
    mojo: float, eager: float = 200.0, ops: int = 12, wide: float = 0.01, engine: float = 0, **more: float
) -> Pack:
    """C++ in 100 us and Mojo in `mojo`, in the engine in `engine`, on ops that differ by a few percent."""
    rows = []
    for number in range(ops):
        varied = mojo * (1 + 0.01 * (number % 3 - 1))
        us = {"eager": eager, "cpp": 100.0, "mojo_aot": varied, **({"mojo": engine} if engine else {}), **more}
        rows += times(f"op{number}", LARGE, us, wide)
    return pack_of(runtime=rows, correctness=GOOD)


def sentence(pack: Pack, topic: str = "CPU") -> str:
    return next(str(overview) for overview in concluded(pack).sentences if overview.topic == topic)


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
            "op0, 1 row: C++ faster in 0, Mojo in 1, equal in 0, too close to call in 0; one op says",
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
    overview = concluded(pack_of(runtime=rows, correctness=[checks("cpp")]))
    assert str(overview.sentences[0]) == (
        "CPU: run time of both sides not measured; C++ beats PyTorch on 1 of 1 op (eager; torch.compile not timed)."
    )
    assert all(answer.strength == "not measured" for answer in overview.decisions)


def test_an_empty_pack_says_that_nothing_was_measured():
    overview = concluded(pack_of())
    assert [str(each) for each in overview.sentences] == [
        "CPU: run time of both sides not measured.", "Building, code and mistakes were not measured.",
        "GPU: not timed.",
    ]  # fmt: skip
    assert not overview.figures
    assert not overview.moves
    assert not overview.leaves


def test_gpu_rows_are_timed_and_never_those_of_the_cpu():
    rows = speeds(100.0).rows("runtime")
    on_gpu = [row | {"device": "cuda", "route": row["route"].replace("mojo_aot", "mojo")} for row in rows]
    for row in on_gpu:
        if row["route"] == "mojo":
            row["median_us"] *= 2
            row.update({name: value / 2 for name, value in row.items() if name.startswith("ratio_to_cpp") and value})
    overview = concluded(pack_of(runtime=[*rows, *on_gpu], correctness=GOOD))
    cpu, _, gpu = map(str, overview.sentences)
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
    overview = sentence(pack_of(build=built, faults=faults, code=sizes), "work")
    assert "C++ builds faster (edit to result 5.00\u00a0s against 12.0\u00a0s)" in overview
    assert "both need about as much code of all ops for CPU and GPU (900 against 910 tokens)" in overview
    assert "Mojo catches more of 4 planted mistakes at compile time (4 against 0; by the end of" in overview


def test_moves_are_sorted_by_gain_and_what_does_not_pay_is_left():
    rows = []
    for op, us in {"slow": 250.0, "fast": 20.0, "middle": 100.0, "same": 199.0}.items():
        rows += times(op, LARGE, {"eager": 200.0, "cpp": us, "mojo_aot": us}, 0.01)
    overview = concluded(pack_of(runtime=rows, correctness=GOOD))
    assert [move.op for move in overview.moves] == ["fast", "middle"]
    assert {move.op for move in overview.leaves} == {"slow", "same"}
    assert overview.moves[0].gain.mid == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_no_sentence_holds_the_score(name):
    """A mean of seconds, megabytes and lines reads like a speed, so it stands in the details only."""
    pack = read_pack(PACKS / name)
    overview = concluded(pack)
    whole = " ".join([*lines(overview, 10_000), *(answer.sentence for answer in overview.decisions)])
    scores = re.compile(r"[Ss]core|[Ww]eighted|favoured by")
    assert not scores.search(whole)
    for answer in overview.decisions:
        assert answer.outcomes or answer.strength == "not measured"
        assert conclusion(answer) in {"tie", "clear", "not measured"} or re.fullmatch(
            r"(C\+\+|Mojo) \((clear|slight)\)", conclusion(answer)
        )


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_every_clause_leads_to_rows_of_the_pack(name):
    pack = read_pack(PACKS / name)
    overview = concluded(pack)
    for clause in (clause for each in overview.sentences for clause in each.clauses):
        for pointer in clause.rows:
            _, table, _, index = pointer.split("/")
            assert len(pack.rows(table)) > int(index), clause.text


def test_the_text_fits_the_width_and_prints_every_part():
    pack = read_pack(PACKS / "amd-epyc-zen4-2c")
    overview = concluded(pack)
    printed = lines(overview, 100)
    assert max(map(len, printed)) <= 100
    assert len(printed) <= 30
    assert [line.split(":")[0] for line in printed if re.match(r"CPU|GPU|Move|Leave|Decisions", line)] == [
        "CPU", "GPU", "Move", "Leave", "Decisions",
    ]  # fmt: skip
    assert json.dumps(printed)


def test_strength_is_slight_where_one_weight_turns_the_answer():
    overview = concluded(pack_of(dispatch=[call("cpp", 2.0), call("mojo_aot", 2.0)], correctness=GOOD))
    assert {answer.strength for answer in overview.decisions} <= {"clear", "slight", "tie", "not measured"}


# combinations that a reader could be misled by


def test_the_engine_is_told_apart_from_the_shared_library():
    slow = sentence(speeds(100.0, engine=300.0))
    assert "(speed of Mojo as a shared library −" in slow
    assert "in the MAX engine Mojo takes 3.00× as long" in slow
    assert "in the MAX engine Mojo runs 2.00×" in sentence(speeds(100.0, engine=50.0))
    assert "in the MAX engine Mojo runs equally fast within" in sentence(speeds(100.0, engine=100.0))
    assert "engine" not in sentence(speeds(100.0))


def test_the_baseline_is_named_where_compile_was_not_timed_everywhere():
    assert "(eager; torch.compile not timed)" in sentence(speeds(100.0))
    assert "torch.compile" not in sentence(speeds(100.0, compile=500.0))
    rows_of_ops = speeds(100.0, compile=500.0).rows("runtime")[:-4]
    rows_of_ops += times("op11", LARGE, {"eager": 200.0, "cpp": 100.0, "mojo_aot": 100.0})
    assert "(torch.compile timed on 11 of 12 rows)" in sentence(pack_of(runtime=rows_of_ops, correctness=GOOD))


def test_wrong_results_come_before_speed():
    pack = pack_of(runtime=speeds(100.0).rows("runtime"), correctness=[checks("cpp"), checks("mojo_aot", 3, passed=17)])
    assert sentence(pack).startswith("CPU: wrong results: Mojo fails 3 of 20 checks; both run equally fast")
    answers = {answer.id: answer for answer in concluded(pack).decisions}
    assert answers["cpu"].favours == "cpp"
    assert answers["cpu"].sentence.startswith("C++: Mojo does not meet “results are right”")


def test_a_target_without_a_toolchain_is_no_failure_of_a_side():
    rows = [target("cpp", "sm_90"), target("cpp", "gfx942", "no tool chain"), target("cpp", "gfx90a", "failed")]
    rows += [target("mojo", name) for name in ("sm_90", "gfx942", "gfx90a")]
    gpu = sentence(pack_of(targets=rows), "GPU")
    assert gpu.startswith("GPU: not timed; built for NVIDIA and AMD targets, not run: ")
    assert "C++ for 1 of 3 (1 fail, 1 without a toolchain here), Mojo for 3 of 3" in gpu


def test_timed_emulated_and_built_are_three_lines_of_the_costs():
    on_gpu = times("add", LARGE, {"eager": 2.0, "cpp": 1.0, "mojo": 1.0}, device="cuda")
    pack = pack_of(runtime=on_gpu, gpu=[emulated("cpp"), emulated("mojo", wrong=1)], targets=[target("cpp", "sm_90")])
    costs = {figure.name: figure.values for figure in concluded(pack).costs}
    assert costs["GPU, timed"] == {"cpp": "1 row", "mojo": "1 row"}
    assert costs["GPU, emulated"] == {"cpp": "1 of 1 op right", "mojo": "0 of 1 op right"}
    assert costs["GPU, built only"] == {"cpp": "NVIDIA 1 of 1 target"}


def test_what_a_wrong_line_costs_counts_each_mistake_once():
    places = ("compile", "call", "sanitizer", "silent", "crash")
    rows = [fault(place, side, place) for place in places for side in ("cpp", "mojo_aot")]
    costs = {figure.name: figure.values for figure in concluded(pack_of(faults=rows)).costs}
    counts = [
        values["cpp"] for name, values in costs.items() if name.startswith("A wrong line: ") and "time to" not in name
    ]
    assert counts == ["1 of 5", "1 of 5", "1 of 5", "2 of 5"]
    assert costs["A wrong line: median time to its error"]["mojo_aot"] == "1.00\u00a0s"


def test_an_op_that_pays_at_some_sizes_is_neither_moved_nor_left():
    rows = []
    for number, us in enumerate((20.0, 20.0, 200.0, 200.0)):
        rows += times("mixed", LARGE, {"eager": 200.0, "cpp": us, "mojo_aot": us}, sample=f"sample {number}")
    overview = concluded(pack_of(runtime=rows, correctness=GOOD))
    assert [move.op for move in overview.depends] == ["mixed"]
    assert not overview.moves
    assert not overview.leaves
    assert any(line.startswith("Depends on size and dtype: mixed 3.2× (1–10)") for line in lines(overview))


def test_speed_by_time_stands_beside_the_plain_mean():
    fast = times("rope", 4096, {"eager": 100.0, "cpp": 10.0, "mojo_aot": 20.0}, sample="decode, 1x4096")
    slow = times("rms_norm", 4096, {"eager": 100.0, "cpp": 100.0, "mojo_aot": 50.0}, sample="decode, 1x4096")
    common = {"model": "tiny", "dtype": "float32", "stage": "original", "route": "original", "kind": "share"}
    shares = [
        common | {"phase": "decode", "batch": 1, "op": op, "share": share, "places": 2}
        for op, share in {"rope": 0.1, "rms_norm": 0.3, "attention": 0.5}.items()
    ]
    rows = {"runtime": [*fast, *slow], "correctness": GOOD}
    overview = concluded(pack_of(models=shares, **rows))
    costs = {figure.name: figure.values for figure in overview.costs}
    values = costs["Speed relative to eager by time in a model: decode"]
    assert values == {"cpp": "1.3–1.3×, 40–40% of time", "mojo_aot": "2.4–2.4×, 40–40% of time"}
    plain = {figure.name: figure.values for figure in overview.figures}["Speed relative to PyTorch, mean"]
    assert plain == {"cpp": "3.16×", "mojo_aot": "3.16×"}
    without = {figure.name for figure in concluded(pack_of(**rows)).costs}
    assert not any("by time" in name for name in without)


def test_a_pack_of_an_earlier_release_is_judged_again():
    pack = read_pack(PACKS / "amd-epyc-zen4-2c")
    before = [answer.sentence for answer in summary(pack).decisions]
    assert before == [answer.sentence for answer in concluded(pack).decisions]
    assert all(sentence.startswith(("C++", "Mojo", "Tie", "Not measured", "Neither")) for sentence in before)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.96, 1.127, "−4 to +13%"),
        (1.0, 1.1, "0 to +10%"),
        (0.997, 1.0, "−0.3 to 0.0%"),
        (0.5, 0.75, "−50 to −25%"),
    ],
)
def test_an_interval_near_one_in_percent(low, high, expected):
    assert text.percents(Interval(1.0, low, high)) == expected


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_no_interval_beside_equality_reaches_beyond_its_margin(name):
    """“Equal within 10% (Mojo −2 to +11%)” reads as a contradiction."""
    overview = concluded(read_pack(PACKS / name))
    printed = [
        *(str(each) for each in overview.sentences),
        *(outcome for each in overview.decisions for outcome in each.outcomes),
    ]
    for margin, low, high in re.findall(r"within (\d+)%[^;]*?([+−]?[\d.]+) to ([+−]?[\d.]+)%", "; ".join(printed)):
        assert all(abs(float(end.replace("−", "-"))) <= float(margin) for end in (low, high))


@pytest.mark.parametrize(
    ("mojo", "start"),
    [
        (100.0, "Tie: equal in"),
        (400.0, "C++: better in run time of large tensors (4.00×, 3.98 to 4.02) and cost of a call (2.0"),
        (25.0, "Mojo: better in run time of large tensors (4.00×, 3.98 to 4.02) and cost of a call (0.5"),
    ],
)
def test_an_answer_begins_with_its_conclusion(mojo, start):
    calls = [call("cpp", 2.0), call("mojo_aot", 2.0 * mojo / 100)]
    pack = pack_of(runtime=speeds(mojo).rows("runtime"), dispatch=calls, correctness=GOOD)
    weights = {"cpu": {"run_large": 3, "dispatch": 1}}
    pack.facts("settings")["weights"] = {"clip": 3.0} | weights
    (answer,) = concluded(pack).decisions
    assert answer.sentence.startswith(start)
