"""The criteria of a decision: each a factor with its interval, above 1 = Mojo is better, or why there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

from scipy.special import stdtrit

from evidence.core import text
from evidence.core.interval import Interval
from evidence.core.routes import CPP, MOJO, representative
from evidence.core.thresholds import (
    BUILD_SECONDS_MATTER,
    BYTES_MATTER,
    CALL_MATTERS,
    CONFIDENCE,
    LEAST_OPS,
    MATTERS,
)
from evidence.judge.judgement import Pointed, pointed
from evidence.judge.questions import CPU
from evidence.judge.scope import Scope
from evidence.sections.build.claims import BINARY
from evidence.sections.build.ratio import build_ratio
from evidence.sections.build.table import KIND_NAMES
from evidence.sections.code.claims import skills_of
from evidence.sections.code.table import code, code_routes, size_ratio, size_words, tells_devices_apart
from evidence.sections.dispatch.table import call_of, dispatch
from evidence.sections.faults.claims import EARLY, early, shared_faults
from evidence.sections.install.totals import footprint_totals
from evidence.sections.integration.claims import asked
from evidence.sections.runtime.cases import Duel


@dataclass(frozen=True)
class Measured:
    """A criterion's factor, the figures behind it in `unit` (less is better) where it has two, and a remark.

    `factor` is None where it was not measured; then `message` says why.
    """

    factor: Interval | None
    message: str
    rows: tuple[str, ...] = ()
    cpp: float | None = None
    mojo: float | None = None
    unit: str | None = None

    @property
    def decided(self) -> bool:
        """True when the interval excludes 1.0 and the factor matters."""
        factor = self.factor
        return factor is not None and not factor.holds_one and not 1 / MATTERS < factor.mid < MATTERS


class Criterion(NamedTuple):
    """A criterion's name in tables and the function that reads it from a pack."""

    id: str
    name: str
    measure: Callable[[Scope], Measured]


def _absent(why: str) -> Measured:
    return Measured(None, why)


def _half(ratio: Interval) -> float:
    """The wider side of an interval, in logarithms."""
    return max(math.log(ratio.high / ratio.mid), math.log(ratio.mid / ratio.low))


def _around(log_mid: float, half: float) -> Interval:
    return Interval(math.exp(log_mid), math.exp(log_mid - half), math.exp(log_mid + half))


def over_ops(duels: Sequence[Duel]) -> Interval:
    """Geometric mean of the ratios, each op counted once, with the interval for an op that is not among them.

    The interval joins in quadrature what the measurement leaves open and Student's t for the spread between the ops:
    the ops of the pack are a sample of the ops that somebody may want to write.
    """
    by_op: dict[str, list[Interval]] = {}
    for duel in duels:
        by_op.setdefault(duel.case.op, []).append(duel.ratio)
    mids = [fmean(math.log(ratio.mid) for ratio in ratios) for ratios in by_op.values()]
    halves = [fmean(_half(ratio) for ratio in ratios) for ratios in by_op.values()]
    count = len(mids)
    between = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * stdev(mids) / math.sqrt(count)
    measured = math.sqrt(math.fsum(half * half for half in halves)) / count
    return _around(fmean(mids), math.hypot(between, measured))


def _run_time(size_class: str) -> Callable[[Scope], Measured]:
    def measure(scope: Scope) -> Measured:
        duels = [duel for case in scope.cases if case.size_class == size_class and (duel := case.duel())]
        quiet = [duel for duel in duels if not duel.noisy]
        ops = list(dict.fromkeys(duel.case.op for duel in quiet))
        if not duels:
            return _absent(f"no run-time row of {size_class} tensors holds both sides")
        if 2 * len(quiet) < len(duels):
            return _absent(f"{len(duels) - len(quiet)} of {len(duels)} rows of {size_class} tensors are noisy")
        if len(ops) < LEAST_OPS:
            return _absent(f"only {', '.join(ops)} was measured: one op says nothing of another")
        rows = tuple(dict.fromkeys(pointer for duel in quiet for pointer in duel.pointers))
        words = f"{text.count(len(quiet), 'row')} of {text.count(len(ops), 'op')}: C++ wins "
        words += f"{sum(duel.won == CPP for duel in quiet)}, Mojo {sum(duel.won == MOJO for duel in quiet)}"
        return Measured(over_ops(quiet), words, rows)

    return measure


