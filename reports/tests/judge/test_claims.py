"""The claims ledger: every rule in both directions, from packs of a few rows."""

from __future__ import annotations

import pytest
from evidence.core.interval import TOO_CLOSE
from evidence.judge.claims import all_claims, claims
from evidence.judge.comparison import MOJO_AHEAD, NOT_MEASURED
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART
from evidence.judge.row import VerdictRow
from evidence.judge.verdict import verdict
from evidence.sections.targets.readings import vendor
from few_rows import (
    call,
    code,
    fault,
    feature,
    noise,
    pack_of,
    package,
    stage,
    target,
    times,
    upgraded,
)

LARGE, MIDDLE = 4_000_000, 500_000


def judged(name: str, **sections):
    return next(row for row in claims(pack_of(**sections)) if row.id == name)


def word(name: str, **sections) -> str:
    return judged(name, **sections).verdict


def test_an_empty_pack_measures_no_claim():
    rows = claims(pack_of())
    assert [row.id for row in rows] == list(all_claims())
    assert {row.verdict for row in rows} == {NOT_MEASURED}
    assert all(row.needs and row.needs in row.evidence and not row.rows for row in rows)


def test_every_claim_but_one_has_a_rule_whose_fields_are_filled_in():
    assert {claim.id for claim in all_claims().values() if claim.judge is None} == {"zero-cost"}
    for row in claims(pack_of()):
        assert row.rule or row.id == "zero-cost"
        assert "{" not in (row.rule or "")


# writing


def outside(route: str, own: int, shared: int):
    return [code(route, "kernel", 10), code(route, "binding", own), code(route, "build", shared, op=None)]


@pytest.mark.parametrize(("own", "shared", "verdict"), [(60, 10, HOLDS), (20, 40, IN_PART), (20, 10, DOES_NOT_HOLD)])
def test_boilerplate(own, shared, verdict):
    assert word("boilerplate", code=outside("cpp", own, shared)) == verdict


def skilled(route: str, languages: list[str], names: list[str] | None, build: int, binding: int):
    more = {"languages": languages, "api_names": names}
    return [code(route, "kernel", 10, **more), code(route, "binding", binding), code(route, "build", build, op=None)]


@pytest.mark.parametrize(
    ("cpp", "mojo", "verdict"),
    [
        ((["C++", "CUDA", "Python"], ["a", "b", "c"], 90, 30), (["Mojo", "Python"], ["a"], 20, 10), HOLDS),
        ((["C++", "Python"], ["a", "b", "c"], 20, 30), (["Mojo", "Python"], ["a"], 90, 10), IN_PART),
        ((["C++"], ["a"], 20, 10), (["Mojo", "Python"], ["a", "b"], 90, 30), DOES_NOT_HOLD),
    ],
)
def test_skills(cpp, mojo, verdict):
    assert word("skills", code=skilled("cpp", *cpp) + skilled("mojo_aot", *mojo)) == verdict


def test_skills_need_the_names_of_both_sides():
    rows = skilled("cpp", ["C++"], None, 20, 10) + skilled("mojo_aot", ["Mojo"], ["a"], 9, 1)
    assert word("skills", code=rows) == NOT_MEASURED


@pytest.mark.parametrize(
    ("cpp", "mojo", "verdict"),
    [((100, 30), (60, 20), HOLDS), ((100, 20), (60, 40), IN_PART), ((60, 20), (100, 20), DOES_NOT_HOLD)],
)
def test_python_syntax_looks_at_complexity_too(cpp, mojo, verdict):
    rows = [code("cpp", "kernel", cpp[0], complexity=cpp[1]), code("mojo_aot", "kernel", mojo[0], complexity=mojo[1])]
    claim = judged("python-syntax", code=rows)
    assert claim.verdict == verdict
    assert "cyclomatic complexity" in claim.evidence


def test_python_syntax_leaves_out_a_measure_that_one_side_lacks():
    rows = [code("cpp", "kernel", 100, complexity=20), code("mojo_aot", "kernel", 60, complexity=None)]
    assert "complexity" not in judged("python-syntax", code=rows).evidence


