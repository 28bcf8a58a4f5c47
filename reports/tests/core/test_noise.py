"""The spread between processes: fitted, borrowed, and wide enough that two runs agree. Simulated, with fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evidence.core.between import LEAST_ROWS, Between, Kind, Prior, fit
from evidence.core.interval import Interval
from evidence.core.pack import Pack, empty_pack
from evidence.core.sampling import median_interval
from evidence.core.timings import Timings
from evidence.sections.dispatch.calls import mark_noisy
from evidence.sections.dispatch.row import DispatchRow
from evidence.sections.runtime.cases import cases, headline
from evidence.sections.runtime.collected import noise_rows, runtime_rows, spreads
from evidence.sections.runtime.noise import band
from evidence.sections.runtime.roofline import REGISTERS, Roof, above_roof
from few_rows import times

KIND = Kind("mojo_aot", "cpp", "call", "large")
PROCESSES = 3


class Machine:
    """A simulated one: every row has a true ratio and its own spread between processes; a run may drift as a whole."""

    def __init__(self, seed: int, rows: int, tails: float | None = None, unlike: float = 0.0, drift: float = 0.0):
        """`tails`: degrees of freedom of Student's t; `unlike`: sd of ln(sd); `drift`: of a run, in sd of a process."""
        self.chance = np.random.default_rng(seed)
        self.truth = np.zeros(rows)
        self.sds = 0.03 * np.exp(unlike * self.chance.standard_normal(rows))
        self.tails, self.drift = tails, drift

    def run(self) -> np.ndarray:
        """ln(ratio), a row a line, a process a column."""
        shape = (len(self.truth), PROCESSES)
        if self.tails is None:
            noise = self.chance.standard_normal(shape)
        else:
            noise = self.chance.standard_t(self.tails, shape) / math.sqrt(self.tails / (self.tails - 2))
        drift = self.drift * self.chance.standard_normal((len(self.truth), 1))
        return self.truth[:, None] + self.sds[:, None] * (noise + drift)


def intervals(logs: np.ndarray) -> list[Interval]:
    between = Between((KIND, list(row)) for row in logs)
    middles = [math.exp(float(np.median(row))) for row in logs]
    # within a process a ratio is read to 0.4 %
    return [between.show(KIND, Interval(m, m * 0.996, m * 1.004), list(row)).interval
            for m, row in zip(middles, logs, strict=True)]  # fmt: skip


def overlap(first: Interval, second: Interval) -> bool:
    return max(first.low, second.low) <= min(first.high, second.high)


