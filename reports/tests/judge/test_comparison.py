"""Comparisons: who is better, who wins, what decides, and which pair of routes stands for the sides."""

from __future__ import annotations

import pytest
from evidence.core.interval import TOO_CLOSE, Interval
from evidence.judge.comparison import CPP_AHEAD, EQUAL, MIXED, MOJO_AHEAD, Comparison, comparisons, pair, pairs, select
from evidence.judge.groups import group
from evidence.judge.losses import loss
from few_rows import call, code, pack_of, stage, times

LARGE = 4_000_000
UNSEEN = "too close to call (an effect under 74% could not be seen here)"


def compared(
    mid: float, wide: float = 1.01, base: str = "cpp", route: str = "mojo_aot", noisy: bool = False
) -> Comparison:
    ratio = Interval(mid, mid / wide, mid * wide)
    rows = ("/runtime/rows/0", "/runtime/rows/1")
    return Comparison(
        topic="run time",
        name="a case",
        base=base,
        route=route,
        ratio=ratio,
        least=1.05,
        rows=rows,
        noisy=noisy,
        op="add",
    )


@pytest.mark.parametrize(
    ("comparison", "better", "won", "verdict", "outcome"),
    [
        (compared(1.2), "mojo_aot", "mojo", MOJO_AHEAD, "Mojo better by 1.20×"),
        (compared(0.8), "cpp", "cpp", CPP_AHEAD, "C++ better by 1.25×"),
        (
            compared(1.2, wide=1.5),
            None,
            None,
            TOO_CLOSE,
            UNSEEN,
        ),
        (compared(1.03), None, None, EQUAL, "equal within 5%"),
        (compared(1.0, wide=1.0), None, None, EQUAL, "equal"),
        (compared(0.5, base="mojo", route="eager"), "mojo", "mojo", CPP_AHEAD, "Mojo better by 2.00×"),
        (compared(2.0, base="mojo", route="eager"), "eager", None, MOJO_AHEAD, "eager better by 2.00×"),
    ],
)
def test_a_side_wins_beyond_its_interval_by_what_matters(comparison, better, won, verdict, outcome):
    assert (comparison.better, comparison.won, comparison.verdict) == (better, won, verdict)
    assert comparison.outcome == outcome


def test_a_noisy_comparison_decides_only_where_its_interval_excludes_one():
    assert compared(1.2, noisy=True).decides
    assert not compared(1.2, wide=1.5, noisy=True).decides
    assert compared(1.2, wide=1.5).decides


def test_a_loss_is_seen_from_the_side_that_is_worse():
    lost = loss(compared(0.5), "mojo", "run time", "a case")
    assert lost is not None
    assert (lost.route, lost.against, lost.factor.mid) == ("mojo_aot", "cpp", 2.0)
    assert lost.rows == ("/runtime/rows/1", "/runtime/rows/0")
    assert loss(compared(0.5), "cpp", "run time", "a case") is None
    assert loss(compared(1.03), "cpp", "run time", "a case") is None
    to_eager = loss(compared(2.0, base="mojo_aot", route="eager"), "mojo", "run time", "a case")
    assert to_eager is not None
    assert (to_eager.route, to_eager.against, to_eager.factor.mid) == ("mojo_aot", "eager", 2.0)


def test_many_comparisons_have_one_verdict():
    word, values, exceptions = group([*[compared(1.4)] * 4, compared(0.8)])
    assert (word, values["mojo_wins"], values["cpp_wins"]) == (MOJO_AHEAD, 4, 1)
    assert exceptions == "C++ wins on add"
    # most rows are won, but one that is lost by a factor outweighs them in the mean
    assert group([*[compared(1.2)] * 4, compared(0.5)])[0] == MIXED


def test_the_pair_of_routes_depends_on_the_device():
    routes = ("eager", "cpp", "mojo", "mojo_aot")
    assert pair(routes) == ("cpp", "mojo_aot")
    assert pair(routes, "NVIDIA") == ("cpp", "mojo")
    assert pair(("cpp", "mojo")) is None
    assert pairs(routes) == [("cpp", "mojo_aot"), ("cpp", "mojo")]
    assert pairs(("cpp", "mojo")) == [("cpp", "mojo")]


def test_the_sections_compare_what_both_sides_have():
    pack = pack_of(
        runtime=times("add", LARGE, {"eager": 200, "cpp": 100, "mojo_aot": 50}),
        dispatch=[call("cpp", 2.0), call("mojo_aot", 4.0)],
        build=[stage("cpp", "edit", 10), stage("mojo_aot", "edit", 5), stage("cpp", "clean", 10)],
        code=[code("cpp", "kernel", 100), code("mojo_aot", "kernel", 50)],
    )
    every = comparisons(pack)
    ratios = {(each.topic, each.name): each.ratio.mid for each in every}
    assert ratios[("build time", "edit")] == ratios[("code size", "kernel code")] == 2.0
    assert ratios[("cost of a call", "hot")] == 0.5
    assert ("build time", "clean") not in ratios
    duel = next(each for each in every if each.topic == "run time")
    assert (duel.op, duel.device, duel.size_class, duel.ratio.mid) == ("add", "cpu", "large", 2.0)
    assert select(every, "build time", "edit") is not None
    assert select(every, "build time", "edit", "cuda") is None
    for each in every:
        for pointer in each.rows:
            _, table, _, index = pointer.split("/")
            assert pack.rows(table)[int(index)]["route"] in (each.base, each.route)
