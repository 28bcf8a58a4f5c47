"""What equality, correction and power promise, checked on simulated rows with fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evidence.core.interval import TOO_CLOSE, Interval
from evidence.core.thresholds import CONFIDENCE, EQUAL_MARGINS, MATTERS, POWER
from evidence.judge.comparison import CPP_AHEAD, EQUAL, MOJO_AHEAD, Comparison, corrected
from evidence.judge.equivalence import equal_within, narrowed
from evidence.judge.groups import group, group_words, over_ops
from evidence.judge.outcome import equal, too_close
from evidence.judge.significance import chance, holm, quantile, smallest_effect
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr

DOF = 4.0
SPREAD = 0.03  # between processes, in logarithms
POINTERS = ("/runtime/rows/0", "/runtime/rows/1")


def compared(log: float, error: float, op: str = "add", dof: float = DOF, least: float = 1.0001) -> Comparison:
    """A row with a logarithm and its standard error."""
    half = quantile((1 + CONFIDENCE) / 2, dof) * error
    ratio = Interval(math.exp(log), math.exp(log - half), math.exp(log + half))
    return Comparison(
        topic="run time",
        name=op,
        base="cpp",
        route="mojo_aot",
        ratio=ratio,
        least=least,
        rows=POINTERS,
        op=op,
        dof=dof,
    )


def errors(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of logarithms, and what the rows take for their standard errors, with `DOF` degrees of freedom."""
    random = np.random.default_rng(seed)
    estimated = SPREAD * np.sqrt(random.chisquare(DOF, count) / DOF)
    return SPREAD * random.standard_normal(count), estimated


def rate(hits: int, trials: int) -> tuple[float, float]:
    """A share and three times its standard error."""
    share = hits / trials
    return share, 3 * math.sqrt(max(share * (1 - share), 1 / trials) / trials)


def simulated_group(random: np.random.Generator, mean: float, spread_of_ops: float, ops: int = 12) -> list[Comparison]:
    """Three rows of each of `ops` ops that differ among each other, each measured with an error."""
    rows = []
    for index, of_op in enumerate(mean + spread_of_ops * random.standard_normal(ops)):
        common = SPREAD * random.standard_normal()
        for _ in range(3):
            estimated = SPREAD * math.sqrt(random.chisquare(DOF) / DOF)
            rows.append(compared(of_op + common, estimated, f"op{index}", least=MATTERS))
    return rows


def test_the_interval_of_a_group_holds_the_mean_of_all_ops():
    random = np.random.default_rng(1)
    trials = 1000
    intervals = [over_ops(simulated_group(random, 0.1, 0.05)) for _ in range(trials)]
    share, margin = rate(sum(each.low <= math.exp(0.1) <= each.high for each in intervals), trials)
    assert share + margin >= CONFIDENCE


@pytest.mark.parametrize("margin", EQUAL_MARGINS)
def test_a_row_at_the_margin_is_called_equal_in_five_percent_at_most(margin):
    trials = 2000
    logs, estimated = errors(2, trials)
    rows = [compared(math.log1p(margin) + log, error) for log, error in zip(logs / 3, estimated / 3, strict=True)]
    within = sum(row.equal_within is not None and row.equal_within <= margin for row in rows)
    share, slack = rate(within, trials)
    assert share - slack <= 1 - CONFIDENCE


def test_a_group_at_the_margin_is_called_equal_in_five_percent_at_most():
    random = np.random.default_rng(3)
    trials = 1000
    limit = math.log1p(EQUAL_MARGINS[-1])
    groups = [over_ops(simulated_group(random, limit, 0.05), 2 * CONFIDENCE - 1) for _ in range(trials)]
    share, slack = rate(sum(equal_within(each) is not None for each in groups), trials)
    assert share - slack <= 1 - CONFIDENCE


def test_groups_that_are_equal_are_mostly_shown_to_be_equal():
    random = np.random.default_rng(4)
    verdicts = [group(simulated_group(random, 0.0, 0.03, 20))[0] for _ in range(50)]
    assert verdicts.count(EQUAL) >= 45
    planted = [group(simulated_group(random, 0.15, 0.03, 20))[0] for _ in range(50)]
    assert planted.count(MOJO_AHEAD) >= 48
    slower = [group(simulated_group(random, -0.15, 0.03, 20))[0] for _ in range(50)]
    assert slower.count(CPP_AHEAD) >= 48


