"""The sections of two packs, row against row with the same key."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.core import text
from evidence.core.interval import Interval, interval
from evidence.core.pack import Pack, Row
from evidence.core.thresholds import (
    BUILD_MATTERS,
    BUILD_SECONDS_MATTER,
    CALL_MATTERS,
    MATTERS,
    SINGLE_RUN,
)
from evidence.judge.diff import BETTER, CHANGED, REGRESSION, Change, Diff, geometric
from evidence.sections.build.table import KIND_NAMES
from evidence.sections.runtime.noise import Bands

RUNTIME_KEY = ("op", "route", "device", "dtype", "sample", "mode")
DISPATCH_KEY = ("route", "tensors", "mode", "threads", "openmp")
PLACES = ("compile", "load", "call", "sanitizer", "crash", "hang", "silent")
"""Where a mistake is caught, best first."""

STATUSES = ("works", "refused", "fails")
OUTCOMES = ("works", "refused", "fails", "crash")

Pair = tuple[Row, Row]


def common(one: Pack, two: Pack, section: str, key: Sequence[str], found: Diff) -> list[Pair]:
    """Rows with the same key in both packs, in A's order; what only one has is noted."""
    a = {tuple(str(row.get(name)) for name in key): row for row in one.rows(section)}
    b = {tuple(str(row.get(name)) for name in key): row for row in two.rows(section)}
    only_a, only_b = len(a.keys() - b.keys()), len(b.keys() - a.keys())
    if only_a or only_b:
        both = len(a.keys() & b.keys())
        found.notes.append(
            f"{section}: {both} rows in both, {only_a} only in A and {only_b} only in B are not compared"
        )
    return [(row, b[name]) for name, row in a.items() if name in b]


def _name(row: Row, key: Sequence[str]) -> str:
    return " ".join(str(row[name]) for name in key)


def _apart(a: Interval, b: Interval) -> bool:
    return a.high < b.low or b.high < a.low


def _ratio(row: Row, name: str, low: str, high: str) -> Interval | None:
    return interval(row[name], row[low], row[high])


def runtime(one: Pack, two: Pack, found: Diff) -> None:
    """Ratios to eager: worse when B's interval lies below A's, by more than both noise bands, and the time rose too.

    The ratio is measured in interleaved pairs and does not move with the machine's load; the time guards against an
    eager PyTorch that became faster.
    """
    bands = [Bands.of(one), Bands.of(two)]
    eager = []
    for a, b in common(one, two, "runtime", RUNTIME_KEY, found):
        what = _name(a, RUNTIME_KEY)
        if a["status"] != b["status"]:
            kind = REGRESSION if a["status"] == "ok" else BETTER if b["status"] == "ok" else CHANGED
            found.changes.append(Change("runtime", kind, what, a["status"], b["status"]))
        if a["status"] != "ok" or b["status"] != "ok":
            continue
        _count_overlap(a, b, found)
        time = b["median_us"] / a["median_us"]
        if a["route"] == "eager":
            eager.append(time)
            continue
        old, new = (_ratio(row, "ratio_to_eager", "ratio_low", "ratio_high") for row in (a, b))
        if old is None or new is None or not _apart(old, new):
            continue
        limit = max(MATTERS, *(some.to_base(a, "eager") for some in bands))
        factor = new.mid / old.mid
        if 1 / limit < factor < limit:
            continue
        kind = CHANGED
        if not (a["noisy"] or b["noisy"]):
            if factor < 1 and time > 1:
                kind = REGRESSION
            elif factor > 1 and time < 1:
                kind = BETTER
        before, after = (
            f"{text.ratio(ratio)} of eager, {text.micros(row['median_us'])}" for ratio, row in ((old, a), (new, b))
        )
        found.changes.append(Change("runtime", kind, what, before, after, factor))
    found.eager_time = geometric(eager)
    if found.eager_time and not 1 / MATTERS < found.eager_time < MATTERS:
        found.notes.append(
            f"eager itself took {text.factor(found.eager_time)} the time in B: the machine or PyTorch changed"
        )


def _count_overlap(a: Row, b: Row, found: Diff) -> None:
    """Eager's ratio to cpp is the other way round in cpp's own row, and counts there."""
    for base, names in (
        ("eager", ("ratio_to_eager", "ratio_low", "ratio_high")),
        ("cpp", ("ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high")),
    ):
        old, new = _ratio(a, *names), _ratio(b, *names)
        if a["route"] not in ("eager", base) and old is not None and new is not None:
            found.intervals += 1
            found.overlapping += not _apart(old, new)


