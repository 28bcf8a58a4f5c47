"""The harness measured: statistics, isolation of crashes, the plan, code counting, the command line."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from evidence.core import sampling
from evidence.core.calls import SampledJudge
from evidence.core.case_runner import CaseRunner
from evidence.core.interval import Interval
from evidence.core.machine import ROOT
from evidence.core.pack import SCHEMA_VERSION, empty_pack, mode, read_pack
from evidence.core.plan import UsageError, make_plan
from evidence.core.sampling import Budget, Visit, interleave, median_interval, plan_visit
from evidence.core.sides import SIDES, clean_copy
from evidence.core.thresholds import size_class
from evidence.core.timings import Timings, ratio_interval
from evidence.sections.runtime import worker as measuring
from evidence.sections.runtime.collected import runtime_rows, spreads
from evidence.sections.runtime.measure import LEAST_SHARE, share
from evidence.sections.runtime.plan import HUGE, runtime_cases
from evidence.sections.runtime.roofline import LARGEST, Roof

from shared_tests.routes import all_routes
from shared_tests.spec import all_specs


class SimulatedClock:
    """Stands for the `time` of the harness: it moves only by what a call is said to cost, so nothing can disturb it.

    Args:
        noise: relative standard deviation of a call's cost.
    """

    def __init__(self, noise: float = 0.0):
        self.now = 0.0
        self.noise = noise
        self.chance = np.random.default_rng(0)

    def perf_counter(self) -> float:
        return self.now

    def perf_counter_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, microseconds: float) -> Callable[[], None]:
        def once() -> None:
            self.now += microseconds * 1e-6 * (1 + self.noise * self.chance.standard_normal())

        return once


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    simulated = SimulatedClock(noise=0.05)
    monkeypatch.setattr(sampling, "time", simulated)
    # Waiting for real threads to sleep would move this clock by what else the process happens to do.
    monkeypatch.setattr(sampling, "_running_threads", lambda: 1)
    return simulated


def timings_of(times: dict[str, list[float]], processes: int = 1) -> Timings:
    timings = Timings()
    for _ in range(processes):
        timings.add({"times": times, "refused": {}, "first": {}, "elements": 1, "bytes": 8, "flops": 1})
    return timings


def test_known_ratio_is_found(simulated: SimulatedClock) -> None:
    """A call that takes three times as long is reported as a third as fast, with 1.0 outside its interval."""
    calls = {"eager": simulated.call(100), "slow": simulated.call(300)}
    ratio = ratio_interval(timings_of(interleave(calls, Budget(0.5, least_rounds=8))), "slow", "eager")
    assert ratio is not None
    assert ratio.mid == pytest.approx(1 / 3, rel=0.02)
    assert ratio.high < 0.35


@pytest.mark.parametrize(("processes", "least"), [(1, 90), (3, 92)])
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_interval_of_a_call_against_itself_holds_one(
    simulated: SimulatedClock, noise: float, processes: int, least: int
) -> None:
    """95 % nominal; a process that stops once its interval is narrow stops a little too often while it misses."""
    simulated.noise = noise
    held = 0
    for _ in range(100):
        timings = Timings()
        for _ in range(processes):
            calls = {"eager": simulated.call(200), "same": simulated.call(200)}
            timings.add({"times": interleave(calls, Budget(0.3)), "refused": {}, "first": {}})
        within = timings.within("same", "eager")
        assert within is not None
        held += within.low <= 1.0 <= within.high
    assert held >= least


def test_sampling_stops_at_budget_and_at_width(simulated: SimulatedClock) -> None:
    times = interleave({"eager": simulated.call(500)}, Budget(0.2, width=0.0, most_rounds=10_000))
    assert 0.2 < simulated.now < 0.25
    assert len(times["eager"]) >= 4
    few = interleave({"eager": simulated.call(500)}, Budget(30, width=10.0, least_rounds=4))
    assert len(few["eager"]) == 4


def test_visits_are_long_against_the_clock(simulated: SimulatedClock) -> None:
    assert plan_visit(simulated.call(1)).calls >= 700
    assert plan_visit(simulated.call(2000)) == Visit(1, warm=True)
    assert not plan_visit(simulated.call(25_000)).warm


def test_visits_that_are_given_are_not_planned_again(simulated: SimulatedClock) -> None:
    """A later process times as many calls in a row as the first one; what that could not time is planned."""
    counts = {"eager": 0, "new": 0}

    def counted(name: str) -> Callable[[], None]:
        call = simulated.call(100)

        def once() -> None:
            counts[name] += 1
            call()

        return once

    budget = Budget(10.0, most_rounds=1)
    interleave({name: counted(name) for name in counts}, budget, visits={"eager": Visit(3, warm=False)})
    assert counts["eager"] == 2 * 3
    assert counts["new"] > 2 * 8


def test_median_interval_of_known_values() -> None:
    # Ranks 41 and 61 of 101: the binomial distribution leaves 2.3 % below the one and above the other.
    assert median_interval([float(v) for v in range(1, 102)]) == Interval(51.0, 41.0, 61.0)
    # Ranks 1 and 6 of 6 hold the median in 1 - 2 / 2^6 = 97 %.
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == Interval(3.5, 1.0, 6.0)
    assert median_interval([2.0]) == Interval(2.0, 2.0, 2.0)
    # Two values: t of 12.706 with one degree of freedom on either side of their geometric mean.
    few = median_interval([1.0, 1.21])
    assert few.mid == pytest.approx(1.105)
    assert few.low == pytest.approx(1.1 / 1.1**12.7062, rel=1e-4)
    assert few.high == pytest.approx(1.1 * 1.1**12.7062, rel=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 8, 20])
def test_median_interval_holds_the_median(count: int) -> None:
    """95 % nominal at any count: of 2,000 draws of a normal distribution at least 1,860 (93 %)."""
    draws = np.exp(0.05 * np.random.default_rng(0).standard_normal((2000, count)))
    held = sum(interval.low <= 1.0 <= interval.high for interval in map(median_interval, draws))
    assert held >= 1860


def test_interval_covers_every_process() -> None:
    timings = Timings()
    for scale in (1.0, 1.2):
        timings.add({"times": {"eager": [2.0] * 8, "cpp": [1.0 * scale] * 8}, "refused": {}, "first": {}})
    ratio = ratio_interval(timings, "cpp", "eager")
    assert ratio is not None
    assert (round(ratio.low, 3), round(ratio.high, 3)) == (1.667, 2.0)


CASE = {
    "kind": "runtime", "op": "add", "sample": "Llama-3-8B decode, 1x4096", "dtype": "float32", "elements": 4096,
    "routes": ["eager"], "kernel_routes": ["eager"], "modes": ["call"], "budget": {"seconds": 0.05},
}  # fmt: skip


def runner(folder: Path, timeout: float = 120, **environment: str) -> CaseRunner:
    return CaseRunner("runtime", "cpu", folder / "log.txt", {**os.environ, **environment}, timeout)


def test_crash_of_a_worker_costs_one_case(tmp_path: Path) -> None:
    """The case whose process dies is lost with its exit code; the cases before and behind it are measured."""
    broken = {**CASE, "op": "no such op"}
    heard, lost = [], []
    worker = runner(tmp_path)
    worker.run([CASE, broken, CASE], heard.append, lambda case, why: lost.append((case["op"], why)))
    assert [line["case"]["op"] for line in heard if "case" in line] == ["add", "add"]
    assert [op for op, _ in lost] == ["no such op"]
    assert "ended with 1" in lost[0][1]


def test_hang_of_a_worker_is_killed(tmp_path: Path) -> None:
    lost = []
    worker = runner(tmp_path, timeout=0.2)  # importing torch takes longer
    worker.run([CASE], lambda line: None, lambda case, why: lost.append(why))
    assert len(lost) == 1
    assert "killed" in lost[0]
    assert worker.child is not None
    assert worker.child.code is not None


def test_a_hang_is_reported_with_its_place(tmp_path: Path) -> None:
    """The process writes its stacks before it is killed; the reason names the frame that it hung in."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\ndef stuck():\n    time.sleep(1000)\n"
        "if 'evidence.core.worker' in sys.orig_argv:\n    stuck()\n"
    )
    lost = []
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    worker = runner(tmp_path, 2, PYTHONPATH=path)
    worker.run([CASE], lambda line: None, lambda case, why: lost.append(why))
    assert len(lost) == 1
    assert "nothing within 2 s: killed in stuck, sitecustomize.py:3" in lost[0]
    assert "most recent call first" in (tmp_path / "log.txt").read_text()


