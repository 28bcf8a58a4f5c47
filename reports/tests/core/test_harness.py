"""The harness against itself: what is alike shows no difference, what is slower is found, what cheats is caught."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from evidence.core import calls, clock, honesty, quiet, worker
from evidence.core.between import Kind
from evidence.core.interval import Interval
from evidence.core.sampling import Budget, alternate
from evidence.core.timings import Timings
from evidence.sections.runtime import roofline
from evidence.sections.runtime.collected import spreads

from shared_tests.spec import all_specs

SPEC = all_specs()["add"]
PROCESSES = 3


def spin(microseconds: float) -> Callable[[], None]:
    """A call that keeps the core busy for so long by the clock, so that the machine's speed does not matter."""

    def call() -> None:
        end = time.perf_counter_ns() + int(microseconds * 1000)
        while time.perf_counter_ns() < end:
            pass

    return call


def verdicts(trials: list[Timings], route: str) -> list[Interval]:
    """The interval of each trial's ratio, computed in the same way as for the rows of a pack."""
    case = {"elements": 4096}
    between = spreads((case, "call", timings) for timings in trials)
    kind = Kind(route, "eager", "call", "small")
    shown = []
    for timings in trials:
        within = timings.within(route, "eager")
        assert within is not None
        shown.append(between.show(kind, within, np.log(timings.medians(route, "eager")).tolist()).interval)
    return shown


def trial(times_of_a_process: Callable[[], dict[str, list[float]]]) -> Timings:
    timings = Timings()
    for _ in range(PROCESSES):
        timings.add({"times": times_of_a_process(), "refused": {}, "first": {}})
    return timings


class SimulatedMachine:
    """Calls of a known cost on a machine with drift, spikes, and a factor for each route in each process."""

    def __init__(self, seed: int, between: float = 0.01):
        self.chance = np.random.default_rng(seed)
        self.between = between

    def process(self, costs: dict[str, float], rounds: int = 8) -> dict[str, list[float]]:
        place = {name: math.exp(self.between * self.chance.standard_normal()) for name in costs}
        speed = 1.0

        def visit(name: str) -> Callable[[], float]:
            def once() -> float:
                nonlocal speed
                speed *= math.exp(0.01 * self.chance.standard_normal())
                spike = 1 + self.chance.pareto(3) if self.chance.random() < 0.05 else 1.0
                return costs[name] * place[name] * speed * spike * math.exp(0.005 * self.chance.standard_normal())

            return once

        return alternate({name: visit(name) for name in costs}, Budget(60, width=0.0, most_rounds=rounds))


def test_a_against_a_on_a_simulated_machine() -> None:
    machine = SimulatedMachine(1)
    shown = verdicts([trial(lambda: machine.process({"eager": 100, "same": 100})) for _ in range(100)], "same")
    held = sum(interval.low <= 1 <= interval.high for interval in shown)
    assert held >= 95


def test_five_percent_is_found_on_a_simulated_machine() -> None:
    machine = SimulatedMachine(2)
    shown = verdicts([trial(lambda: machine.process({"eager": 100, "slow": 105})) for _ in range(50)], "slow")
    assert sum(interval.high < 1 for interval in shown) >= 45
    assert np.median([interval.mid for interval in shown]) == pytest.approx(1 / 1.05, abs=0.005)


def test_drift_hits_both_sides_alike() -> None:
    """A machine that slows down by 1 % a visit: without the way back the second call would look slower."""
    slower = 1.0

    def visit() -> float:
        nonlocal slower
        slower *= 1.01
        return 100 * slower

    times = alternate({"eager": visit, "same": visit}, Budget(60, width=0.0, most_rounds=20))
    ratio = np.median(np.array(times["eager"]) / np.array(times["same"]))
    assert abs(ratio - 1) < 2e-4


# a clock that lies


def test_this_machines_clock_is_fit() -> None:
    clock.check()


class Real:
    """The time of a machine on which nothing else runs, for clocks that tell it wrongly: a reading takes 100 ns."""

    def __init__(self) -> None:
        self.now = self.reads = 0

    def read(self) -> int:
        self.now += 100
        self.reads += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda real: 42, "stood still"),
        (lambda real: real.read() // 1_000_000 * 1_000_000, "steps of 1000000 ns"),
        (lambda real: real.read() - (50_000_000 if real.reads % 1001 == 0 else 0), "ran backward by"),
        (lambda real: int(real.read() * 0.9), r"at 0\.900 of the rate"),
        (lambda real: int(real.read() * 1.006), r"at 1\.006 of the rate"),
    ],
    ids=["frozen", "coarse", "backward", "slow", "fast"],
)
def test_a_lying_clock_is_refused(lie: Callable[[Real], int], message: str, monkeypatch: Any) -> None:
    real = Real()
    monkeypatch.setattr(clock.time, "sleep", real.sleep)
    clock.check(real.read, real.read, real.read)
    with pytest.raises(clock.ClockError, match=message):
        clock.check(lambda: lie(real), real.read, real.read)