def _dispatch(scope: Scope) -> Measured:
    if scope.device != CPU:
        return _absent("the cost of a call was measured on the CPU")
    rows = dispatch(scope.pack)
    ratios, pointers, words = [], [], []
    hot: tuple[float, float] | None = None
    for mode in ("hot", "gap"):
        cpp, mojo = call_of(rows, CPP, mode), call_of(rows, MOJO, mode)
        if cpp and mojo and cpp.time and mojo.time:
            ratios.append(cpp.time.over(mojo.time))
            pointers += [cpp.pointer, mojo.pointer]
            name = "tight loop" if mode == "hot" else "after a gap"
            words.append(f"{name} {cpp.route} {text.micros(cpp.time.mid)}, {mojo.route} {text.micros(mojo.time.mid)}")
            hot = hot or (cpp.time.mid, mojo.time.mid)
    if not ratios or hot is None:
        return _absent("no dispatch row holds both sides")
    mid = fmean(math.log(ratio.mid) for ratio in ratios)
    # an interval within one run does not know what another run can make of a call
    factor = _around(mid, math.hypot(fmean(_half(ratio) for ratio in ratios), math.log(CALL_MATTERS)))
    measured = Measured(factor, "; ".join(words), tuple(pointers))
    return replace(measured, cpp=hot[0], mojo=hot[1], unit="us") if len(ratios) == 1 else measured


def _stage(kind: str) -> Callable[[Scope], Measured]:
    def measure(scope: Scope) -> Measured:
        table = scope.build
        timed = [route for route, stage in table.get(kind, {}).items() if stage.time]
        routes = scope.representatives(timed)
        ratio = build_ratio(table, kind, routes[1], routes[0]) if routes else None
        if routes is None or ratio is None:
            return _absent(f"no time of both sides for: {KIND_NAMES.get(kind, kind)}")
        one, two = (table[kind][route] for route in routes)
        assert one.time is not None
        assert two.time is not None
        if abs(one.time.mid - two.time.mid) < BUILD_SECONDS_MATTER:
            ratio = Interval(1.0, 1.0, 1.0)
        words = f"{routes[0]} {text.seconds(one.time.mid)}, {routes[1]} {text.seconds(two.time.mid)}"
        return Measured(ratio, words, (one.pointer, two.pointer), one.time.mid, two.time.mid, "s")

    return measure


def _exact(one: float, two: float, words: str, rows: Sequence[str], unit: str) -> Measured:
    factor = one / two
    return Measured(Interval(factor, factor, factor), words, tuple(rows), one, two, unit)


def _bytes(sizes: tuple[int, int], routes: tuple[str, str], what: str, rows: Sequence[str]) -> Measured:
    """Bytes on top of PyTorch; a difference that nobody notices beside PyTorch counts as none."""
    one, two = sizes
    words = f"{what}, on top of PyTorch: {routes[0]} {text.size(one)}, {routes[1]} {text.size(two)}"
    if abs(one - two) < BYTES_MATTER:
        words += f"; less than {text.size(BYTES_MATTER)} apart counts as equal"
        return Measured(Interval(1.0, 1.0, 1.0), words, tuple(rows), one, two, "B")
    return _exact(one, two, words, rows, "B")


def _prerequisites(scope: Scope) -> Measured:
    stages = {
        route: stage for route, stage in scope.build.get("prerequisites", {}).items() if stage.row.get("install_bytes")
    }
    routes = scope.representatives(stages)
    if routes is None:
        return _sizes(scope, "build", "what the package declares to build it")
    sizes = stages[routes[0]].row["install_bytes"], stages[routes[1]].row["install_bytes"]
    return _bytes(sizes, routes, "the fewest packages that build it", [stages[route].pointer for route in routes])


def _sizes(scope: Scope, purpose: str, what: str) -> Measured:
    totals = {total.route: total for total in footprint_totals(scope.pack) if total.purpose == purpose}
    routes = scope.representatives(totals)
    if routes is None or not all(totals[route].beside_torch for route in routes):
        return _absent(f"no package records of both sides for what is needed to {purpose}")
    one, two = (totals[route] for route in routes)
    measured = _bytes((one.beside_torch, two.beside_torch), routes, what, (*one.pointers, *two.pointers))
    if unknown := len(one.uncounted) + len(two.uncounted):
        message = f"{measured.message}, without {text.count(unknown, 'record')} of unknown size"
        return replace(measured, message=message)
    return measured


def _footprint(scope: Scope) -> Measured:
    return _sizes(scope, "run", "packages and the built library")


def _from_measures(measures: dict[str, tuple[int, int]], rows: Sequence[str]) -> Measured:
    """Geometric mean of the ratios of several measures; the interval is their range, since they mean the same thing."""
    logs = [math.log(one / two) for one, two in measures.values()]
    factor = Interval(math.exp(fmean(logs)), math.exp(min(logs)), math.exp(max(logs)))
    words = ", ".join(f"{name} {one:,} to {two:,}" for name, (one, two) in measures.items())
    return Measured(factor, words, tuple(rows))