def test_refused_route_keeps_a_row_with_its_reason() -> None:
    timings = timings_of({"eager": [1.0] * 5})
    timings.refused["cpp"] = "add output 0: error 1 against float64, allowed 0"
    case = {**CASE, "routes": ["eager", "cpp"]}
    between = spreads([(case, "call", timings)])
    rows = runtime_rows(case, "call", timings, "cpu", {"mojo": ("did not build", "no compiler")}, between)
    status = {row.route: (row.status, row.median_us) for row in rows}
    assert status["cpp"] == ("failed correctness", None)
    assert status["mojo"] == ("did not build", None)
    assert status["eager"][0] == "ok"


def test_a_case_of_long_calls_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of eager PyTorch says so and replaces the rows of all routes; later processes skip the case."""
    lines: list[dict] = []
    monkeypatch.setattr(measuring, "LONGEST_CALL", 0.0)
    monkeypatch.setattr(measuring, "say", lambda **line: lines.append(line))
    measuring.run_case(CASE, "cpu")
    assert [line["refused"].keys() for line in lines] == [{"eager"}]
    timings = Timings()
    timings.add(lines[0])
    (row,) = runtime_rows({"kernel_routes": [], **CASE}, "call", timings, "cpu", {}, spreads([(CASE, "call", timings)]))
    assert (row.route, row.status, row.median_us) == ("eager", "left out", None)
    assert "cases above 0 s are left out" in row.message


def test_the_worker_says_what_rows_and_roof_need(tmp_path: Path) -> None:
    """Both modes of one case: times, visits (given or planned), load of others, share of reads, and its roof."""
    heard: list[dict] = []
    top = {"kind": "roofline", "library": None}
    case = {**CASE, "modes": ["call", "kernel"], "visits": {"call": {"eager": (7, False)}}}
    runner(tmp_path).run([top, case], heard.append, pytest.fail)
    by_mode = {line["mode"]: line for line in heard if "mode" in line}
    assert len(by_mode["call"]["times"]["eager"]) >= 2
    assert by_mode["call"]["visits"]["eager"] == [7, False]
    assert by_mode["kernel"]["visits"]["eager"][0] >= 1
    assert by_mode["kernel"]["reads"] == 2
    assert by_mode["kernel"]["bytes"] == 3 * 4 * 4096
    assert 0 < by_mode["kernel"]["beside"] <= by_mode["kernel"]["roof"]["gb_per_s"]
    assert "beside" not in by_mode["call"]
    assert "others" in by_mode["call"]
    roof = next(line for line in heard if "roofline" in line)
    assert {row["dtype"] for row in roof["products"]} == {"float32", "bfloat16", "float16"}


def test_calls_in_turn_take_other_memory_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal values from as many places as reach past the caches, then the first again; ready outputs stay."""
    monkeypatch.setattr(measuring, "TOGETHER", 5 * 1000 - 1)
    args, out = (torch.arange(4.0), 2.0), torch.empty(4)
    taken: list[tuple[int, float]] = []

    def call(held: list, x: torch.Tensor, factor: float, into: torch.Tensor) -> None:
        held.append((x.data_ptr(), torch.mul(x, factor, out=into).sum().item()))

    sets = measuring.equal_sets(args, 1000)
    calls = measuring.in_turn(sets, {"cpp": functools.partial(functools.partial(call, taken), *args, out)}, (out,))
    for _ in range(6):
        calls["cpp"]()
    places = [place for place, _ in taken]
    assert len(set(places)) == 5
    assert places[5] == places[0] == args[0].data_ptr()
    assert {total for _, total in taken} == {12.0}