def test_programs_between_two_readings_are_no_lie(monkeypatch: Any) -> None:
    """10 ms of other programs before seven of eight readings, as on a machine that is busy with something else."""
    real = Real()
    monkeypatch.setattr(clock.time, "sleep", real.sleep)

    def disturbed() -> int:
        real.now += 10_000_000 if real.reads % 8 else 0
        return real.read()

    clock._check_rate(disturbed, real.read)


def test_a_clock_that_agrees_only_with_itself_is_refused(monkeypatch: Any) -> None:
    """Both clocks slowed alike, as under a debugger or a bad hypervisor: the thread worked longer than they saw."""
    real = Real()
    monkeypatch.setattr(clock.time, "sleep", real.sleep)
    with pytest.raises(clock.ClockError, match="worked for"):
        clock.check(real.read, other=real.read, busy=lambda: 50 * real.read())


def test_a_process_with_a_lying_clock_measures_nothing(tmp_path: Any, monkeypatch: Any) -> None:
    """The worker checks the clock itself: it reports why it ends, and every case is lost with that reason."""
    monkeypatch.setattr(
        worker.sys, "argv", ["worker", '{"section": "runtime", "cases": [{"kind": "runtime"}], "device": "cpu"}']
    )
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(worker, "say", lambda **line: lines.append(line))

    def refuse() -> None:
        raise clock.ClockError("the clock stood still")

    class Left(BaseException):
        pass

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(worker.clock, "check", refuse)
    monkeypatch.setattr(worker.os, "_exit", leave)
    with pytest.raises(Left, match="3"):
        worker.main()
    assert lines == [{"fatal": "the clock stood still"}]


# calls that cheat: the functions are those that the worker runs around its timing

A, B = torch.randn(64, 512), torch.randn(64, 512)


def later(delay: float, work: Callable[[], object]) -> None:
    def run() -> None:
        time.sleep(delay)
        work()

    threading.Thread(target=run, daemon=True).start()


def often(check: Callable[[], str | None]) -> str:
    """The first reason in five tries: a loaded machine may let the late thread run before the check looks."""
    return next((why for _ in range(5) if (why := check())), "")


def refused_before(call: Callable[..., Any], outs: tuple[torch.Tensor, ...] = (), args: Any = (A, B)) -> str | None:
    """What the worker refuses before it times anything."""
    refused: dict[str, str] = {}
    calls.honest(SPEC, args, {"route": lambda: call(*args, *outs)}, outs, refused)
    return refused.get("route")


def refused_after(call: Callable[..., Any], outs: tuple[torch.Tensor, ...] = (), args: Any = (A, B)) -> str | None:
    """What the worker refuses after it has timed."""
    allowed = calls.Judge(SPEC, args, 64 * 512).allowed(outs or (torch.empty_like(A),))
    return honesty.follows(SPEC, {"route": (lambda: call(*args, *outs), outs)}, args, allowed).get("route")


def kept(memory: dict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    if key not in memory:
        memory[key] = make()
    return memory[key]


def test_an_honest_call_passes() -> None:
    assert refused_before(torch.add) is None
    assert refused_after(torch.add) is None
    out = (torch.empty_like(A),)
    ready = lambda a, b, o: torch.add(a, b, out=o)  # noqa: E731
    assert refused_before(ready, out) is None
    assert refused_after(ready, out) is None


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01])
def test_a_call_that_returns_early_is_caught(delay: float) -> None:
    out = (torch.empty_like(A),)

    def early(a: torch.Tensor, b: torch.Tensor, o: torch.Tensor) -> None:
        later(delay + 0.0005, lambda: torch.add(a, b, out=o))

    why = often(lambda: refused_before(early, out))
    assert "returned before" in why or "changed within" in why