def _code(bucket: str | None) -> Callable[[Scope], Measured]:
    """A question about the CPU counts the code for the CPU, where the rows tell it apart; the others count all."""
    what = "kernels with what they share" if bucket == "kernel" else "all code with what is shared"

    def measure(scope: Scope) -> Measured:
        routes = scope.representatives(code_routes(scope.pack))
        if routes is None:
            return _absent("no code of both sides was counted")
        rows = [row for row in scope.pack.rows("code") if row["route"] in routes and bucket in (None, row["bucket"])]
        apart = scope.device == CPU and tells_devices_apart(rows)
        one, two = (code(scope.pack, route, bucket=bucket, device=CPU if apart else None) for route in routes)
        factor = size_ratio(one, two)
        if factor is None:
            return _absent("no code of both sides was counted")
        devices = "without what only GPUs need" if apart else "for all devices"
        message = f"{what}, {devices}: {size_words(one, two)}"
        return Measured(factor, message, one.pointers + two.pointers)

    return measure


GPU_LANGUAGES = ("CUDA", "HIP")
GPU_NAMES = re.compile(
    r"(cuda|hip)[A-Z]|(block|thread)Idx|(block|grid)Dim|warpSize|__(shfl|sync|nv|half|float2|bfloat16|hip)"
)
"""What only the code for GPUs makes somebody know."""


def _skills(scope: Scope) -> Measured:
    routes = scope.representatives(code_routes(scope.pack))
    if routes is None:
        return _absent("no code of both sides was counted")
    languages, names = [], []
    for route in routes:
        some, others = skills_of(scope.pack, route)
        on_cpu = scope.device == CPU
        languages.append(sum(not (on_cpu and name in GPU_LANGUAGES) for name in some))
        names.append(sum(not (on_cpu and GPU_NAMES.match(name)) for name in others or ()))
    counts = {"languages": (languages[0], languages[1]), "framework API names": (names[0], names[1])}
    if not all(value for pair in counts.values() for value in pair):
        return _absent("languages and framework API names of both sides were not counted")
    rows = [one.pointer for one in pointed(scope.pack, "code") if one.row["route"] in routes]
    found = _from_measures(counts, rows)
    devices = "without what only GPUs need" if scope.device == CPU else "for all devices"
    return replace(found, message=f"{found.message}, {devices}")


def share_ratio(one: int, two: int, of: int) -> Interval:
    """Share `two`/`of` over share `one`/`of` with Katz's logarithmic interval for a ratio of two shares.

    Half a case is added to each count where one is 0, the usual correction. Source: D. Katz et al., Biometrics 34
    (1978) 469.
    """
    add = 0.0 if one and two else 0.5
    a, b, n = two + add, one + add, of + 2 * add
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(max(0.0, 1 / a - 1 / n + 1 / b - 1 / n))
    return _around(math.log(a / b), half)


def _faults(scope: Scope) -> Measured:
    found = shared_faults(scope.pack, scope.device)
    if not found:
        return _absent("no fault of the corpus ran on both sides")
    cpp, mojo = early(found, CPP), early(found, MOJO)
    one, two = (representative(side, scope.device) for side in (CPP, MOJO))
    words = f"of {text.count(len(found), 'fault')} that both ran, {one} stops {cpp} and {two} {mojo} at "
    words += f"{', '.join(EARLY[:-1])} or {EARLY[-1]}"
    rows = tuple(one.pointer for sides in found.values() for one in sides.values())
    return Measured(share_ratio(cpp, mojo, len(found)), words, rows)


def _give_or_take(one: int, two: int, one_of: int, two_of: int) -> Interval:
    """Ratio of two shares of a list, each known to one entry: what one outcome that changes between two runs can do.

    (k + 1) / (n + 2) keeps a share of none or of all finite.
    """

    def ratio(take_one: float, take_two: float) -> float:
        share_one = (min(max(one + take_one, 0), one_of) + 1) / (one_of + 2)
        share_two = (min(max(two + take_two, 0), two_of) + 1) / (two_of + 2)
        return share_two / share_one

    ends = (ratio(0, 0), ratio(1, 0), ratio(-1, 0), ratio(0, 1), ratio(0, -1))
    return Interval(ends[0], min(ends), max(ends))