@pytest.mark.parametrize("rows", [6, 15, 30])
@pytest.mark.parametrize("tails", [None, 3.0])
@pytest.mark.parametrize("unlike", [0.0, 0.5])
@pytest.mark.parametrize("drift", [0.0, 0.5, 1.0])
def test_two_runs_agree(rows: int, tails: float | None, unlike: float, drift: float) -> None:
    """At least 95 % of the rows' intervals of two runs overlap, also where whole runs drift by a process's spread."""
    agree, count = 0, 0
    for seed in range(600 // rows):
        machine = Machine(seed, rows, tails, unlike, drift)
        for first, second in zip(intervals(machine.run()), intervals(machine.run()), strict=True):
            agree, count = agree + overlap(first, second), count + 1
    assert agree / count >= 0.95


@pytest.mark.parametrize("tails", [None, 3.0])
def test_intervals_hold_the_truth(tails: float | None) -> None:
    """At least 95 % contain the true ratio: the intervals also allow for drift between runs, which makes them wider."""
    held = [
        interval.low <= 1 <= interval.high
        for seed in range(60)
        for interval in intervals(Machine(seed, 12, tails, 0.3).run())
    ]
    assert np.mean(held) >= 0.95


def test_prior_of_known_spread_is_found() -> None:
    chance = np.random.default_rng(1)
    alike = fit((0.05**2 * chance.chisquare(2, 400) / 2).tolist(), 2)
    assert alike is not None
    assert alike.sd == pytest.approx(0.05, rel=0.1)
    assert alike.dof > 20
    # rows whose own variances follow a scaled inverse chi square with 4 degrees of freedom
    unlike = fit((0.05**2 * chance.f(2, 4, 400)).tolist(), 2)
    assert unlike is not None
    assert unlike.sd == pytest.approx(0.05, rel=0.15)
    assert 2.5 < unlike.dof < 7


def test_outliers_do_not_widen_the_others() -> None:
    variances = (0.02**2 * np.random.default_rng(2).chisquare(2, 20) / 2).tolist()
    clean, spoilt = fit(variances, 2), fit([*variances[:-2], 0.25, 0.36], 2)
    assert clean is not None
    assert spoilt is not None
    assert spoilt.sd < 2 * clean.sd


def test_too_few_rows_lend_nothing() -> None:
    assert fit([1e-4] * (LEAST_ROWS - 1), 2) is None
    alone = Between([(KIND, [0.0, 0.1, -0.1])])
    shown = alone.show(KIND, Interval(1.0, 0.99, 1.01), [0.0, 0.1, -0.1])
    assert shown.noisy is None
    # the t interval of two degrees of freedom: 4.3 times the standard error
    assert shown.interval.high > math.exp(4.3 * 0.1 * 0.6)
    assert alone.band(KIND, PROCESSES) is None


def test_a_kind_with_few_rows_borrows_from_a_wider_one() -> None:
    chance = np.random.default_rng(3)
    other = Kind("mojo_aot", "cpp", "call", "small")
    rows = [(other, list(0.02 * chance.standard_normal(3))) for _ in range(12)]
    between = Between([*rows, (KIND, [0.0, 0.01, 0.02])])
    prior = between.prior(KIND)
    assert isinstance(prior, Prior)
    assert (prior.over, prior.rows) == ("this route, base and mode", 13)
    rows_of_noise = {row.size_class: row for row in noise_rows(between, "cpu", PROCESSES)}
    assert rows_of_noise["large"].rows == 1
    assert rows_of_noise["large"].pooled_rows == 13


def test_noisy_is_what_the_others_cannot_explain() -> None:
    chance = np.random.default_rng(4)
    rows = [list(0.02 * chance.standard_normal(3)) for _ in range(20)]
    loud = [0.0, 0.5, -0.4]
    between = Between((KIND, row) for row in [*rows, loud])
    quiet = [between.show(KIND, Interval(1, 1, 1), row).noisy for row in rows]
    assert sum(why is not None for why in quiet) == 0
    shown = between.show(KIND, Interval(1, 1, 1), loud)
    assert shown.noisy is not None
    assert "its ratio to cpp varies by 45" in shown.noisy
    assert shown.interval.high > 5, "its own spread speaks, not the others'"


def test_chance_alone_makes_one_row_in_a_thousand_noisy() -> None:
    noisy = 0
    for seed in range(100):
        logs = Machine(seed, 30).run()
        between = Between((KIND, list(row)) for row in logs)
        noisy += sum(between.show(KIND, Interval(1, 1, 1), list(row)).noisy is not None for row in logs)
    assert noisy <= 12  # 3 expected


def test_one_process_says_that_the_spread_is_unknown() -> None:
    shown = Between([(KIND, [0.1])]).show(KIND, Interval(1.1, 1.0, 1.2), [0.1])
    assert shown.noisy is not None
    assert "one process" in shown.noisy
    assert shown.interval == Interval(math.exp(0.1), 1.0, 1.2)


# from rounds to rows


def simulated_rows(seed: int, factors: dict[str, float], cases_: int = 12, spread: float = 0.02) -> Pack:
    """A pack whose routes are `factors` times as slow as eager; rounds, processes and rows all have their noise."""
    chance = np.random.default_rng(seed)
    pack = empty_pack()
    measured = []
    for index in range(cases_):
        case = {"op": "add", "sample": f"s{index}", "dtype": "float32", "elements": 1 << 22,
                "routes": list(factors), "kernel_routes": []}  # fmt: skip
        timings = Timings()
        for _ in range(PROCESSES):
            drift = np.exp(0.1 * chance.standard_normal(8))  # common to all routes of a round
            times = {
                route: (100 * factor * drift * math.exp(spread * chance.standard_normal())
                        * np.exp(0.01 * chance.standard_normal(8))).tolist()
                for route, factor in factors.items()
            }  # fmt: skip
            timings.add({"times": times, "refused": {}, "first": {}, "bytes": 1 << 26, "flops": 1})
        measured.append((case, "call", timings))
    between = spreads(measured)
    rows = [row for case, mode, timings in measured for row in runtime_rows(case, mode, timings, "cpu", {}, between)]
    pack.set_rows("runtime", rows)
    pack.set_rows("noise", noise_rows(between, "cpu", PROCESSES))
    return pack


def test_rows_are_won_beyond_interval_band_and_what_matters() -> None:
    won = [duel.won for seed in range(8) for case in cases(simulated_rows(seed, {"eager": 2, "cpp": 1, "mojo_aot": 1}))
           if (duel := case.duel())]  # fmt: skip
    assert len(won) == 96
    assert sum(side is not None for side in won) <= 2
    ahead = simulated_rows(1, {"eager": 2, "cpp": 1.3, "mojo_aot": 1})
    assert [case.duel().won for case in cases(ahead)].count("mojo") >= 11
    close = simulated_rows(1, {"eager": 2, "cpp": 1.04, "mojo_aot": 1}, spread=0.001)
    assert {case.duel().won for case in cases(close)} == {None}, "shown, but too small to matter"
    widest = max(row["band"] for row in ahead.rows("noise"))
    cell = next(iter(cases(ahead))).cells["mojo_aot"]
    assert 1.02 < band(ahead, cell) <= widest
    assert band(ahead, ("cpu", "mojo_aot", "cpp", "call", "large")) == band(ahead, cell)
    assert band(ahead, ("cpu", "mojo_aot", "cpp", "call", "small")) == 1.0


def test_both_sides_means_stand_over_the_same_rows() -> None:
    pack = simulated_rows(5, {"eager": 2, "cpp": 1, "mojo_aot": 1.5})
    rows = pack.rows("runtime")
    for row in rows:
        if (row["sample"], row["route"]) in (("s0", "cpp"), ("s1", "mojo_aot"), ("s2", "eager")):
            row["noisy"] = True
    headlines = {side: headline(side, cases(pack)) for side in ("cpp", "mojo")}
    for summary in headlines.values():
        assert summary.to_eager is not None
        assert summary.to_eager.count == 9
        assert summary.everything is not None
        assert summary.everything.count == summary.rows == 12
        assert summary.noisy == 3, "the rows of either side, and the one whose eager is noisy"
    alone = headline("cpp", cases(simulated_rows(5, {"eager": 2, "cpp": 1})))
    assert alone.to_eager is not None
    assert (alone.to_eager.count, alone.shared) == (12, False)


def test_dispatch_rows_are_noisy_by_the_same_rule() -> None:
    chance = np.random.default_rng(6)
    medians = [(5 * np.exp(0.02 * chance.standard_normal(2))).tolist() for _ in range(20)]
    medians[3] = [5.0, 15.0]
    call = {"route": "mojo", "tensors": 2, "mode": "hot", "threads": 1, "openmp": "idle", "status": "ok"}
    time = {"median_us": 5.0, "low_us": 5.0, "high_us": 5.0}
    marked = mark_noisy([DispatchRow(**call, **time, process_medians_us=tuple(each)) for each in medians])
    assert [row.noisy for row in marked].count(True) == 1
    assert "its time varies by 77.7%" in marked[3].noisy_because


# the roof


def roof_of(rates: list[float], moved: int = 1 << 20) -> Roof:
    roof = Roof("cpu")
    for rate in rates:
        copy = {"bytes": moved, "reads": 1, "gb_per_s": rate, "way": "all threads, ordinary stores", "threads": 2}
        roof.add([copy], [{"dtype": "float32", "gflops": 100.0, "threads": 2}])
    return roof


def test_a_row_above_the_roof_fails() -> None:
    roof = roof_of([100.0, 98.0])
    under = roof.hold(Interval(11.0, 10.9, 11.1), 1 << 20, 1.0, 1000, "float32")
    assert under["roofline_share"] == pytest.approx((1 << 20) / 100e3 / 11.0)
    assert (under["bound"], under.get("status")) == ("bandwidth", None)
    within = roof.hold(Interval(10.3, 10.2, 10.4), 1 << 20, 1.0, 1000, "float32")
    assert "status" not in within, "above it by less than its uncertainty, 2 % and 2 %"
    above = roof.hold(Interval(5.0, 4.9, 5.1), 1 << 20, 1.0, 1000, "float32")
    assert above["status"] == "error"
    pack = empty_pack()
    (row,) = times("add", 1000, {"cpp": 1.0}, sample="s", mode="kernel")
    pack.set_rows("runtime", [row | above, row | under])
    assert len(above_roof(pack)) == 1
    assert "add s float32, cpp (kernel): above the roof: 2.10 of the 100 GB/s" in above_roof(pack)[0]


def test_the_roof_is_that_of_the_rows_own_working_set() -> None:
    roof = roof_of([50.0], moved=64 << 20)
    roof.add([{"bytes": 1 << 16, "reads": 2, "gb_per_s": 400.0, "way": "one thread, ordinary stores", "threads": 1}])
    assert roof.bandwidth(64 << 20, 1).mid == 50
    assert roof.bandwidth(1 << 16, 2).mid == 400
    assert roof.bandwidth(1 << 16, 1).mid == 50, "more reads are no roof for a copy"
    assert roof.bandwidth(1 << 10, 3).mid == 400, "a smaller working set is no slower"
    assert roof.bandwidth(256 << 30, 1) is None, "no such memory was measured"
    bound = roof.hold(Interval(200.0, 190.0, 210.0), 1 << 16, 2.0, 10_000_000, "float32")
    assert bound["bound"] == "flops"
    assert bound["roofline_share"] == pytest.approx(0.5)
    assert roof.hold(Interval(1e3, 1e3, 1e3), 1 << 16, 2.0, 10_000_000, "uint8")["bound"] == "bandwidth"


def test_a_share_of_bandwidth_is_that_of_the_copy_beside_the_row() -> None:
    """Two processes with memory of 50 and 100 GB/s: both reach 0.8 of it, and the limit is the faster one's."""
    timings = Timings()
    for beside, micros in ((50.0, 25.0), (100.0, 12.5)):
        line = {"times": {"cpp": [micros] * 3, "eager": []}, "refused": {}, "first": {}, "bytes": 1_000_000}
        timings.add(line | {"beside": beside})
    timings.add({"times": {"cpp": [12.5] * 3}, "refused": {}, "first": {}, "bytes": 1_000_000})  # without a roof
    assert timings.of_copy("cpp") == pytest.approx([0.8, 0.8])
    assert timings.of_copy("eager") == []
    roof = roof_of([50.0, 100.0], moved=1_000_000)
    held = roof.hold(Interval(20.0, 12.0, 26.0), 1_000_000, 1.0, 1000, "float32", of_copy=0.8)
    assert (held["roofline_share"], held["bound"]) == (0.8, "bandwidth")
    assert "status" not in held
    fast = roof.hold(Interval(4.0, 3.9, 4.1), 1_000_000, 1.0, 1000, "float32", of_copy=0.8)
    assert fast["status"] == "error", "faster than any process's copy, whatever the one beside it reads"
    bound = roof.hold(Interval(200.0, 190.0, 210.0), 1_000_000, 2.0, 10_000_000, "float32", of_copy=0.1)
    assert bound["roofline_share"] == pytest.approx(0.5), "of the products, which bound it"


def test_median_interval_needs_no_spread() -> None:
    assert median_interval([2.0] * 8) == Interval(2.0, 2.0, 2.0)


def test_registers_raise_the_roof_of_products() -> None:
    """MKL uses half of a register on some processors: what is faster than its product is no error then."""
    roof = roof_of([50.0])
    fast = Interval(60.0, 59.0, 61.0)  # 10 million operations: 167 GFLOP/s
    assert roof.hold(fast, 1 << 10, 1.0, 10_000_000, "float32")["status"] == "error"
    roof.add([], [{"dtype": "float32", "gflops": 200.0, "threads": 2, "way": REGISTERS}])
    for dtype in ("float32", "float16"):
        held = roof.hold(fast, 1 << 10, 1.0, 10_000_000, dtype)
        assert "status" not in held
        assert held["roofline_share"] == pytest.approx(10 / 12)
    kinds = [(row.kind, row.value) for row in roof.rows() if row.dtype == "float32"]
    assert kinds == [("matmul", 100.0), ("registers", 200.0)]