def test_samples_in_turn_are_held_to_the_memory(tmp_path: Path) -> None:
    """Samples read in turn exceed the caches together, so memory bandwidth limits even a small call."""
    heard: list[dict] = []
    sample = next(s for s in all_specs()["gpt2_mlp"].bench_samples if s.in_turn)
    case = {**CASE, "op": "gpt2_mlp", "sample": sample.id, "modes": ["kernel"], "kernel_routes": ["eager", "cpp"]}
    top = {"kind": "roofline", "library": None}
    runner(tmp_path).run([top, case], heard.append, pytest.fail)
    kernel_line = next(line for line in heard if line.get("mode") == "kernel")
    assert not kernel_line["refused"]
    assert kernel_line["bytes"] < kernel_line["set"] == kernel_line["roof"]["bytes"] == LARGEST
    roof = Roof("cpu")
    roof.add([{"bytes": 1 << 20, "reads": 1, "gb_per_s": 100.0}, {"bytes": LARGEST, "reads": 1, "gb_per_s": 20.0}])
    time = Interval(1000.0, 990.0, 1010.0)
    shares = [roof.hold(time, 1 << 20, 1.0, 0, "float32", size)["roofline_share"] for size in (None, LARGEST)]
    assert shares[1] == pytest.approx(5 * shares[0])