@pytest.mark.parametrize(
    ("mojo", "stock", "verdict"), [(50, 50, HOLDS), (200, 50, DOES_NOT_HOLD), (95, 9, DOES_NOT_HOLD)]
)
def test_minimal_build(mojo, stock, verdict):
    rows = [code("cpp", "build", 100, op=None), code("mojo_aot", "build", mojo, op=None)]
    assert word("minimal-build", code=[*rows, code("mojo_stock", "build", stock, op=None)]) == verdict


# building


@pytest.mark.parametrize(("edit", "clean", "verdict"), [(5, 9, HOLDS), (5, 30, IN_PART), (20, 30, DOES_NOT_HOLD)])
def test_dev_loop(edit, clean, verdict):
    rows = [stage("cpp", "edit", 10), stage("cpp", "clean", 20)]
    rows += [stage("mojo_aot", "edit", edit), stage("mojo_aot", "clean", clean)]
    assert word("dev-loop", build=rows) == verdict


def test_a_single_run_does_not_decide_the_dev_loop_by_a_fifth():
    once = [stage("cpp", "edit", 12, 0, 1), stage("mojo_aot", "edit", 10, 0, 1)]
    assert word("dev-loop", build=once) == DOES_NOT_HOLD
    thrice = [stage("cpp", "edit", 12), stage("mojo_aot", "edit", 10)]
    assert word("dev-loop", build=thrice) == HOLDS


def needs(route: str, packages: int, size: int, seconds: float):
    return stage(route, "prerequisites", seconds, packages=packages, install_bytes=size)


@pytest.mark.parametrize(
    ("cpp", "verdict"),
    [((30, 900, 60), HOLDS), ((30, 100, 10), IN_PART), ((5, 100, 10), DOES_NOT_HOLD)],
)
def test_barrier(cpp, verdict):
    assert word("barrier", build=[needs("cpp", *cpp), needs("mojo_aot", 10, 500, 30)]) == verdict


@pytest.mark.parametrize(
    ("build", "run", "verdict"),
    [("python package", "artifact", HOLDS), ("system package", "artifact", IN_PART),
     ("python package", "system package", DOES_NOT_HOLD)],
)  # fmt: skip
def test_battery_included(build, run, verdict):
    rows = [package("mojo", "build", "modular", 500), package("mojo", "build", "g++", 90, build)]
    rows += [package("mojo", "run", "modular", 500), package("mojo", "run", "libx", 5, run)]
    assert word("battery-included", footprint=rows) == verdict


def test_containers_are_not_judged_by_what_the_routes_install():
    claim = judged("footprint", footprint=[package("cpp", "run", "torch", 700_000_000)])
    assert claim.verdict == NOT_MEASURED
    assert "cpp 700\u00a0MB" in claim.evidence
    assert claim.rows == ["/footprint/rows/0"]
    assert claim.needs


@pytest.mark.parametrize(
    ("stable", "classic", "verdict"),
    [("works", "works", DOES_NOT_HOLD), ("works", "fails", IN_PART), ("refused", "crash", HOLDS)],
)
def test_rebuild(stable, classic, verdict):
    rows = [upgraded("cpp", stable), upgraded("cpp_classic", classic), upgraded("mojo", "refused", under="MAX 26.6")]
    assert word("rebuild", upgrade=rows) == verdict


def test_sources_that_compile_again_are_a_rebuild_not_a_survival():
    compiled = upgraded("cpp", "works") | {"method": "compiled", "artifact": "sources"}
    pack = pack_of(upgrade=[upgraded("cpp", "fails")])
    pack.rows("upgrade").append(compiled)
    assert next(row for row in claims(pack) if row.id == "rebuild").verdict == HOLDS


def test_a_load_outweighs_the_symbol_table_of_the_same_binary():
    rows = [upgraded("cpp", "fails", "symbols"), upgraded("cpp", "works")]
    assert word("rebuild", upgrade=rows) == DOES_NOT_HOLD
    assert word("rebuild", upgrade=rows[:1]) == HOLDS
    assert word("rebuild", upgrade=[upgraded("cpp", "did not run")]) == NOT_MEASURED