def test_any_win_among_equal_rows_has_a_chance_of_five_percent_at_most():
    trials, count = 600, 40
    logs, estimated = (values.reshape(trials, count) for values in errors(5, trials * count))
    alone = families = 0
    for of_family, of_errors in zip(logs, estimated, strict=True):
        rows = corrected(compared(log, error) for log, error in zip(of_family, of_errors, strict=True))
        families += any(row.better for row in rows)
        alone += any(row.better_alone for row in rows)
    share, slack = rate(families, trials)
    assert share - slack <= 1 - CONFIDENCE
    assert alone > trials / 2, "without the correction most families hold a false win"


@pytest.mark.parametrize("family", [1, 20])
@pytest.mark.parametrize("least", [1.0001, 1.05])
def test_the_smallest_effect_is_shown_with_the_power_that_is_stated(family, least):
    trials = 1000 if family == 1 else 300
    logs, estimated = errors(6, trials)
    noise, noise_errors = errors(7, trials * family)
    shown = 0
    for index, (log, error) in enumerate(zip(logs, estimated, strict=True)):
        half = quantile((1 + CONFIDENCE) / 2, DOF) * error
        effect = math.log(smallest_effect(half, DOF, least, family))
        others = slice(index * family + 1, (index + 1) * family)
        rows = [compared(effect + log, error, least=least)]
        rows += [compared(*pair, least=least) for pair in zip(noise[others], noise_errors[others], strict=True)]
        tested = corrected(rows)[0]
        assert tested.smallest_effect == pytest.approx(math.exp(effect), rel=1e-6)
        shown += tested.better == "mojo_aot"
    share, slack = rate(shown, trials)
    assert abs(share - POWER) <= slack + 0.01


def test_exact_counts_are_equal_exactly_and_never_tested():
    rows = corrected([compared(0.0, 0.0), compared(0.03, 0.0), compared(0.3, 0.0)])
    assert [row.equal_within for row in rows] == [0.0, 0.05, None]
    assert [row.adjusted for row in rows] == [None] * 3
    assert rows[2].better == "mojo_aot"
    assert rows[0].outcome == "equal"


def test_what_is_too_close_says_what_could_not_be_seen():
    assert too_close(1.124) == "too close to call (an effect under 12% could not be seen here)"
    assert too_close(2.345) == "too close to call (an effect under 2.35× could not be seen here)"
    assert too_close(None) == TOO_CLOSE
    assert (equal(0.0), equal(0.1)) == ("equal", "equal within 10%")


def test_a_group_says_what_was_won_before_and_after_correction():
    random = np.random.default_rng(8)
    rows = simulated_group(random, 0.0, 0.1, 10)
    weak = [compared(0.13, 0.04, f"op{index}", least=MATTERS) for index in range(10)]
    _, values, _ = group(corrected([*rows, *weak]))
    assert values["better_uncorrected"] > values["cpp_wins"] + values["mojo_wins"]
    summary = group_words(values)
    assert f"together {values['better_uncorrected']} before correction for the number of rows" in summary
    assert f"mean over 10 ops {values['mean_over_ops']:.2f}×" in summary


chances = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(chances)
def test_holm_only_raises_and_keeps_the_order(raw):
    adjusted = holm(raw)
    assert all(before <= other <= 1 for before, other in zip(raw, adjusted, strict=True))
    ranked = [adjusted[index] for index in np.argsort(raw, kind="stable")]
    assert ranked == sorted(ranked)
    assert min(adjusted) == min(1.0, len(raw) * min(raw))


@given(st.floats(-1, 1), st.floats(1e-3, 0.5), st.floats(1, 100))
def test_the_p_value_agrees_with_the_interval(log, error, dof):
    row = compared(log, error, dof=dof)
    expected = 2 * float(stdtr(dof, -abs(log) / error))
    assert chance(row.ratio, dof) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@given(st.floats(-0.2, 0.2), st.floats(1e-3, 0.1), st.floats(1, 100))
@settings(max_examples=50)
def test_equality_and_the_smallest_effect_do_not_depend_on_which_side_is_the_base(log, error, dof):
    row, turned = compared(log, error, dof=dof), compared(-log, error, dof=dof)
    assert row.smallest_effect == pytest.approx(turned.smallest_effect)
    assert (row.equal_within is None) == (turned.equal_within is None)
    inner = narrowed(row.ratio, dof)
    assert row.ratio.low <= inner.low <= inner.mid <= inner.high <= row.ratio.high
