"""The dispatch lab: sums of parts, crossovers, settings; what fails says so on the page."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from evidence.core.interval import Interval
from evidence.core.machine import ROOT
from evidence.core.pack import write_pack
from evidence.core.plan import make_plan
from evidence.core.sampling import Budget, alternate, singles
from evidence.core.timings import Timings
from evidence.judge.conclude import conclude
from evidence.page.packed import unpacked
from evidence.page.report import render
from evidence.sections.code import measure as code_size
from evidence.sections.dispatch import ladder, pools
from evidence.sections.dispatch.calls import compiled, dispatch_rows
from evidence.sections.dispatch.listener import Listener
from evidence.sections.dispatch.plan import LAB_OPS, dispatch_cases, ladder_cases
from evidence.sections.dispatch.pools import thread_rows
from evidence.sections.dispatch.readings import reaches, thread_advice, thread_settings, waterfalls, why_compiled
from evidence.sections.dispatch.table import call_of, dispatch, plain
from evidence.sections.dispatch.waterfall import Bench, _add_route
from evidence.sections.dispatch.waterfall_parts import (
    BIG,
    FORM_PARTS,
    PART,
    PARTS,
    REMAINDER,
    SMALL,
    WHOLE,
    evaluate,
    waterfall_rows,
)
from evidence.sections.runtime.plan import runtime_cases
from synthetic import NOT_EXPLAINED, synthetic_pack

from shared_tests.spec import all_specs

ONE = ("float32",)


def page(pack, folder):
    write_pack(pack, folder)
    render(folder)
    return unpacked((folder / "report.html").read_text())


# plan


def test_probes_are_in_no_run_time_and_no_code_row():
    plan = make_plan("", "", "cpu", mode="full")
    probes = {name for name, spec in all_specs().items() if spec.probe}
    assert probes == {"sum4", "sum8"}
    assert probes <= set(plan.ops), "the correctness suite runs over plan.ops"
    assert not probes & {case["op"] for case in runtime_cases(plan) + ladder_cases(plan)}
    assert not probes & set(plan.compared_ops())
    rows = code_size.measure(ROOT, plan.compared_ops(), ["max_graph"])
    assert not probes & {row.op for row in rows}


def test_the_lab_asks_for_every_number_of_tensors_and_every_condition():
    full = dispatch_cases(make_plan("", "", "cpu", mode="full"))
    assert [case["tensors"] for case in full] == list(LAB_OPS) == [1, 2, 4, 8]
    for case in full:
        assert len(all_specs()[case["op"]].tensor_args) == case["tensors"]
        assert {"hot", "gap", "compiled"} == {cell["mode"] for cell in case["cells"]}
    two = [tuple(cell.values()) for case in full for cell in case["cells"] if case["tensors"] == 2]
    assert {(threads, openmp) for _, threads, openmp in two} == {(1, "idle"), (1, "active"), (4, "idle"), (4, "active")}
    quick = make_plan("", "", "cpu", mode="quick")
    assert [case["tensors"] for case in dispatch_cases(quick)] == [1, 2]
    assert [case["op"] for case in ladder_cases(quick)] == ["add"]


def test_a_run_without_the_labs_ops_has_no_cases():
    plan = make_plan("rope", "", "cpu", mode="full")
    assert dispatch_cases(plan) == []
    assert [case["op"] for case in ladder_cases(plan)] == ["rope"]


# measuring


def test_visits_alternate_forward_and_backward():
    order = []

    def visit(name):
        return lambda: order.append(name) or float(len(order))

    times = alternate({"a": visit("a"), "b": visit("b")}, Budget(0, least_rounds=2))
    assert order[:4] == ["a", "b", "b", "a"]
    assert times["a"][0] == (1 + 4) / 2
    assert times["b"][0] == (2 + 3) / 2


def test_what_comes_before_a_call_is_not_timed():
    events = []
    spent = singles(lambda: events.append("call"), 3, lambda: [events.append("before"), math.factorial(3000)])
    assert events == ["before", "call"] * 3
    assert 0 < spent < 500


def test_compiled_functions_share_no_cache():
    add, mul = compiled(torch.add), compiled(torch.mul)
    codes = {id(function._torchdynamo_orig_callable.__code__) for function in (add, mul)}
    assert len(codes) == 2
    x = torch.arange(4.0)
    assert torch.equal(add(x, x), x + x)
    assert torch.equal(mul(x, x), x * x)


def test_a_compiled_row_needs_no_eager_row():
    timings = Timings()
    timings.add(
        {"times": {"eager": [2.0] * 4, "cpp": [8.0] * 4}, "refused": {"cpp_pybind": "Unsupported: no"}, "first": {}}
    )
    cell = {"mode": "compiled", "threads": 1, "openmp": "idle"}
    case = {"op": "add", "tensors": 2, "routes": ["eager", "cpp", "cpp_pybind"]}
    rows = {row.route: row for row in dispatch_rows(cell, timings, case, {"mojo": ("did not build", "no MAX")})}
    assert set(rows) == {"cpp", "cpp_pybind", "mojo"}
    assert (rows["cpp"].median_us, rows["cpp"].ratio_to_eager) == (8.0, 0.25)
    assert (rows["cpp_pybind"].status, rows["cpp_pybind"].message) == ("not supported", "Unsupported: no")
    assert rows["mojo"].status == "did not build"


def test_a_lost_case_keeps_its_own_reason_also_one_that_never_began():
    run = SimpleNamespace(raw=[])
    timings_by_case = {}
    listener = Listener(run, timings_by_case, lambda line, index: index)
    cases = [{"op": "a"}, {"op": "b"}, {"op": "c"}]
    listener.lost(cases[0], "the import failed")
    listener.heard({"begin": {"op": "b"}})
    listener.heard({"times": {"eager": [1.0]}, "refused": {}, "first": {}})
    listener.lost(cases[1], "it crashed")
    listener.heard({"begin": {"op": "c"}})
    listener.heard({"times": {"eager": [2.0]}, "refused": {}, "first": {}})
    assert listener.reasons == {0: "worker: the import failed", 1: "worker: it crashed"}
    assert {index: entry.times["eager"] for index, entry in timings_by_case.items()} == {1: [[1.0]], 2: [[2.0]]}
    assert len(run.raw) == 2


# waterfall


def family(route, context="call"):
    return [part for part in PARTS if (part.route, part.context) == (route, context)]


@pytest.mark.parametrize("route", ["cpp", "cpp_classic", "mojo", "mojo_aot", "mojo_stock"])
def test_parts_and_remainder_make_the_whole(route):
    names = {name for part in PARTS for _, name in part.terms}
    times = {name: [float(number + 1), float(3 * number + 2)] for number, name in enumerate(sorted(names))}
    values = {part.kind: evaluate(part, times) for part in family(route) if part.kind != PART}
    parts = [evaluate(part, times) for part in family(route) if part.kind == PART]
    for at in (0, 1):
        total = sum(part[at] for part in parts) + values[REMAINDER][at]
        assert math.isclose(total, values[WHOLE][at], abs_tol=1e-9)
    assert all(part.how for part in family(route))


def test_halves_from_two_processes_may_have_rounds_of_their_own():
    names = sorted({name for part in family("mojo") for _, name in part.terms})
    times = {name: [1.0] * (5 if name == "engine:bare" else 7) for name in names}
    times["call:mojo"] = [4.0] * 7
    rest = next(part for part in family("mojo") if part.kind == REMAINDER)
    assert evaluate(rest, times) == [2.0] * 5


def test_a_kernel_is_the_slope_between_two_sizes():
    part = next(part for part in family("cpp") if part.name == "kernel")
    fixed, each = 2.0, 0.25
    times = {"out:cpp": [fixed + each * SMALL], "out:big:cpp": [fixed + each * BIG]}
    assert evaluate(part, times) == [pytest.approx(each * SMALL)]


def test_the_forms_of_an_op_are_timed_by_their_own_calls():
    bench = Bench()
    for name in ("eager", "cpp"):
        _add_route(bench, name, all_specs()["add"], (torch.randn(SMALL), torch.randn(SMALL)), (torch.randn(BIG),) * 2)
    terms = {name for part in FORM_PARTS if part.route in ("eager", "cpp") for _, name in part.terms}
    assert terms <= bench.calls.keys(), bench.refused
    assert bench.calls["recorded:cpp"]().requires_grad
    assert not bench.calls["formula:cpp"]().requires_grad


def test_a_part_that_could_not_be_measured_says_why_and_stays_in_the_remainder():
    timings = Timings(refused={"engine:bare": "RuntimeError: no engine here"})
    names = {name for part in family("mojo") for _, name in part.terms} - {"engine:bare"}
    timings.times.update({name: [[5.0]] for name in names})
    timings.times["call:mojo"] = [[30.0]]
    rows = {row.part: row for row in waterfall_rows(timings, ["mojo"], {}) if row.context == "call"}
    assert rows["engine hand-off"].status == "error"
    assert rows["engine hand-off"].message == "RuntimeError: no engine here"
    assert rows["engine hand-off"].median_us is None
    assert rows["dispatcher"].median_us == 5.0
    assert rows["not explained"].median_us == 25.0


def test_no_mojo_built_leaves_rows_with_the_reason(tmp_path):
    gated = dict.fromkeys(("mojo", "mojo_aot", "mojo_stock"), ("did not build", "no MAX here"))
    timings = Timings()
    timings.times.update({name: [[1.0, 1.1]] for part in family("cpp") for _, name in part.terms})
    rows = waterfall_rows(timings, ["eager", "cpp"], gated)
    assert {row.status for row in rows if row.route.startswith("mojo")} == {"did not build"}
    assert {row.message for row in rows if row.route.startswith("mojo")} == {"no MAX here"}
    assert all(row.status == "ok" for row in rows if row.route == "cpp" and row.context == "call"
               and row.kind not in ("detail", "form"))  # fmt: skip
    pack = synthetic_pack(dtypes=ONE)
    pack.set_rows("waterfall", rows)
    html = page(pack, tmp_path)
    assert html.count("no MAX here") >= 3


# crossover


def points(*ratios, width=0.01):
    return [(4**i, Interval(r, r - width, r + width)) for i, r in enumerate(ratios, start=2)]


def test_crossover_is_interpolated_in_log_size():
    def crossing(*ratios):
        return ladder.crossover([(n, ratio.mid) for n, ratio in points(*ratios)], 1.0)

    assert crossing(0.25, 0.5, 2.0, 2.0) == pytest.approx(math.sqrt(64 * 256))
    assert crossing(1.5, 1.2) == 16
    assert crossing(0.5, 2.0, 0.5) is None
    assert crossing(0.5, 1.2, 0.7, 1.5) > 256, "every larger size counts"


def test_crossover_bounds_hold_what_is_not_shown():
    narrow = ladder.bounds(points(0.25, 0.5, 2.0, 2.0), 1.0)
    assert narrow["elements_low"] < narrow["elements"] < narrow["elements_high"] < 1.1 * narrow["elements_low"]
    dip = ladder.bounds(points(0.5, 1.2, 0.99, 1.5, width=0.05), 1.0)
    assert dip["elements_low"] < 64, "a size where no difference is shown does not push the crossover up"
    assert dip["elements_high"] > 256, "and does not count as reached either"
    level = ladder.bounds(points(0.5, 1.0, 1.0, width=0.05), 1.0)
    assert level["elements_high"] is None


@pytest.mark.parametrize("op", ["add", "rms_norm", "rope", "grayscale"])
def test_ladder_sizes_are_near_what_was_wanted(op):
    spec = all_specs()[op]
    for wanted, factor in ((1 << 10, 2.5), (1 << 14, 2.5), (1 << 18, 1.5)):
        got = ladder.elements_of(ladder.make(spec, wanted, spec.dtypes[0], "cpu"))
        assert wanted / factor < got < wanted * factor


def test_crossover_rows_of_a_route_that_failed():
    timings = Timings()
    timings.add({"times": {"eager": [2.0] * 4, "cpp": [1.0] * 4}, "refused": {"mojo": "crashed"}, "first": {}})
    rows = ladder.rows("add", {16: timings}, {"mojo_aot": ("did not build", "no compiler")}, ["eager", "cpp", "mojo"])
    by = {(row.route, row.against): row for row in rows}
    assert by["cpp", "eager"].elements == 16
    assert ("cpp", "cpp") not in by
    assert (by["mojo", "cpp"].status, by["mojo", "cpp"].message) == ("error", "crashed")
    assert by["mojo_aot", "eager"].status == "did not build"


# thread pools


def test_settings_need_more_than_one_core(monkeypatch):
    monkeypatch.setattr(pools, "cores", lambda: [0])
    assert "one core" not in [setting.name for setting in pools.settings()]
    monkeypatch.setattr(pools, "cores", lambda: [0, 1])
    assert "one core" in [setting.name for setting in pools.settings()]
    assert pools.settings()[0].name == "default"


def test_thread_rows_are_held_against_the_default():
    case = {"op": "add", "routes": ["eager"], "elements": [16]}
    chosen = [pools.Setting("default", ""), pools.Setting("X=1", "x"), pools.Setting("Y=1", "y")]
    timings = {}
    for setting, runs in (("default", (4.0, 4.4)), ("X=1", (2.0,))):
        timings[setting, 16, "alone"] = Timings()
        for time in runs:
            timings[setting, 16, "alone"].add({"times": {"eager": [time] * 4}, "refused": {}, "first": {}})
    rows = {row.setting: row for row in thread_rows(case, chosen, timings, {}, {"Y=1": "worker: killed"})
            if row.pattern == "alone"}  # fmt: skip
    assert rows["default"].ratio_to_default is None
    assert (rows["default"].low_us, rows["default"].high_us) == (4.0, 4.4)
    assert rows["X=1"].ratio_to_default == pytest.approx(2.1)
    assert (rows["X=1"].ratio_low, rows["X=1"].ratio_high) == pytest.approx((2.0, 2.2))
    assert (rows["Y=1"].status, rows["Y=1"].message) == ("error", "worker: killed")


def test_advice_follows_the_rows():
    pack = synthetic_pack(dtypes=ONE)
    by_name = {setting.name: setting for setting in thread_settings(pack)}
    assert by_name["OMP_WAIT_POLICY=passive"].free
    assert not by_name["OMP_NUM_THREADS=1"].free
    advice = thread_advice(pack)
    assert advice[0].startswith("By default, right after a call that used the other pool")
    assert "take: mojo, 16 elements: 400\u00a0µs instead of 40.0\u00a0µs." in advice[0]
    assert advice[1].startswith("Set OMP_WAIT_POLICY=passive")
    for row in pack.rows("threads"):
        if row["setting"] == "OMP_WAIT_POLICY=passive" and row["route"] == "eager":
            row.update(ratio_to_default=0.5, ratio_low=0.4, ratio_high=0.6)
    assert thread_advice(pack)[1].startswith("No setting helps without a cost")


# findings and page


def test_headlines_read_the_plain_call_only():
    pack = synthetic_pack(dtypes=ONE)
    rows = dispatch(pack)
    assert {(row.row.tensors, row.row.threads, row.row.openmp) for row in plain(rows)} == {(2, 1, "idle")}
    before = call_of(rows, "mojo", "hot")
    for row in pack.rows("dispatch"):
        if row["tensors"] != 2 or row["threads"] != 1:
            row.update(median_us=0.001, low_us=0.001, high_us=0.001)
    assert call_of(dispatch(pack), "mojo", "hot") == before


def test_waterfall_explains_and_compares():
    pack = synthetic_pack(dtypes=ONE)
    by_context = {(waterfall.route, waterfall.context): waterfall for waterfall in waterfalls(pack)}
    mojo_call = by_context["mojo", "call"]
    assert mojo_call.whole is not None
    assert mojo_call.explained == pytest.approx(1 - NOT_EXPLAINED / mojo_call.whole.time.mid)
    explanation = why_compiled(pack).replace("\u00a0", " ")
    assert "guards and wrapper 22.0 µs, slower engine hand-off 40.0 µs" in explanation
    assert "26.2 µs" in explanation


def test_reach_in_words():
    pack = synthetic_pack(dtypes=ONE)
    texts = {(reach.op, reach.against): reach.text for reach in reaches(pack)}
    assert texts["add", "eager"] == "from 65.5k"
    assert texts["add", "cpp"] == "no break-even up to 16.8M"
    assert texts["rope", "eager"] == "from 16, the smallest"


def test_page_shows_the_lab(tmp_path):
    html = page(synthetic_pack(dtypes=ONE), tmp_path)
    for phrase in ("What a call is made of", "From which size on", "Thread pools", "Set OMP_WAIT_POLICY=passive",
                   "Tight loop, 4 Python threads, OpenMP active", "how engine hand-off was measured",
                   "op with its gradient formula", "overload without gradient"):  # fmt: skip
        assert phrase in html, phrase
    for name in ("dispatch", "waterfall", "ladder", "threads"):
        assert f'id="picture-{name}"' in html


@pytest.mark.parametrize("section", ["dispatch", "waterfall", "crossover", "threads"])
def test_a_lab_section_that_did_not_run_says_so(tmp_path, section):
    pack = synthetic_pack(dtypes=ONE)
    pack.skip(section, "out of <time>")
    conclude(pack)
    assert "did not run:</strong> out of &lt;time&gt;" in page(pack, tmp_path)


def test_a_side_that_did_not_build_has_its_reason_in_every_lab_section(tmp_path):
    pack = synthetic_pack(dtypes=ONE, without=("mojo", "mojo_stock", "max_graph"))
    html = page(pack, tmp_path)
    lab = html[html.index('<h2 id="dispatch">') : html.index('<h2 id="build">')]
    assert lab.count("unrecognized command-line option") >= 4
    assert why_compiled(pack) is None