# speed


def race(mojo_us: list[float], wide: float = 0.01):
    return [
        row
        for number, us in enumerate(mojo_us)
        for row in times("add", MIDDLE + number, {"eager": 200, "cpp": 100, "mojo_aot": us}, wide)
    ]


@pytest.mark.parametrize(
    ("mojo_us", "verdict"),
    [([98, 80, 100, 103], HOLDS), ([98, 80, 200, 103], IN_PART), ([98, 200, 200, 200], DOES_NOT_HOLD)],
)
def test_cpp_speed(mojo_us, verdict):
    assert word("cpp-speed", runtime=race(mojo_us)) == verdict


def test_cpp_speed_is_not_lost_by_what_noise_can_make():
    assert word("cpp-speed", runtime=race([110] * 4)) == DOES_NOT_HOLD
    wide_band = [noise("mojo_aot", "middle", 1.2)]
    assert word("cpp-speed", runtime=race([110] * 4), noise=wide_band) == HOLDS
    assert word("cpp-speed", runtime=race([110] * 4, wide=0.2)) == HOLDS


def fused(us: float, **more: float):
    return times("rope", LARGE, {"eager": 400, "compile": 150, "cpp": 100, "max_graph": us} | more)


@pytest.mark.parametrize(("us", "verdict"), [(105, HOLDS), (200, IN_PART), (500, DOES_NOT_HOLD)])
def test_fusion(us, verdict):
    claim = judged("fusion", runtime=fused(us))
    assert claim.verdict == verdict
    assert "torch.compile" in claim.evidence


def test_a_noisy_row_counts_for_fusion_only_where_it_cannot_reach():
    for us, expected in ((105, NOT_MEASURED), (500, DOES_NOT_HOLD)):
        rows = fused(us)
        for row in rows:
            row["noisy"] = True
        assert word("fusion", runtime=rows) == expected


def test_fusion_is_judged_on_large_tensors_of_several_operations_only():
    us = {"eager": 400, "cpp": 100, "max_graph": 105}
    assert word("fusion", runtime=times("add", LARGE, us)) == NOT_MEASURED
    assert word("fusion", runtime=times("add", 16, {"eager": 5, "cpp": 5, "max_graph": 5})) == NOT_MEASURED


def turned(stock: float | None, own: float = 50):
    us = {"eager": 100, "mojo_aot": own} | ({"mojo_stock": stock} if stock else {})
    return [
        row
        for name in ("4x2048x16x128", "8x4096x32x128")
        for row in times("rope", LARGE, us, sample=f"talk {name}")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "verdict"), [(turned(50), HOLDS), (turned(None), IN_PART), (turned(200, own=99), DOES_NOT_HOLD)]
)
def test_rope(rows, verdict):
    assert word("rope", runtime=rows) == verdict


# reach


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x86-64-v3", "CPU"), ("cuda sm_90", "NVIDIA"), ("sm_80", "NVIDIA"), ("hip gfx942", "AMD"), ("amd64", "CPU"),
     ("metal", "Apple"), ("apple-m1", "Apple"), ("abacus", None)],
)  # fmt: skip
def test_vendor_of_a_target(name, expected):
    assert vendor(name) == expected


ALL_TARGETS = ("x86-64-v3", "cuda sm_90", "hip gfx942", "metal")


def test_run_anywhere():
    everywhere = [target("mojo", name) for name in ALL_TARGETS]
    assert word("run-anywhere", targets=everywhere) == HOLDS
    no_metal = [*everywhere[:3], target("mojo", "metal", "failed")]
    assert word("run-anywhere", targets=no_metal) == IN_PART
    assert "Apple 0 of 1 target (fails for metal)" in judged("run-anywhere", targets=no_metal).evidence
    untried = [*everywhere[:3], target("mojo", "metal", "no tool chain")]
    assert word("run-anywhere", targets=untried) == IN_PART
    cpu_only = [everywhere[0], *(target("mojo", name, "failed") for name in ALL_TARGETS[1:])]
    assert word("run-anywhere", targets=cpu_only) == DOES_NOT_HOLD
    assert word("run-anywhere", targets=everywhere[:1]) == NOT_MEASURED