def test_an_op_in_place_is_timed_as_called_too(tmp_path: Path) -> None:
    """Users call the op itself, so its calls are timed and enter the averages of calls."""
    heard: list[dict] = []
    case = {**CASE, "op": "fused_add_rms_norm", "modes": ["call", "kernel"]}
    case["sample"] = all_specs()["fused_add_rms_norm"].bench_samples[0].id
    runner(tmp_path).run([case], heard.append, pytest.fail)
    by_mode = {line["mode"]: line for line in heard if "mode" in line}
    for form in ("call", "kernel"):
        assert not by_mode[form]["refused"]
        assert len(by_mode[form]["times"]["eager"]) >= 2


def test_a_process_that_refuses_to_measure_loses_every_case(tmp_path: Path) -> None:
    lost = []
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    worker = runner(tmp_path, 120, PYTHONPATH=path)
    # a clock that stands still, before the worker looks at it
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.perf_counter_ns = lambda: 1\n")
    worker.run([CASE, CASE], lambda line: pytest.fail(str(line)), lambda case, why: lost.append(why))
    assert lost == ["the clock stood still for 50 ms of another clock"] * 2


@pytest.mark.parametrize(
    ("left", "processes", "expected"), [(100, 2, 1.0), (40, 2, 0.5), (10, 2, LEAST_SHARE), (-5, 1, LEAST_SHARE)]
)
def test_later_processes_shrink_their_budgets(left: float, processes: int, expected: float) -> None:
    """20 s of sampling and 10 s of anything else: 40 s for two leave half of the sampling."""
    assert share(left, processes, sampled=20, rest=10) == expected


def test_ratios_pair_what_was_timed_side_by_side() -> None:
    """A route that the second process lacked is compared with eager of the first and third."""
    timings = Timings()
    for eager, cpp in (([2.0] * 4, [1.0] * 4), ([20.0] * 4, None), ([4.0] * 4, [2.0] * 4)):
        times = {"eager": eager} | ({"cpp": cpp} if cpp else {})
        timings.add({"times": times, "refused": {}, "first": {}})
    assert timings.medians("cpp", "eager") == [2.0, 2.0]
    assert timings.medians("cpp", "time") == [1.0, 2.0]
    assert timings.medians("eager", "time") == [2.0, 20.0, 4.0]


