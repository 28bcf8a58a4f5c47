"""The decisions: weights are read strictly, criteria are weighed with their uncertainty, requirements come first."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from evidence.core.interval import Interval
from evidence.core.pack import Pack, check
from evidence.core.thresholds import CONFIDENCE
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.conclude import conclude
from evidence.judge.criteria import Measured, criteria, share_ratio
from evidence.judge.decisions import FAVOURED, NEITHER, SLIGHTLY, decisions, flip_words
from evidence.judge.gates import gate, gates
from evidence.judge.losses import losses
from evidence.judge.questions import QUESTIONS
from evidence.judge.scope import Scope
from evidence.judge.weighing import Part, counted, flips, moved, weigh
from evidence.judge.weights import WEIGHTS_FILE, Weight, Weights, WeightsError, check_weights, read_weights
from evidence.sections.runtime.cases import called, cases, headline
from evidence.sections.runtime.judge import over_ops
from few_rows import (
    call,
    checks,
    code,
    fault,
    feature,
    pack_of,
    package,
    stage,
    target,
    times,
    upgraded,
)
from scipy.stats.contingency import relative_risk
from synthetic_full import full_pack

LARGE = 4_000_000
OPS = ("add", "gelu_tanh", "rms_norm", "rope")
GOOD = [checks("cpp"), checks("mojo_aot")]
MB = 1_000_000


def weighted(question: str = "cpu", clip: float = 3.0, **weights: float) -> Weights:
    """The weights of one question; every other one weighs the call alone."""
    of = {name: {"dispatch": Weight(1.0)} for name in QUESTIONS}
    return Weights(clip, of | {question: {name: Weight(value) for name, value in weights.items()}})


def decided(pack: Pack, question: str = "cpu", **weights: float) -> dict:
    rows = decisions(pack, weighted(question, **weights))
    return next(row for row in rows if row.id == question)


def race(mojo_us: float, elements: int = LARGE, wide: float = 0.01):
    chance = random.Random(3)
    return [
        row
        for op in OPS
        for row in times(
            op, elements, {"eager": 200, "cpp": 100, "mojo_aot": mojo_us * chance.uniform(0.97, 1.03)}, wide
        )
    ]


# weights


def test_the_weights_of_the_checkout_are_valid_and_give_reasons():
    weights = read_weights()
    assert set(weights.of) == set(QUESTIONS)
    assert weights.clip > 1
    assert all(weight.why for by_criterion in weights.of.values() for weight in by_criterion.values())


def toml(tmp_path, change: tuple[str, str]):
    source = WEIGHTS_FILE.read_text()
    assert change[0] in source
    file = tmp_path / "mine.toml"
    file.write_text(source.replace(*change, 1))
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[small]", "[smal]"), "smal is no question, expected one of cpu, nvidia"),
        (("[cpu]\nrun_large", "[cpu]\nrun_huge"), "cpu.run_huge is no criterion, expected one of run_large"),
        (("weight = 3,", "weight = -1,"), "cpu.run_large is -1, expected a number of 0 or more"),
        (("weight = 3,", "weight = nan,"), "cpu.run_large is nan, expected a number of 0 or more"),
        (("weight = 3,", 'weight = "3",'), "cpu.run_large is '3', expected a number of 0 or more"),
        (("weight = 3,", "wait = 3,"), "cpu.run_large has wait, expected weight and why"),
        (("clip = 3.0", "clip = 1.0"), "clip is 1, expected a number above 1"),
        (("clip = 3.0", ""), "clip is missing, expected a number above 1"),
        (("clip = 3.0", "clip = "), "is not TOML"),
    ],
)
def test_a_slip_in_the_weights_names_file_key_value_and_expectation(tmp_path, change, message):
    file = toml(tmp_path, change)
    with pytest.raises(WeightsError) as error:
        read_weights(file)
    assert str(file) in str(error.value)
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.toml does not exist"):
        read_weights(tmp_path / "absent.toml")


def test_a_question_without_weights():
    with pytest.raises(WeightsError, match="vendors has no weight above 0"):
        check_weights(weighted("vendors", edit=0).facts(), "x")
    facts = weighted(edit=1).facts()
    del facts["training"]
    ids = [row.id for row in decisions(pack_of(), check_weights(facts, "x"))]
    assert ids == [name for name in QUESTIONS if name != "training"]


def test_the_weights_of_the_checkout_name_criteria_that_sections_declare():
    named = {name for table in read_weights().of.values() for name in table}
    assert named <= set(criteria())


def test_a_criterion_of_a_section_that_is_gone_is_not_measured():
    facts = weighted(edit=1.0).facts()
    facts["cpu"]["energy"] = {"weight": 3.0}
    row = decisions(full(), check_weights(facts, "x"))[0]
    assert row.verdict == NOT_MEASURED
    criterion = row.criteria[-1]
    assert (criterion.id, criterion.name, criterion.factor, criterion.rows) == ("energy", "energy", None, ())
    assert criterion.message == "no section of this release measures it"
    assert "only 25% of the weight was measured" in row.evidence.lower()


def test_a_gate_of_a_section_that_is_gone_leaves_the_question_open():
    finding = gate("energy").find(Scope(full(), "cpu"), "cpp")
    assert finding.met is None
    assert "energy" in finding.evidence


def test_a_bare_number_is_a_weight_and_the_record_reads_back():
    facts = weighted(edit=2).facts()
    assert check_weights(facts, "x") == weighted(edit=2)
    facts["cpu"]["edit"] = 2
    assert check_weights(facts, "x") == weighted(edit=2)


def test_a_pack_keeps_the_weights_it_was_decided_with():
    build = [stage(route, kind, us) for kind in ("edit", "clean") for route, us in (("cpp", 5), ("mojo_aot", 10))]
    pack = pack_of(build=build, correctness=GOOD)
    conclude(pack, weighted(edit=1, clean=1))
    first = pack.rows("decisions")
    assert first[0]["favours"] == "cpp"
    conclude(pack)
    assert pack.rows("decisions") == first
    conclude(pack, weighted(dispatch=1))
    assert pack.rows("decisions")[0]["verdict"] == NOT_MEASURED
    check(pack.data)


# criteria


def measured(name: str, device: str = "cpu", **sections) -> Measured:
    return criteria()[name].measure(Scope(pack_of(**sections), device))


@pytest.mark.parametrize("name", criteria())
def test_a_criterion_without_rows_says_why(name):
    measurement = measured(name)
    assert measurement.factor is None
    assert measurement.message
    assert not measurement.rows


def test_run_time_covers_an_op_that_is_not_in_the_pack():
    def of(us: list[float]) -> Interval:
        rows = [
            row
            for op, mojo_us in zip(OPS, us, strict=True)
            for row in times(op, LARGE, {"eager": 200, "cpp": 100, "mojo_aot": mojo_us}, 0.01)
        ]
        return over_ops([duel for case in cases(pack_of(runtime=rows)) if (duel := case.duel())])

    even, uneven = of([80, 80, 80, 80]), of([40, 160, 50, 128])
    assert even.mid == pytest.approx(1.25)
    assert uneven.mid == pytest.approx(1.25, rel=0.01)
    assert even.above_one
    assert uneven.holds_one
    # a hand calculation: sd of ln(ratio) over 4 ops, Student's t of 3 degrees of freedom
    logs = [math.log(100 / us) for us in (40, 160, 50, 128)]
    mean = sum(logs) / 4
    sd = math.sqrt(sum((log - mean) ** 2 for log in logs) / 3)
    assert math.log(uneven.high / uneven.mid) == pytest.approx(3.182 * sd / 2, rel=0.01)


def test_run_time_needs_two_ops_and_quiet_rows():
    add_rows = times("add", LARGE, {"eager": 200, "cpp": 100, "mojo_aot": 50})
    assert "one op says nothing" in measured("run_large", runtime=add_rows).message
    noisy = [{**row, "noisy": True} for row in race(50)]
    assert "noisy" in measured("run_large", runtime=noisy).message
    measurement = measured("run_large", runtime=race(50))
    assert measurement.decided
    assert measurement.factor is not None
    assert measurement.factor.mid == pytest.approx(2, rel=0.03)


def test_a_gpu_question_reads_gpu_rows_of_its_vendor_only():
    rows = [{**row, "device": "cuda", "route": row["route"].replace("mojo_aot", "mojo")} for row in race(50)]
    pack = pack_of(runtime=rows)
    assert criteria()["run_large"].measure(Scope(pack, "NVIDIA")).decided
    assert criteria()["run_large"].measure(Scope(pack, "AMD")).factor is None
    pack.facts("versions")["torch_hip"] = "6.4"
    assert criteria()["run_large"].measure(Scope(pack, "NVIDIA")).factor is None
    assert criteria()["run_large"].measure(Scope(pack, "AMD")).decided


def test_a_call_must_differ_by_more_than_another_run_can_make():
    assert not measured("dispatch", dispatch=[call("cpp", 2.0), call("mojo_aot", 2.4)]).decided
    assert measured("dispatch", dispatch=[call("cpp", 2.0), call("mojo_aot", 2.7)]).decided


def test_the_library_without_max_does_not_speak_on_a_gpu():
    rows = [stage("cpp", "edit", 10), stage("mojo_aot", "edit", 5), stage("mojo", "edit", 30)]
    assert measured("edit", build=rows).factor == Interval(
        2, pytest.approx(1.92, rel=0.01), pytest.approx(2.08, rel=0.01)
    )
    gpu = measured("edit", "NVIDIA", build=rows).factor
    assert gpu is not None
    assert gpu.mid == pytest.approx(1 / 3)


def test_measures_of_code_that_disagree_decide_nothing():
    both = [code("cpp", "kernel", 100), code("mojo_aot", "kernel", 50)]
    assert measured("kernel_code", code=both).decided
    apart = [code("cpp", "kernel", 100, tokens=500), code("mojo_aot", "kernel", 50, tokens=900)]
    measurement = measured("kernel_code", code=apart)
    assert not measurement.decided
    assert measurement.factor is not None
    assert measurement.factor.low == pytest.approx(500 / 900)
    assert measurement.factor.high == pytest.approx(2)


def test_code_for_gpus_does_not_count_in_a_question_about_the_cpu():
    rows = [
        code("cpp", "kernel", 100, gpu_lines=50, gpu_tokens=450),
        code("mojo_aot", "kernel", 100, gpu_lines=0, gpu_tokens=0),
        code("mojo", "kernel", 50, gpu_lines=0, gpu_tokens=0),
    ]
    on_cpu, everywhere = (measured("kernel_code", device, code=rows).factor for device in ("cpu", "NVIDIA"))
    assert on_cpu is not None
    assert everywhere is not None
    assert on_cpu.mid == pytest.approx(0.5)
    assert everywhere.mid == pytest.approx(2)


def test_cuda_is_no_skill_for_the_cpu():
    rows = [
        code(
            "cpp", "glue", 9, languages=["C++", "CUDA", "Python"], api_names=["at::Tensor", "cudaStream_t", "blockIdx"]
        ),
        code("mojo_aot", "glue", 9, languages=["Mojo", "Python"], api_names=["torch.library"]),
        code("mojo", "glue", 9, languages=["Mojo", "Python"], api_names=["torch.library"]),
    ]
    assert measured("skills", code=rows).factor == Interval(1, 1, 1)
    on_gpu = measured("skills", "NVIDIA", code=rows).factor
    assert on_gpu is not None
    assert on_gpu.high == pytest.approx(3)


def test_katz_interval_against_a_hand_calculation_and_scipy():
    ratio = share_ratio(4, 8, 12)
    half = 1.95996 * math.sqrt(1 / 8 - 1 / 12 + 1 / 4 - 1 / 12)
    assert ratio.mid == pytest.approx(2)
    assert ratio.low == pytest.approx(2 * math.exp(-half), rel=1e-4)
    assert share_ratio(0, 12, 12).low > 1
    assert share_ratio(12, 12, 12) == Interval(1, 1, 1)
    for cpp, mojo in ((4, 8), (1, 12), (11, 2)):
        known = relative_risk(mojo, 12, cpp, 12)
        interval = known.confidence_interval(CONFIDENCE)
        ours = share_ratio(cpp, mojo, 12)
        assert (ours.mid, ours.low, ours.high) == pytest.approx((known.relative_risk, interval.low, interval.high))
    assert share_ratio(6, 7, 12).holds_one


def test_one_feature_more_decides_nothing_but_many_do():
    def rows(mojo: int, cpp: int):
        return [
            feature(route, f"f{i}", "works" if i < works else "fails")
            for route, works in (("mojo_aot", mojo), ("cpp", cpp))
            for i in range(12)
        ]

    assert not measured("integration", integration=rows(11, 10)).decided
    assert measured("integration", integration=rows(12, 6)).decided
    assert measured("integration", integration=rows(12, 12)).outcome == "equal (12 against 12 of 12)"


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("dispatch", {"dispatch": [call("cpp", 2), call("mojo_aot", 40)]}),
        ("clean", {"build": [stage("cpp", "clean", 5), stage("mojo_aot", "clean", 20)]}),
        ("prerequisites", {"footprint": [package("cpp", "build", "g++", MB),
                                         package("mojo_aot", "build", "mojo", 3 * MB)]}),
        ("footprint_run", {"footprint": [package("cpp", "run", "a.so", 2 * MB),
                                         package("mojo_aot", "run", "b.so", 6 * MB)]}),
        ("total_code", {"code": [code("cpp", "glue", 20, op=None), code("mojo_aot", "glue", 80, op=None)]}),
        ("skills", {"code": [code("cpp", "glue", 9, languages=["C++"], api_names=["a"]),
                             code("mojo_aot", "glue", 9, languages=["Mojo", "Python"], api_names=["a", "b"])]}),
        ("faults", {"faults": [fault(f"f{i}", side, word) for i in range(12)
                               for side, word in (("cpp", "compile"), ("mojo_aot", "silent"))]}),
        ("upgrade", {"upgrade": [upgraded(route, word, under=f"torch {i}") for i in range(4)
                                 for route, word in (("cpp", "works"), ("mojo_aot", "refused"))]}),
        ("correctness", {"correctness": [checks("cpp"), checks("mojo_aot", failed=3)]}),
    ],
)  # fmt: skip
def test_each_criterion_is_below_one_where_cpp_is_better(name, sections):
    measurement = measured(name, **sections)
    assert measurement.decided
    assert measurement.factor is not None
    assert measurement.factor.below_one
    assert measurement.rows


# weighing


def part(name: str, weight: float, mid: float, low: float | None = None, high: float | None = None) -> Part:
    factor = Interval(mid, mid if low is None else low, mid if high is None else high)
    return Part(name, name, weight, None, Measured(factor, "made up"))


def test_weighted_mean_by_hand():
    factor = weigh([part("a", 3, 2.0), part("b", 1, 0.5)], 3.0).factor
    assert factor is not None
    assert factor.mid == pytest.approx(math.exp((3 * math.log(2) - math.log(2)) / 4))


def test_one_monstrous_ratio_does_not_buy_the_rest():
    parts = [part("monster", 1, 1000.0), *(part(f"p{i}", 1, 0.6) for i in range(4))]
    assert weigh(parts, 3.0).favours == "cpp"
    assert weigh(parts, 1000.0).favours == "mojo"


def test_what_is_not_shown_counts_as_one_and_widens_the_mean():
    clear, open_ = part("clear", 1, 1.3), part("open", 3, 1.4, 0.3, 5.0)
    assert counted(open_.measured, 3.0).mid == 0
    assert weigh([clear], 3.0).leans == "mojo"
    assert weigh([clear, open_], 3.0).leans is None


def test_intervals_add_in_quadrature():
    wide = [part(f"p{i}", 1, 1.5, 1.5 / 1.2, 1.5 * 1.2) for i in range(4)]
    factor = weigh(wide, 3.0).factor
    assert factor is not None
    assert math.log(factor.high / factor.mid) == pytest.approx(math.log(1.2) / 2)


def test_a_flip_is_where_the_formula_turns():
    parts = [part("a", 2, 2.0, 1.8, 2.2), part("b", 1, 0.8), part("c", 1, 1.2)]
    assert weigh(parts, 3.0).favours == "mojo"
    by_distance = flips(parts, 3.0)
    assert by_distance == sorted(by_distance, key=lambda flip: flip.distance)
    for flip in by_distance:
        others = [part for part in parts if part is not flip.part]
        inside = math.exp(math.log(flip.factor) * 0.98 + math.log(flip.part.measured.factor.mid) * 0.02)
        at, before = (
            replace(flip.part, measured=moved(flip.part.measured, factor)) for factor in (flip.factor, inside)
        )
        assert weigh([*others, at], 3.0).favours == flip.favours != "mojo"
        assert weigh([*others, before], 3.0).favours == "mojo"


def test_a_flip_is_told_in_the_unit_of_the_measurement():
    build = [stage("cpp", "clean", 5), stage("mojo_aot", "clean", 20)]
    pack = pack_of(dispatch=[call("cpp", 2.0), call("mojo_aot", 37.0)], build=build, correctness=GOOD)
    decision = decided(pack, dispatch=2.0, clean=2.0)
    assert decision.favours == "cpp"
    sentences = [flip for flip in decision.flips if "cost of a call" in flip]
    assert sentences[0].startswith("No side favoured if Mojo's figure for “cost of a call” were below 2.")
    assert sentences[0].endswith("(measured: 37.0\u00a0µs).")


# decisions


def full(mojo_us: float = 50.0, edit: float = 5.0, **more) -> Pack:
    sections = {
        "runtime": race(mojo_us),
        "build": [stage("cpp", "edit", 10), stage("mojo_aot", "edit", edit)],
        "correctness": GOOD,
    }
    return pack_of(**(sections | more))


def test_verdict_follows_the_numbers():
    weights = {"run_large": 3.0, "edit": 1.0}
    assert decided(full(), **weights).favours == "mojo"
    assert decided(full(200, 30), **weights).favours == "cpp"
    assert decided(full(100, 10), **weights).favours is None
    row = decided(full(), **weights)
    assert row.factor_low < row.factor < row.factor_high
    assert math.prod(criterion.adds for criterion in row.criteria) == pytest.approx(row.factor)


def test_every_row_fits_the_schema_and_points_into_the_pack():
    pack = full()
    conclude(pack)
    check(pack.data)
    assert [row["id"] for row in pack.rows("decisions")] == list(QUESTIONS)
    for row in pack.rows("decisions"):
        assert row["flips"], row["id"]
        for pointer in row["rows"]:
            _, section, _, index = pointer.split("/")
            assert int(index) < len(pack.rows(section))


def test_too_little_weight_measured_is_not_a_verdict():
    row = decided(full(), run_large=1.0, faults=5.0)
    assert row.verdict == NOT_MEASURED
    assert row.factor is None
    assert "Only 17%" in row.evidence
    assert row.flips == ("Mistakes caught early: no fault of the corpus ran on both sides.",)
    assert decided(full(), run_large=5.0, edit=1.0, faults=1.0).favours == "mojo"


@pytest.mark.parametrize("question", ["nvidia", "amd"])
def test_no_gpu_no_verdict(question):
    row = decided(full(), question, edit=1.0)
    assert row.verdict == NOT_MEASURED
    assert "needs a run of compare on a machine with an" in row.flips[0].lower()


def test_gpu_rows_open_the_question():
    rows = [{**row, "device": "cuda", "route": row["route"].replace("mojo_aot", "mojo")} for row in race(50)]
    right = [checks("cpp", device="cuda"), checks("mojo", device="cuda")]
    build = [stage("cpp", "edit", 10), stage("mojo", "edit", 5), stage("mojo_aot", "edit", 50)]
    pack = pack_of(runtime=rows, correctness=right, build=build)
    assert decided(pack, "nvidia", run_large=1.0, edit=1.0).favours == "mojo"
    assert decided(pack, "amd", run_large=1.0, edit=1.0).verdict == NOT_MEASURED


def test_wrong_results_lose_whatever_the_speed():
    row = decided(full(correctness=[checks("cpp"), checks("mojo_aot", failed=1)]), run_large=1.0)
    assert row.favours == "cpp"
    assert row.factor is None
    assert "“results are right”" in row.evidence
    assert row.flips == ("It would change if Mojo met “results are right”.",)
    both = decided(full(correctness=[checks("cpp", 1), checks("mojo_aot", 1)]), run_large=1.0)
    assert (both.verdict, both.favours) == (NEITHER, None)
    assert decided(full(correctness=[]), run_large=1.0).verdict == NOT_MEASURED


def test_training_needs_gradients():
    def row(cpp: str, mojo: str) -> dict:
        rows = [feature("cpp", "autograd", cpp), feature("mojo_aot", "autograd", mojo)]
        return decided(full(integration=rows), "training", run_large=1.0, edit=1.0)

    assert row("works", "works").favours == "mojo"
    assert row("works", "fails").favours == "cpp"
    assert row("refused", "fails").verdict == NEITHER
    assert row("works", "did not run").verdict == NOT_MEASURED


def test_wheels_need_a_binary_that_moves():
    def row(cpp: str, mojo: str) -> dict:
        upgrade = [upgraded("cpp", cpp), upgraded("mojo_aot", mojo)]
        return decided(full(upgrade=upgrade), "wheels", run_large=1.0, edit=1.0)

    assert row("works", "works").favours == "mojo"
    assert row("works", "crash").favours == "cpp"
    assert row("works", "did not run").verdict == NOT_MEASURED


def test_building_for_gpus_decides_nothing_about_them():
    right = [checks("cpp"), checks("mojo")]
    build = [stage("cpp", "edit", 10), stage("mojo", "edit", 5), stage("cpp", "clean", 10), stage("mojo", "clean", 5)]

    def row(*rows) -> dict:
        return decided(full(targets=list(rows), correctness=right, build=build), "vendors", edit=1.0, clean=1.0)

    both = [target(side, name) for side in ("cpp", "mojo") for name in ("cuda sm_90", "hip gfx942")]
    decision = row(*both)
    assert (decision.verdict, decision.favours) == (NOT_MEASURED, None)
    assert decision.evidence.startswith("Needs runs of compare on an NVIDIA and on an AMD GPU; only built")
    assert "C++ NVIDIA 1 of 1 target, AMD 1 of 1 target" in decision.evidence
    builds = {gate.side: gate for gate in decision.gates if gate.requirement.startswith("every source")}
    assert builds["cpp"].met is builds["mojo"].met is True
    failing = row(*both[:3], target("mojo", "hip gfx942", "failed"))
    assert failing.verdict == NOT_MEASURED
    assert "AMD 0 of 1 target (fails for hip gfx942)" in failing.evidence


def test_a_target_without_a_toolchain_is_no_success():
    rows = [target(side, name) for side in ("cpp", "mojo") for name in ("cuda sm_90", "hip gfx90a", "hip gfx942")]
    rows[2] = target("cpp", "hip gfx942", "no tool chain")
    pack = pack_of(targets=rows)
    results = {side: gates()["builds"].find(Scope(pack, "all devices"), side) for side in ("cpp", "mojo")}
    assert results["mojo"].met is True
    assert results["cpp"].met is None
    assert "AMD 1 of 2 targets (not built here for hip gfx942)" in results["cpp"].evidence


def test_sensitivity_says_which_doubled_weight_flips():
    row = decided(full(85, 11), run_large=1.0, edit=1.0)
    assert row.favours is None
    flipped = {entry.criterion: entry.verdict for entry in row.sensitivity if entry.flips}
    assert flipped == {"Run time of large tensors": FAVOURED["mojo"]}
    assert len(row.sensitivity) == 2


def test_verdicts_repeat_when_the_noise_is_drawn_again():
    verdicts = set()
    for seed in range(20):
        chance = random.Random(seed)
        rows = [
            row
            for op, us in zip(OPS, (70, 75, 60, 66), strict=True)
            for row in times(
                op, LARGE, {"eager": 200, "cpp": 100, "mojo_aot": us * math.exp(chance.gauss(0, 0.02))}, 0.04
            )
        ]
        edit = stage("mojo_aot", "edit", 12 * math.exp(chance.gauss(0, 0.02)))
        pack = pack_of(runtime=rows, build=[stage("cpp", "edit", 10), edit], correctness=GOOD)
        verdicts.add(decided(pack, run_large=4.0, edit=1.0).verdict)
    assert verdicts == {FAVOURED["mojo"]}


def test_flip_words_without_figures():
    flip = next(flip for flip in flips([part("a", 1, 1.5), part("b", 1, 1.5)], 3.0) if flip.part.name == "a")
    assert flip_words(flip).startswith("No side favoured if the factor for “a” were below 1.0")
    assert flip_words(flip).endswith("(measured: 1.50×; above 1 favours Mojo).")


def test_one_criterion_decides_no_question():
    assert weigh([part("a", 10, 2.0)], 3.0).leans == "mojo"
    assert weigh([part("a", 10, 2.0)], 3.0).favours is None
    assert weigh([part("a", 10, 2.0), part("b", 1, 2.0)], 3.0).favours == "mojo"
    light = [part("a", 1, 3.0), part("b", 1, 3.0), part("c", 4, 1.0, 0.89, 1.12)]
    outcome = weigh(light, 3.0)
    assert (outcome.leans, outcome.favours, outcome.differing) == ("mojo", None, 2)
    assert outcome.decided_share == pytest.approx(1 / 3)
    row = decided(full(), run_large=1.0)
    assert row.verdict == FAVOURED[None]
    assert "1 criterion of 1 show a difference, at least 2 are needed" in row.evidence


def test_equality_decides_with_two_differences_and_not_alone():
    equal = Part("c", "c", 4, None, Measured(Interval(1.0, 0.94, 1.06), "made up", equal_within=0.1))
    outcome = weigh([part("a", 1, 3.0), part("b", 1, 3.0), equal], 3.0)
    assert (outcome.favours, outcome.differing, outcome.decided_share) == ("mojo", 2, 1.0)
    assert weigh([part("a", 1, 3.0), equal], 3.0).favours is None


def test_a_better_criterion_is_no_reason_for_the_other_side():
    """One more decided criterion could complete the number that a decision needs, whatever its direction."""
    parts = [part("a", 3, 0.4), part("b", 2, 1.02), part("c", 5, 1.0)]
    assert weigh(parts, 3.0).favours is None
    for flip in flips(parts, 3.0):
        rises = flip.factor > flip.part.measured.factor.mid
        assert flip.favours == ("mojo" if rises else "cpp")


def test_a_verdict_that_a_doubled_weight_changes_is_slight():
    def row(edit: float) -> dict:
        more = [stage("cpp", "edit", 10), stage("mojo_aot", "edit", edit), stage("cpp", "clean", 10)]
        return decided(full(60, build=[*more, stage("mojo_aot", "clean", 9)]), run_large=1.0, edit=1.0, clean=0.5)

    close, clear = row(13), row(5)
    assert close.verdict == SLIGHTLY["mojo"]
    assert any(entry.flips for entry in close.sensitivity)
    assert clear.verdict == FAVOURED["mojo"]
    assert not any(entry.flips for entry in clear.sensitivity)
    check(pack_of().data)


# one route represents a side


OTHERS = ("cpp_pybind", "cpp_classic", "mojo", "mojo_stock", "max_graph")
ON_CPU = ("cpu", "small", "training", "no-cpp-team", "wheels")


def spoilt(pack: Pack) -> Pack:
    """The pack with other rows, much better or much worse ones, of all routes that represent no side on the CPU."""
    for number, (section, key) in enumerate(
        (section, "side" if section == "faults" else "route")
        for section in ("runtime", "dispatch", "build", "code", "integration", "footprint", "upgrade", "faults")
    ):
        for row in pack.rows(section):
            if row[key] not in OTHERS:
                continue
            factor = 0.01 if number % 2 else 100.0
            for name, value in row.items():
                if isinstance(value, float) and name not in ("elements",):
                    row[name] = value / factor if name.startswith("ratio") else value * factor
            for name in ("lines", "tokens", "gzip_bytes", "bytes", "install_bytes"):
                if isinstance(row.get(name), int) and section != "runtime":
                    row[name] = int(row[name] * factor)
            if "status" in row and section == "integration":
                row["status"] = "fails"
            if section == "upgrade":
                row["outcome"] = "crash"
            if section == "faults":
                row["caught"] = "silent"
    for row in pack.rows("correctness"):
        if row["route"] in ("compile", "cpp_pybind", "cpp_classic", "mojo_stock", "max_graph"):
            row.update(failed=5, message="wrong")
    return pack


def test_no_route_but_the_representatives_decides_anything():
    before, after = full_pack(), spoilt(full_pack())
    conclude(after)
    for old, new in zip(before.rows("decisions"), after.rows("decisions"), strict=True):
        if old["id"] in ON_CPU:
            names = ("verdict", "favours", "factor", "measured_share")
            assert {name: new[name] for name in names} == {name: old[name] for name in names}, old["id"]
            for old_criterion, new_criterion in zip(old["criteria"], new["criteria"], strict=True):
                assert (old_criterion["factor"], old_criterion["low"], old_criterion["high"]) == (
                    new_criterion["factor"],
                    new_criterion["low"],
                    new_criterion["high"],
                ), old_criterion["id"]
            assert [gate["met"] for gate in old["gates"]] == [gate["met"] for gate in new["gates"]]
    verdicts = [
        {row["id"]: (row["verdict"], row["exceptions"]) for row in pack.rows("verdict")} for pack in (before, after)
    ]
    assert verdicts[0] == verdicts[1]
    lost = [losses(pack) for pack in (before, after)]
    for side in lost[0]:
        seen = [
            {(loss.kind, loss.what, loss.route, loss.against): loss.factor for loss in by_side[side]}
            for by_side in lost
        ]
        assert seen[0] == seen[1]
    shown = [[headline(side, called(cases(pack))) for side in ("cpp", "mojo")] for pack in (before, after)]
    for old_headline, new_headline in zip(*shown, strict=True):
        assert (old_headline.route, old_headline.to_eager, old_headline.to_pytorch) == (
            new_headline.route,
            new_headline.to_eager,
            new_headline.to_pytorch,
        )


# the same tests, the same definition


def test_upgrades_under_different_versions_are_not_compared():
    cpp = [upgraded("cpp", "works", "symbols", f"torch 2.{minor}") for minor in (11, 12, 14, 15)]
    measurement = measured("upgrade", upgrade=[*cpp, upgraded("mojo_aot", "works", "loaded", "MAX 26.6")])
    assert measurement.factor is None
    assert "cpp works in 4 of 4" in measurement.message
    assert "mojo_aot works in 1 of 1 (MAX 26.6 loaded)" in measurement.message
    both = [upgraded("mojo_aot", "fails", "symbols", "torch 2.14")]
    assert (
        "of 1 test that both sides had, cpp works in 1, mojo_aot in 0"
        in measured("upgrade", upgrade=[*cpp, *both]).message
    )


def test_bytes_to_run_are_compared_without_pytorch():
    torch = [package(route, "run", "torch", 700 * MB) for route in ("eager", "cpp", "mojo_aot")]

    def ratio(cpp: int, mojo: int) -> Measured:
        built = [package("cpp", "run", "a.so", cpp, "artifact"), package("mojo_aot", "run", "b.so", mojo, "artifact")]
        return measured("footprint_run", footprint=[*torch, *built])

    measurement = ratio(2 * MB, 20 * MB)
    assert measurement.decided
    assert measurement.factor is not None
    assert measurement.factor.mid == pytest.approx(0.1)
    assert "on top of PyTorch: cpp 2.00\u00a0MB, mojo_aot 20.0\u00a0MB" in measurement.message
    near = ratio(1_560_000, 1_680_000)
    assert near.equal
    assert near.outcome == "no difference that matters (1.56\u00a0MB against 1.68\u00a0MB)"
    assert "less than 1.00\u00a0MB apart counts as equal" in near.message


def test_code_is_judged_by_tokens_and_gzip_and_never_by_lines():
    long = [
        code("cpp", "kernel", 100, tokens=900, gzip_bytes=900),
        code("mojo_aot", "kernel", 300, tokens=900, gzip_bytes=900),
    ]
    assert measured("kernel_code", code=long).factor == Interval(1, 1, 1)
    small = [
        code("cpp", "kernel", 100, tokens=900, gzip_bytes=990),
        code("mojo_aot", "kernel", 300, tokens=450, gzip_bytes=495),
    ]
    measurement = measured("kernel_code", code=small)
    assert measurement.decided
    assert "(100 to 300 lines)" in measurement.message
    apart = [row | {"gpu_lines": 0, "gpu_tokens": 0} for row in small]
    without_gzip = measured("kernel_code", code=apart)
    assert "gzip not measured" in without_gzip.message
    assert without_gzip.factor == Interval(2, 2, 2)