def test_a_side_without_a_source_for_a_vendor_says_so():
    rows = [*(target("mojo", name) for name in ALL_TARGETS), target("cpp", "metal", "no source")]
    assert "C++: no source for Apple" in judged("run-anywhere", targets=rows).evidence


def test_a_target_without_a_toolchain_is_not_built():
    rows = [target("mojo", name) for name in ALL_TARGETS]
    claim = judged("run-anywhere", targets=[*rows, target("mojo", "hip gfx90a", "no tool chain")])
    assert claim.verdict == IN_PART
    assert "AMD 1 of 2 targets (not built here for hip gfx90a)" in claim.evidence
    amd = [target("cpp", "hip gfx90a"), target("cpp", "hip gfx942", "no tool chain")]
    evidence = judged("amd-start-over", targets=amd).evidence
    assert evidence == "1 of 1 build succeeded: AMD 1 of 2 targets (not built here for hip gfx942)."


def test_one_op_that_does_not_build_is_not_everywhere():
    rows = [target("mojo", name) for name in ALL_TARGETS] + [target("mojo", "hip gfx942", "failed", op="rope")]
    assert word("run-anywhere", targets=rows) == IN_PART


def test_amd_start_over():
    def rows(*statuses: str):
        return [target("cpp", "hip gfx90a", status, op=f"op{i}") for i, status in enumerate(statuses)]

    assert word("amd-start-over", targets=rows("built", "built")) == DOES_NOT_HOLD
    assert word("amd-start-over", targets=rows("built", "failed")) == IN_PART
    assert word("amd-start-over", targets=rows("failed", "failed")) == HOLDS
    assert word("amd-start-over", targets=rows("no tool chain")) == NOT_MEASURED


# faults


def corpus(mojo: list[str], cpp: list[str], kind: str = "type"):
    rows = []
    for number, (mojo_caught, cpp_caught) in enumerate(zip(mojo, cpp, strict=True)):
        rows += [
            fault(f"{kind}_{number}", "mojo_aot", mojo_caught, kind),
            fault(f"{kind}_{number}", "cpp", cpp_caught, kind),
        ]
    return rows


def test_types():
    silent = ["silent"] * 4
    assert word("types", faults=corpus(["compile"] * 4, silent)) == HOLDS
    assert word("types", faults=corpus(["compile", "compile", "call", "call"], silent)) == IN_PART
    assert word("types", faults=corpus(["compile", "call", "call", "call"], silent)) == DOES_NOT_HOLD


def test_types_counts_two_more_than_cpp_but_not_one():
    nothing = ["silent"] * 5
    assert word("types", faults=corpus(["compile"] * 2 + ["silent"] * 3, nothing)) == IN_PART
    assert word("types", faults=corpus(["compile"] * 2 + ["silent"] * 3, ["compile", *nothing[1:]])) == DOES_NOT_HOLD


def test_what_one_side_cannot_express_is_not_counted():
    rows = corpus(["compile"] * 2 + ["not expressible"], ["silent"] * 3)
    assert "Of 2 mistakes" in judged("types", faults=rows).evidence
    assert word("types", faults=corpus(["did not run"], ["silent"])) == NOT_MEASURED


def test_each_claim_looks_at_its_kind_of_mistake():
    rows = corpus(["compile"], ["silent"]) + corpus(["silent"] * 2, ["silent"] * 2, "concurrency")
    claim = judged("types", faults=rows)
    assert claim.verdict == HOLDS
    assert "Of 1 mistake of type" in claim.evidence
    assert "of all 3 mistakes 1 and 0" in claim.evidence
    assert word("memory-safe", faults=rows) == DOES_NOT_HOLD
    assert word("memory-safe", faults=rows[:2]) == NOT_MEASURED