def test_a_quick_run_has_fewer_cases_and_as_many_processes() -> None:
    quick, full = make_plan("", "", "cpu", mode="quick"), make_plan("", "", "cpu", mode="full")
    assert quick.processes >= 3
    assert full.processes >= 3
    assert 5 <= len(runtime_cases(quick)) < len(runtime_cases(full))
    for plan in (quick, full):
        assert {case["op"] for case in runtime_cases(plan)} == set(plan.compared_ops())
        timed = {route for case in runtime_cases(plan) for route in case["routes"]}
        assert timed >= {"eager", "compile", "cpp", "cpp_classic", "mojo", "mojo_aot", "mojo_stock"}
        assert all("mojo_stock" not in case["kernel_routes"] for case in runtime_cases(plan))


def test_a_standard_run_spans_every_op_in_two_dtypes() -> None:
    """Every op on the routes that decide, from its smallest size class to its largest, in its first two dtypes."""
    plan = make_plan("", "", "cpu")
    assert (plan.mode, plan.routes) == ("standard", ["eager", "compile", "cpp", "mojo", "mojo_aot"])
    planned = runtime_cases(plan)
    for op in plan.compared_ops():
        spec = all_specs()[op]
        own = [case for case in planned if case["op"] == op]
        dtypes = list(dict.fromkeys(case["dtype"] for case in own))
        assert dtypes == [str(dtype).removeprefix("torch.") for dtype in spec.dtypes[:2]]
        first = [case for case in own if case["dtype"] == dtypes[0]]
        assert 2 <= len(first) <= 3
        plain = [sample for sample in spec.bench_samples if not sample.in_turn]
        assert {size_class(case["elements"]) for case in first} == {size_class(s.elements) for s in plain}
        assert [case["modes"] for case in first] == [["call"]] * (len(first) - 1) + [["call", "kernel"]]
        assert all("compile" in case["routes"] for case in first)
        further = [case for case in own if case["dtype"] != dtypes[0]]
        assert all(case["modes"] == ["call"] and case["elements"] < HUGE for case in further)
    assert len(planned) < len(runtime_cases(make_plan("", "", "cpu", mode="full"))) / 2


def test_later_processes_hold_results_to_the_reference_of_the_first(tmp_path: Path) -> None:
    """The first process writes the reference; a wrong one refuses what differs from it, also by a later process."""
    file = tmp_path / "references/add.pt"
    case = {**CASE, "reference": str(file)}
    heard: list[dict] = []
    runner(tmp_path).run([case], heard.append, pytest.fail)
    runner(tmp_path).run([{**case, "first": False}], heard.append, pytest.fail)
    assert [line["refused"] for line in heard if "mode" in line] == [{}] * 2 * len(CASE["modes"])
    kept = torch.load(file)
    spec = all_specs()[CASE["op"]]
    sample = next(s for s in spec.bench_samples if s.id == CASE["sample"])
    args = sample.make(getattr(torch, CASE["dtype"]), "cpu")
    judge = SampledJudge(spec, args, sample.elements, file)
    right = spec.eager(*args)
    assert judge.wrong(right, True) is None
    assert judge.wrong(right + 1, True)
    assert judge.wrong(right[:, :1], True)
    assert judge.kept["limits"] == kept["limits"]


def test_a_case_past_its_time_is_left_to_earlier_processes(tmp_path: Path) -> None:
    heard: list[dict] = []
    runner(tmp_path).run([{**CASE, "until": 0.0}, {**CASE, "until": 1e12}], heard.append, pytest.fail)
    assert ["mode" in line for line in heard] == [False, False, True]


def test_a_result_that_the_rule_accepts_raises_the_limit(tmp_path: Path) -> None:
    """Within the rounding error of the formula and beyond twice eager's error: later processes accept it at once."""
    spec = all_specs()["add"]
    args = (torch.full((4,), 1 / 3), torch.full((4,), 1e-3))
    judge = SampledJudge(spec, args, 4, tmp_path / "add.pt")
    exact = (args[0].double() + args[1].double()).float()
    judge.kept["limits"] = [0.0]
    assert judge.wrong(exact, True) is None
    later = SampledJudge(spec, args, 4, tmp_path / "add.pt")
    assert later.kept["limits"][0] > 0
    assert later.wrong(exact, True) is None
    assert "whole" not in vars(later)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"mode": "standard", "quick": False}, "standard"),
        ({"quick": False}, "full"),
        ({"quick": True}, "quick"),
        ({}, "full"),
    ],
)
def test_the_mode_of_a_pack(facts: dict, expected: str) -> None:
    """Packs of earlier releases say only whether they are quick."""
    pack = empty_pack()
    pack.set_facts("settings", facts)
    assert mode(pack) == expected