def test_a_functional_call_that_returns_early_is_caught() -> None:
    def early(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        out = torch.full_like(a, 7.0)
        later(0.002, lambda: torch.add(a, b, out=out))
        return out

    why = often(lambda: refused_before(early))
    assert "returned before" in why or "changed within" in why


def test_a_call_that_never_writes_is_caught_after_timing() -> None:
    out = (A + B,)
    assert "is wrong by inf" in str(refused_after(lambda a, b, o: None, out))


def test_a_result_that_changes_later_is_caught() -> None:
    def restless(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        result = a + b
        later(0.005, lambda: result[-1].zero_())
        return result

    why = often(lambda: refused_before(restless))
    assert "changed within 20 ms" in why or "returned before" in why


@pytest.mark.parametrize(
    "key",
    [
        lambda a, b: "always",
        lambda a, b: (id(a), id(b)),
        lambda a, b: (a.data_ptr(), a._version, b.data_ptr(), b._version),
    ],
    ids=["always", "identity", "version"],
)
def test_a_replayed_result_is_caught(key: Callable[..., Any]) -> None:
    """Also one that watches PyTorch's version counters, and one that hands out a copy of what it keeps."""
    memory: dict[Any, torch.Tensor] = {}

    def same_memory(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return kept(memory, key(a, b), lambda: a + b)

    assert "the same memory" in str(refused_before(same_memory))

    def copy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return kept(memory, key(a, b), lambda: a + b).clone()

    copy(A, B)
    assert "repeats the result of the inputs before" in str(refused_after(copy))


def test_a_result_in_the_inputs_memory_is_caught() -> None:
    assert "an input's own memory" in str(refused_before(lambda a, b: a.view(a.shape), args=(A.clone(), B)))


def test_a_call_that_does_half_of_the_work_is_caught() -> None:
    before = A + B

    def half(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        result = before.clone()  # fresh memory may hold the right result of the call that was compared last
        torch.add(a[:32], b[:32], out=result[:32])
        return result

    assert "after its inputs changed" in str(refused_after(half))


@pytest.mark.parametrize("op", ["add", "gelu_tanh", "grayscale", "rms_norm", "rope"])
def test_inputs_are_as_before_and_every_output_had_to_change(op: str) -> None:
    """The changed inputs must change every output of every op, or the replay check could not detect a replay."""
    spec = all_specs()[op]
    small = min(spec.bench_samples, key=lambda sample: sample.elements)
    for dtype in spec.dtypes:
        args = small.make(dtype, "cpu")
        copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in args]
        before = spec.results(spec.eager(*args))
        with honesty.changed(spec, args):
            during = spec.results(spec.eager(*args))
        for x, y in zip(args, copies, strict=True):
            assert not isinstance(x, torch.Tensor) or torch.equal(x, y)
        for output_before, output_during in zip(before, during, strict=True):
            assert (output_before != output_during).float().mean() > 0.5, (op, dtype)
        judge = calls.Judge(spec, args, small.elements)
        assert honesty.follows(spec, {"eager": (lambda a=args: spec.eager(*a), ())}, args, judge.allowed(before)) == {}


@pytest.mark.parametrize("op", [name for name, spec in all_specs().items() if not spec.probe])
def test_eager_passes_the_judge_of_every_op(op: str) -> None:
    """Eager also follows a change of its inputs that no version counter sees, in the tensors saved by autograd too."""
    spec = all_specs()[op]
    small = min(spec.bench_samples, key=lambda sample: sample.elements)
    args = small.make(torch.float32, "cpu")
    judge = calls.Judge(spec, args, small.elements)
    call = spec.functional(spec.eager)
    assert judge.wrong(call(*args), False) is None
    if not spec.mutates:
        allowed = judge.allowed(spec.empty_outputs(*args))
        assert honesty.follows(spec, {"eager": (lambda: call(*args), ())}, args, allowed) == {}


def test_load_of_others_is_seen() -> None:
    """Only that a reading comes and is no nonsense: what others do on this machine is not in this test's hands."""
    before = quiet.Load.now()
    spin(50_000)()
    others = quiet.Load.now().others_since(before)
    assert others is None or 0 <= others < 1024


def test_children_are_not_others() -> None:
    """The models' workers were: two cores in use and nobody else there read as a load of 1.8."""
    before = quiet.Load.now()
    burn = "import time\nwhile time.process_time() < 0.3:\n    pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert quiet.Load.now().own - before.own >= 0.3


def test_the_roof_is_measured(tmp_path: Any) -> None:
    """Both ways of measuring bandwidth work on any machine; PyTorch's passes are used where nothing compiles."""
    library, why = roofline.build(tmp_path)
    assert (library is None) == (why is not None)
    for bandwidth in (roofline.Bandwidth(library, "cpu", lambda: None), roofline.Bandwidth(None, "cpu", lambda: None)):
        small, large = bandwidth.measure(1 << 18, 1), bandwidth.measure(64 << 20, 2)
        assert small["gb_per_s"] > 0.5
        assert large["gb_per_s"] > 0.5
        assert 0.1 < large["typical"] <= large["gb_per_s"]
        assert bandwidth.measure(1 << 18, 1) is small, "in the caches it is measured once"
        assert bandwidth.measure(64 << 20, 2) is not large, "memory is measured beside every row"
    (registers,) = roofline.Bandwidth(library, "cpu", lambda: None).registers()
    assert 1 < registers["gflops"] < 1e5
    assert roofline.Bandwidth(None, "cpu", lambda: None).registers() == []
    assert roofline.reads_per_write(3, 1) == 3
    assert roofline.reads_per_write(0, 0) == 1