def test_memory_safe():
    silent = ["silent"] * 4
    assert word("memory-safe", faults=corpus(["compile", "call", "call", "load"], silent, "memory")) == HOLDS
    assert word("memory-safe", faults=corpus(["call", "call", "silent", "crash"], silent, "memory")) == IN_PART
    claim = judged("memory-safe", faults=corpus(["silent", "sanitizer", "hang", "crash"], silent, "memory"))
    assert claim.verdict == DOES_NOT_HOLD
    assert "silent in Mojo: memory 0." in claim.evidence


# use


def compiled(**by_route: str):
    rows = []
    for route, status in by_route.items():
        rows += [feature(route, "compile_fullgraph"), feature(route, "compile_dynamic", status)]
    return rows


def test_torch_compile():
    assert word("torch-compile", integration=compiled(mojo="works", mojo_stock="works")) == HOLDS
    assert word("torch-compile", integration=compiled(mojo="works", mojo_stock="fails")) == IN_PART
    broken = [feature("mojo", "compile_fullgraph", "fails"), feature("mojo_stock", "compile_fullgraph", "refused")]
    assert word("torch-compile", integration=broken) == DOES_NOT_HOLD
    assert word("torch-compile", integration=compiled(cpp="works")) == NOT_MEASURED
    assert word("torch-compile", integration=[feature("mojo", "compile_fullgraph", "did not run")]) == NOT_MEASURED


def test_production():
    def rows(mojo: str, cpp: str, *more: str):
        both = [feature(route, "threads") for route in ("cpp", "mojo_aot")]
        both += [feature(route, name) for route in ("cpp", "mojo_aot") for name in more]
        return [*both, feature("mojo_aot", "fork", mojo), feature("cpp", "fork", cpp)]

    assert word("production", integration=rows("refused", "works", "soak", "memory_growth")) == HOLDS
    claim = judged("production", integration=rows("refused", "works"))
    assert claim.verdict == IN_PART
    assert "Not tried: soak, memory growth" in claim.evidence
    assert word("production", integration=rows("fails", "fails")) == IN_PART
    assert word("production", integration=rows("fails", "refused")) == DOES_NOT_HOLD


@pytest.mark.parametrize("name", ["zero-cost", "replace-layers", "cost"])
def test_what_no_pack_holds_is_not_measured(name):
    sections = {"runtime": race([100]), "dispatch": [call("cpp", 2)], "faults": corpus(["compile"], ["silent"])}
    assert word(name, **sections) == NOT_MEASURED


def test_pointers_lead_to_rows_of_the_pack():
    pack = pack_of(faults=corpus(["compile"] * 4, ["silent"] * 4), runtime=race([90, 100]))
    for row in claims(pack):
        for pointer in row.rows:
            _, section, _, index = pointer.split("/")
            assert int(index) < len(pack.rows(section))


# the statements of the verdict


def large(**sections) -> VerdictRow:
    return next(row for row in verdict(pack_of(**sections)) if row.id == "large-cpu")


def races(mojo_us: list[float], noisy: int = 0, wide: float = 0.01):
    rows = []
    for number, us in enumerate(mojo_us):
        more = {"noisy": True} if number < noisy else {}
        own = 0.9 if number < noisy else wide
        rows += times("add", LARGE + number, {"eager": 200, "cpp": 100, "mojo_aot": us}, own, **more)
    return rows


def test_a_row_within_the_noise_band_is_not_won():
    assert large(runtime=races([85] * 5)).verdict == MOJO_AHEAD
    row = large(runtime=races([85] * 5), noise=[noise("mojo_aot", "large", 1.3)])
    assert row.verdict == TOO_CLOSE
    assert "5 too close to call" in row.evidence


def test_few_decided_rows_do_not_speak_for_the_noisy_ones():
    assert large(runtime=races([85] * 5, noisy=1)).verdict == MOJO_AHEAD
    row = large(runtime=races([85] * 5, noisy=4))
    assert row.verdict == NOT_MEASURED
    assert row.evidence == "4 of 5 rows noisy, with intervals that hold 1.0."