def test_a_route_is_not_timed_on_an_op_that_it_lacks() -> None:
    lacking = {spec.name for spec in all_specs().values() if all_routes()["max_graph"].lacks(spec)}
    timed = {
        case["op"] for case in runtime_cases(make_plan("", "", "cpu", mode="full")) if "max_graph" in case["routes"]
    }
    assert "attention" in lacking
    assert timed == {spec.name for spec in all_specs().values() if not spec.probe} - lacking


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"--ops: unknown name 'ad', known are .*add.*rope"):
        make_plan("ad", "", "cpu", mode="quick")
    with pytest.raises(UsageError, match=r"--routes: unknown name 'c', known are .*cpp.*mojo"):
        make_plan("", "c", "cpu", mode="quick")


def test_eager_is_always_measured() -> None:
    assert make_plan("add", "cpp", "cpu", mode="quick").routes == ["eager", "cpp"]


@pytest.mark.parametrize("name", list(SIDES))
def test_the_edit_applies_to_todays_kernel(name: str, tmp_path: Path) -> None:
    side = SIDES[name]
    with clean_copy(side, tmp_path) as copy:
        before = (copy / side.edit.file).read_text()
        side.edit.apply(copy)
        after = (copy / side.edit.file).read_text()
        changed = [b for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
        assert len(changed) == 1
        assert " - " in changed[0]
        assert not list(copy.rglob("*.so"))
        with pytest.raises(ValueError, match="0 times, expected once"):
            side.edit.apply(copy)
    assert not copy.exists()


def evidence(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evidence", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("compare", "--ops", "softmaxx"), ("unknown name 'softmaxx'", "rms_norm")),
        (("compare", "--routes", "cuda"), ("unknown name 'cuda'", "mojo_stock")),
        (("compare", "--device", "tpu"), ("invalid choice: 'tpu'", "cuda")),
        (("report", "/nonexistent/pack"), ("does not exist",)),
    ],
)
def test_bad_usage_ends_with_2_and_no_traceback(arguments: tuple[str, ...], fragments: tuple[str, ...]) -> None:
    done = evidence(*arguments)
    output = done.stdout + done.stderr
    assert done.returncode == 2
    assert "Traceback" not in output
    for fragment in fragments:
        assert fragment in output


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("{", ("not JSON",)),
        (json.dumps({"schema_version": 2}), ("schema_version", "older")),
        (json.dumps({"schema_version": SCHEMA_VERSION}), ("is missing",)),
    ],
)
def test_broken_pack_is_refused_by_field(text: str, fragments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text(text)
    done = evidence("report", str(tmp_path))
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    for fragment in fragments:
        assert fragment in done.stdout


def test_interruption_leaves_a_valid_partial_pack(tmp_path: Path) -> None:
    """SIGINT in the middle: exit code 130, a readable pack that says what is missing, and a rendered report."""
    command = [
        sys.executable,
        "-m",
        "evidence",
        "compare",
        "--quick",
        "--ops",
        "add",
        "--routes",
        "eager",
        "--out",
        str(tmp_path),
    ]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    output = []
    for line in child.stdout:
        output.append(line)
        if re.search(r"^ +\d+%  correctness", line):
            child.send_signal(signal.SIGINT)
            break
    output.append(child.stdout.read())
    assert child.wait(timeout=120) == 130, "".join(output)
    assert "Traceback" not in "".join(output)
    pack = read_pack(tmp_path)
    assert pack.status == "partial"
    assert pack.section_status("machine") == "ran"
    assert {"runtime", "build", "dispatch"} <= {entry["section"] for entry in pack.missing}
    assert (tmp_path / "report.html").exists()