def dispatch(one: Pack, two: Pack, found: Diff) -> None:
    """The cost of a call against eager's: the same rule for ratio and time, and beyond what a fresh process alone can
    move it by: CALL_MATTERS, or the range of either run's processes where that is wider."""
    for a, b in common(one, two, "dispatch", DISPATCH_KEY, found):
        if a["status"] != b["status"]:
            kind = REGRESSION if a["status"] == "ok" else BETTER if b["status"] == "ok" else CHANGED
            found.changes.append(Change("dispatch", kind, _name(a, DISPATCH_KEY), a["status"], b["status"]))
        old, new = (_ratio(row, "ratio_to_eager", "ratio_low", "ratio_high") for row in (a, b))
        if old is None or new is None or a.get("noisy") or b.get("noisy") or not _apart(old, new):
            continue
        factor, time = new.mid / old.mid, b["median_us"] / a["median_us"]
        matters = max(CALL_MATTERS, old.high / old.low, new.high / new.low)
        if 1 / matters < factor < matters or max(a["low_us"], b["low_us"]) <= min(a["high_us"], b["high_us"]):
            continue
        kind = REGRESSION if factor < 1 and time > 1 else BETTER if factor > 1 and time < 1 else CHANGED
        before, after = text.micros(a["median_us"]), text.micros(b["median_us"])
        found.changes.append(Change("dispatch", kind, _name(a, DISPATCH_KEY), before, after, time))


def build(one: Pack, two: Pack, found: Diff) -> None:
    """Seconds of build stages: worse when B's range lies above A's, by a factor and by seconds that matter."""
    for a, b in common(one, two, "build", ("route", "kind", "stage"), found):
        what = f"{a['route']}: {KIND_NAMES.get(a['kind'], a['kind'])}"
        if a["status"] != b["status"]:
            kind = REGRESSION if a["status"] == "ok" else BETTER if b["status"] == "ok" else CHANGED
            found.changes.append(Change("build", kind, what, a["status"], b["status"]))
        old, new = _seconds(a), _seconds(b)
        if old is None or new is None or not _apart(old, new):
            continue
        factor = new.mid / old.mid
        if 1 / BUILD_MATTERS < factor < BUILD_MATTERS or abs(new.mid - old.mid) < BUILD_SECONDS_MATTER:
            continue
        kind = REGRESSION if factor > 1 else BETTER
        if a["kind"] == "prerequisites":
            kind = CHANGED  # its seconds are those of a download
        found.changes.append(Change("build", kind, what, text.seconds(old.mid), text.seconds(new.mid), factor))


def _seconds(row: Row) -> Interval | None:
    time = interval(row["seconds_median"], row["seconds_low"], row["seconds_high"])
    if row["status"] != "ok" or time is None or time.low <= 0:
        return None
    return time if row["repeats"] > 1 else Interval(time.mid, time.mid / SINGLE_RUN, time.mid * SINGLE_RUN)


def _ranked(section: str, what: str, a: str, b: str, order: Sequence[str], found: Diff) -> None:
    if a == b:
        return
    kind = CHANGED
    if a in order and b in order:
        kind = REGRESSION if order.index(b) > order.index(a) else BETTER
    found.changes.append(Change(section, kind, what, a, b))


def exact(one: Pack, two: Pack, found: Diff) -> None:
    """What has no noise: failed checks, faults, features, upgrades, tokens of code."""
    for a, b in common(one, two, "correctness", ("op", "route", "dtype", "device"), found):
        if a["failed"] != b["failed"]:
            kind = REGRESSION if b["failed"] > a["failed"] else BETTER
            what = _name(a, ("op", "route", "dtype", "device"))
            found.changes.append(Change("correctness", kind, what, f"{a['failed']} failed", f"{b['failed']} failed"))
    for a, b in common(one, two, "gpu", ("op", "side", "dtype"), found):
        for count in ("wrong", "problems"):
            if a[count] != b[count]:
                kind = REGRESSION if b[count] > a[count] else BETTER
                what = _name(a, ("op", "side", "dtype"))
                found.changes.append(Change("gpu", kind, what, f"{a[count]} {count}", f"{b[count]} {count}"))
    for a, b in common(one, two, "faults", ("fault", "side"), found):
        _ranked("faults", f"{a['fault']} in {a['side']}", a["caught"], b["caught"], PLACES, found)
    for a, b in common(one, two, "integration", ("route", "feature"), found):
        _ranked("integration", f"{a['feature']} of {a['route']}", a["status"], b["status"], STATUSES, found)
    for a, b in common(one, two, "upgrade", ("artifact", "route", "loaded_under", "method"), found):
        what = f"{a['artifact']} under {a['loaded_under']}"
        _ranked("upgrade", what, a["outcome"], b["outcome"], OUTCOMES, found)
    old, new = _tokens(one), _tokens(two)
    for route, tokens in old.items():
        other = new.get(route, tokens)
        if other != tokens:
            factor = other / tokens if tokens and other else None
            found.changes.append(Change("code", CHANGED, f"tokens of {route}", f"{tokens:,}", f"{other:,}", factor))


def _tokens(pack: Pack) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in pack.rows("code"):
        found[row["route"]] = found.get(row["route"], 0) + row["tokens"]
    return found


def words(one: Pack, two: Pack, found: Diff) -> None:
    """Verdict words: what the two packs conclude, and how often they agree."""
    for section in ("claims", "verdict", "decisions"):
        pairs = common(one, two, section, ("id",), found)
        same = 0
        for a, b in pairs:
            same += a["verdict"] == b["verdict"]
            if a["verdict"] != b["verdict"]:
                found.changes.append(Change(section, CHANGED, a["id"], a["verdict"], b["verdict"]))
        found.words[section] = (same, len(pairs))