def _integration(scope: Scope) -> Measured:
    features = {one.row["feature"] for one in pointed(scope.pack, "integration")}
    found = asked(scope.pack, sorted(features))
    routes = scope.representatives(found)
    if routes is None:
        return _absent("the integration table does not hold both sides")
    both = [feature for feature in found[routes[0]] if feature in found[routes[1]]]
    works = [sum(found[route][name].row["status"] == "works" for name in both) for route in routes]
    rows = tuple(found[route][name].pointer for route in routes for name in both)
    factor = _give_or_take(works[0], works[1], len(both), len(both))
    return Measured(factor, f"of {len(both)} features {routes[0]} {works[0]}, {routes[1]} {works[1]}", rows)


def survivals(scope: Scope) -> dict[str, dict[tuple[str, str], list[Pointed]]]:
    """Rows of `upgrade` of both representatives by test: the other version, and loaded or judged by symbols.

    A load outweighs what the symbol table of the same artifact lets expect.
    """
    tried = [
        row
        for row in pointed(scope.pack, "upgrade")
        if row.row["outcome"] != "did not run" and row.row["method"] in BINARY
    ]
    loaded = {(row.row["artifact"], row.row["loaded_under"]) for row in tried if row.row["method"] == "loaded"}
    tests: dict[str, dict[tuple[str, str], list[Pointed]]] = {}
    for route in scope.representatives({row.row["route"] for row in tried}) or ():
        for row in (row for row in tried if row.row["route"] == route):
            by_symbols = row.row["method"] != "loaded"
            if not (by_symbols and (row.row["artifact"], row.row["loaded_under"]) in loaded):
                key = (row.row["loaded_under"], row.row["method"])
                tests.setdefault(route, {}).setdefault(key, []).append(row)
    return tests


def _upgrade(scope: Scope) -> Measured:
    tests = survivals(scope)
    if len(tests) < 2:
        return _absent("no binary of both sides was tried under another version")
    works = {
        route: {test: all(row.row["outcome"] == "works" for row in rows) for test, rows in found.items()}
        for route, found in tests.items()
    }
    (one, one_works), (two, two_works) = works.items()
    common = [test for test in one_works if test in two_works]
    if not common:
        each = (
            f"{route} works in {sum(outcomes.values())} of {len(outcomes)} ({_versions(outcomes)})"
            for route, outcomes in works.items()
        )
        return _absent(f"no version was tried with both sides in the same way: {'; '.join(each)}")
    counts = [sum(outcomes[test] for test in common) for outcomes in (one_works, two_works)]
    factor = _give_or_take(counts[0], counts[1], len(common), len(common))
    words = (
        f"of {text.count(len(common), 'test')} that both sides had, {one} works in {counts[0]}, {two} in {counts[1]}"
    )
    return Measured(
        factor, words, tuple(row.pointer for found in tests.values() for test in common for row in found[test])
    )


def _versions(tests: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{version} {'loaded' if method == 'loaded' else 'by symbols'}" for version, method in tests)


def _correctness(scope: Scope) -> Measured:
    found = [one for one in pointed(scope.pack, "correctness") if one.row["device"] == scope.torch_device]
    routes = scope.representatives({one.row["route"] for one in found if one.row["passed"] or one.row["failed"]})
    if routes is None:
        return _absent("no checks of both sides on this device")
    failed = [sum(one.row["failed"] for one in found if one.row["route"] == route) for route in routes]
    factor = (failed[0] + 1) / (failed[1] + 1)
    rows = tuple(one.pointer for one in found if one.row["route"] in routes)
    return Measured(
        Interval(factor, factor, factor), f"failed checks: {routes[0]} {failed[0]}, {routes[1]} {failed[1]}", rows
    )


CRITERIA = {
    criterion.id: criterion
    for criterion in (
        Criterion("run_large", "Run time, large tensors", _run_time("large")),
        Criterion("run_middle", "Run time, middle tensors", _run_time("middle")),
        Criterion("run_small", "Run time, small tensors", _run_time("small")),
        Criterion("dispatch", "Cost of a call", _dispatch),
        Criterion("edit", "Edit to first correct result", _stage("edit")),
        Criterion("clean", "Clean build", _stage("clean")),
        Criterion("prerequisites", "Bytes to install before the first build", _prerequisites),
        Criterion("footprint_run", "Bytes to install to run", _footprint),
        Criterion("kernel_code", "Kernel code", _code("kernel")),
        Criterion("total_code", "All code", _code(None)),
        Criterion("skills", "Languages and framework API names", _skills),
        Criterion("faults", "Mistakes caught early", _faults),
        Criterion("upgrade", "Survival of an upgrade", _upgrade),
        Criterion("integration", "PyTorch features that work", _integration),
        Criterion("correctness", "Checks that fail", _correctness),
    )
}
"""In the order of the tables; the keys are those of `reports/weights.toml`."""
