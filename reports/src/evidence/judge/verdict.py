"""The verdict: one statement a decision question, computed by a rule from the rows it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evidence.core import text
from evidence.core.interval import NO_DIFFERENCE, Interval, spread
from evidence.core.pack import DID_NOT_RUN, Pack, Row
from evidence.core.routes import (
    CPP,
    MOJO,
    REPRESENTATIVE,
    REPRESENTATIVE_ON_GPU,
    SIDE_NAMES,
    SIDES,
    measured_representative,
    order,
    side_of,
)
from evidence.core.thresholds import (
    BUILD_MATTERS,
    CALL_MATTERS,
    EXCEPTION_SHARE,
    LARGE_ELEMENTS,
    MATTERS,
    SINGLE_RUN,
    SIZE_MATTERS,
    SMALL_ELEMENTS,
    WIN_SHARE,
)
from evidence.sections.build.ratio import build_ratio
from evidence.sections.build.table import build, build_routes, failed_builds
from evidence.sections.code.table import code, code_routes, size_ratio, size_words
from evidence.sections.dispatch.table import call_of, dispatch, plain
from evidence.sections.runtime.cases import Case, Duel, cases

CPP_AHEAD = "C++ ahead"
MOJO_AHEAD = "Mojo ahead"
MIXED = "mixed"
LEVEL = "level"
NOT_MEASURED = "not measured here"
PAYS = "a custom op pays"
PAYS_NOT = "a custom op does not pay"
DEPENDS = "it depends"
ALL_PASS = "both pass"


@dataclass
class Statement:
    """One row of the `verdict` section."""

    id: str
    question: str
    verdict: str
    rule: str
    evidence: str
    rows: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    exceptions: str | None = None
    detail: str | None = None

    def row(self) -> Row:
        """As the pack stores it."""
        return dict(vars(self))


def verdict(pack: Pack) -> list[Statement]:
    """All statements, in the order in which a decider reads them."""
    all_cases = cases(pack)
    devices = list(dict.fromkeys(["cpu", *(case.device for case in all_cases)]))
    statements: list[Statement] = []
    for device in devices:
        statements.append(_sizes(pack, all_cases, device, "large"))
        if any(case.device == device and case.size_class == "middle" for case in all_cases):
            statements.append(_sizes(pack, all_cases, device, "middle"))
    statements += [
        small(pack, all_cases),
        custom_op(pack, all_cases),
        edit_loop(pack),
        code_size(pack),
        correctness(pack),
    ]
    if not any(case.device != "cpu" for case in all_cases):
        seen = pack.facts("machine").get("gpus")
        reason = "this run has no GPU rows, `--device cuda` makes them" if seen else "did not run: no device"
        statements.append(_absent("gpu", "Run time, GPU", "as for the CPU, on a GPU's rows", reason))
    return statements


def ahead(ratio: Interval | None, matters: float) -> str | None:
    """Who is ahead by one ratio (above 1 = Mojo better): the interval must exclude 1.0 and the factor must matter.

    A difference that is shown but too small to decide anything is `level`.
    """
    if ratio is None:
        return None
    if ratio.holds_one:
        return NO_DIFFERENCE
    if 1 / matters < ratio.mid < matters:
        return LEVEL
    return MOJO_AHEAD if ratio.above_one else CPP_AHEAD


def joined(words: Sequence[str | None]) -> str:
    """One verdict from several: a side ahead outweighs `level` and “no difference shown”, contradiction is `mixed`."""
    known = {word for word in words if word and word != NOT_MEASURED}
    decided = known - {NO_DIFFERENCE, LEVEL}
    if decided:
        return decided.pop() if len(decided) == 1 else MIXED
    return LEVEL if LEVEL in known else NO_DIFFERENCE if known else NOT_MEASURED


def _absent(name: str, question: str, rule: str, reason: str) -> Statement:
    return Statement(name, question, NOT_MEASURED, rule, f"{text.upper_first(reason)}.")


def _why_not(pack: Pack, section: str) -> str:
    """Why a section cannot be judged: a side that did not build, or the section's own reason."""
    reason = pack.reason(section)
    if pack.section_status(section) == DID_NOT_RUN:
        return f"{section} did not run: {reason}"
    failed = failed_builds(build(pack))
    for side in SIDES:
        messages = [message for route, message in failed.items() if side_of(route) == side]
        if messages:
            return f"{SIDE_NAMES[side]} did not build: {messages[0]}"
    planned = pack.facts("settings").get("routes")
    absent = [
        f"{route}, which represents {SIDE_NAMES[side]} on the CPU, was not in this run"
        for side, route in REPRESENTATIVE.items()
        if isinstance(planned, list) and route not in planned
    ]
    if absent:
        return " and ".join(absent)
    return f"{section} ran in part: {reason}" if reason else f"no row of {section} holds both sides"


def group(duels: Sequence[Duel]) -> tuple[str, dict[str, Any], str | None]:
    """Verdict word, values and exceptions of a set of duels.

    A noisy row enters no mean; it is won only where its interval, wide as it is, excludes 1.0, else it is undecided.
    Where more rows are undecided than decided, the few that are decided do not speak for the others.
    """
    counted = [duel for duel in duels if duel.decides]
    quiet = [duel for duel in duels if not duel.noisy]
    values: dict[str, Any] = {"rows": len(counted), "noisy": len(duels) - len(quiet)}
    values["undecided"] = len(duels) - len(counted)
    if 2 * len(counted) < len(duels) or not counted:
        return NOT_MEASURED, values, None
    won = {side: [duel for duel in counted if duel.won == side] for side in SIDES}
    no_difference = sum(duel.won is None and duel.ratio.holds_one for duel in counted)
    level = len(counted) - len(won[CPP]) - len(won[MOJO]) - no_difference
    whole = spread(duel.ratio.mid for duel in quiet)
    values |= {"cpp_wins": len(won[CPP]), "mojo_wins": len(won[MOJO]), "level": level, "no_difference": no_difference}
    if whole is not None:
        values |= {"mojo_over_cpp": whole.mean, "lowest": whole.low, "highest": whole.high, "averaged": whole.count}
    enough = WIN_SHARE * len(counted)
    if len(won[MOJO]) >= enough and (whole is None or whole.mean >= MATTERS):
        word, loser = MOJO_AHEAD, CPP
    elif len(won[CPP]) >= enough and (whole is None or whole.mean <= 1 / MATTERS):
        word, loser = CPP_AHEAD, MOJO
    elif level + no_difference >= enough:
        word = LEVEL if level > no_difference else NO_DIFFERENCE
        return word, values, _wins(won, EXCEPTION_SHARE * len(counted))
    else:
        return MIXED, values, _wins(won, 1)
    return word, values, _wins({loser: won[loser]}, EXCEPTION_SHARE * len(counted))


def _wins(won: dict[str, list[Duel]], at_least: float) -> str | None:
    parts = []
    for side, duels in won.items():
        if duels and len(duels) >= at_least:
            names = ", ".join(dict.fromkeys(duel.case.op for duel in duels))
            parts.append(f"{SIDE_NAMES[side]} wins on {names}")
    return "; ".join(parts) or None


def _sizes(pack: Pack, all_cases: Sequence[Case], device: str, size_class: str) -> Statement:
    limits = {
        "large": f"{LARGE_ELEMENTS:,} elements and more",
        "middle": f"{SMALL_ELEMENTS:,} to {LARGE_ELEMENTS:,} elements",
    }
    place = "CPU" if device == "cpu" else device
    question = f"{size_class.capitalize()} tensors, {place}"
    rule = (
        f"Mojo's representative against C++'s as called, {limits[size_class]}: a row is won by "
        f"{MATTERS - 1:.0%} or more, outside the band that the spread between processes can produce, with an interval "
        f"that excludes 1.0; a side is ahead when it wins {WIN_SHARE:.0%} of the rows and the geometric mean agrees."
    )
    some = [case for case in all_cases if case.device == device and case.size_class == size_class]
    duels = [duel for case in some if case.mode == "call" and (duel := case.duel())]
    if not duels:
        return _absent(f"{size_class}-{device}", question, rule, _why_not(pack, "runtime"))
    word, values, exceptions = group(duels)
    kernel = [duel for case in some if case.mode == "kernel" and (duel := case.duel())]
    evidence = _duel_text(values)
    detail = None
    if kernel:
        kernel_word, kernel_values, _ = group(kernel)
        values["kernel_alone"] = kernel_values | {"verdict": kernel_word}
        if "mojo_over_cpp" in kernel_values:
            detail = f"Kernel alone, outputs ready: {_times(kernel_values)}."
    rows = [pointer for duel in (*duels, *kernel) for pointer in duel.pointers]
    name = f"{size_class}-{device}"
    return Statement(name, question, word, rule, evidence, rows, values, exceptions, detail)


def _times(values: dict[str, Any]) -> str:
    low, high = text.factor(values["lowest"]), text.factor(values["highest"])
    rows = text.count(values["averaged"], "row")
    return f"Mojo at {text.factor(values['mojo_over_cpp'])} the speed of C++ ({low} to {high}, {rows})"


def _duel_text(values: dict[str, Any]) -> str:
    if "cpp_wins" not in values:
        rows = text.count(values["rows"] + values["undecided"], "row")
        return f"{values['undecided']} of {rows} noisy, with intervals that hold 1.0."
    noisy = f"{text.count(values['noisy'], 'noisy row')} in no mean" if values["noisy"] else ""
    if values["undecided"]:
        noisy += f", {values['undecided']} of them undecided"
    found = [f"C++ wins {values['cpp_wins']}", f"Mojo {values['mojo_wins']}"]
    if values["level"]:
        found.append(f"{values['level']} within {MATTERS - 1:.0%} or the noise band")
    if values["no_difference"]:
        found.append(f"{values['no_difference']} without a difference shown")
    head = _times(values) if "mojo_over_cpp" in values else "No row quiet enough for a mean"
    return f"{head}: {', '.join(found)}{'; ' + noisy if noisy else ''}."


def small(pack: Pack, all_cases: Sequence[Case]) -> Statement:
    """Small tensors: the calls of both representatives, and the run-time rows of small samples."""
    question = "Small tensors, dispatch"
    rule = (
        f"Call of {REPRESENTATIVE[CPP]} and {REPRESENTATIVE[MOJO]} with 16 elements, in a tight loop and after a gap, "
        f"and their run-time rows up to {SMALL_ELEMENTS:,} elements; contradiction is “mixed”. Calls must differ by a "
        f"factor of {CALL_MATTERS}, which is more than two runs differ by."
    )
    rows = dispatch(pack)
    words: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    pointers: list[str] = []
    for mode, name in (("hot", "Call in a tight loop"), ("gap", "after a gap")):
        cpp, mojo = call_of(rows, CPP, mode), call_of(rows, MOJO, mode)
        if not (cpp and mojo and cpp.time and mojo.time):
            continue
        pointers += [cpp.pointer, mojo.pointer]
        values[mode] = {"cpp": cpp.route, "cpp_us": cpp.time.mid, "mojo": mojo.route, "mojo_us": mojo.time.mid}
        mark = ", noisy" if cpp.noisy or mojo.noisy else ""
        parts.append(
            f"{name}: {cpp.route} {text.micros(cpp.time.mid)}, {mojo.route} {text.micros(mojo.time.mid)}{mark}"
        )
        words.append(ahead(cpp.time.over(mojo.time), CALL_MATTERS))
    some = [case for case in all_cases if case.device == "cpu" and case.mode == "call" and case.size_class == "small"]
    duels = [duel for case in some if (duel := case.duel())]
    exceptions = detail = None
    if duels:
        word, values["runtime"], exceptions = group(duels)
        words.append(None if word == NOT_MEASURED else word)
        pointers += [pointer for duel in duels for pointer in duel.pointers]
        if "mojo_over_cpp" in values["runtime"]:
            detail = f"Small samples: {_times(values['runtime'])}."
    if not parts and detail is None:
        return _absent("small", question, rule, _why_not(pack, "dispatch"))
    others = [row for row in plain(rows) if row.mode == "hot" and row.time and side_of(row.route)]
    others = [row for row in others if row.route not in REPRESENTATIVE.values()]
    if others:
        calls = ", ".join(f"{row.route} {text.micros(row.time.mid)}" for row in others if row.time)
        detail = f"{detail + ' ' if detail else ''}Other routes in a tight loop, which decide nothing: {calls}."
        pointers += [row.pointer for row in others]
    evidence = "; ".join(parts) + "." if parts else str(detail)
    return Statement("small", question, joined(words), rule, evidence, pointers, values, exceptions,
                     detail if parts else None)  # fmt: skip


@dataclass
class _Worth:
    """How a side's representative compares with PyTorch: its cases with their outcome, and its quiet ratios."""

    outcomes: list[tuple[Case, str | None]] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    noisy: int = 0
    pointers: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Case]:
        """Cases on which PyTorch is faster."""
        return [case for case, outcome in self.outcomes if outcome == "lost"]

    @property
    def wins(self) -> int:
        """Cases on which the custom op is faster."""
        return sum(outcome == "won" for _, outcome in self.outcomes)

    @property
    def verdict(self) -> str | None:
        """Whether the custom op pays; None without a quiet row."""
        mean = spread(self.quiet)
        if mean is None:
            return None
        if self.wins >= WIN_SHARE * len(self.outcomes) and mean.mean >= MATTERS:
            return PAYS
        return PAYS_NOT if len(self.lost) >= WIN_SHARE * len(self.outcomes) and mean.mean <= 1 / MATTERS else DEPENDS


def _worth(side: str, sides: Sequence[str], all_cases: Sequence[Case]) -> _Worth:
    """The representative of a side against the faster of eager and torch.compile, as called, row by row.

    Rows are those that the representatives of all `sides` timed, and the quiet ones are quiet for all of them, so that
    means that stand side by side are over the same rows.
    """
    summary = _Worth()
    for case in all_cases:
        route, base = case.representative(side), case.pytorch()
        if case.mode != "call" or route is None or base is None or not all(map(case.representative, sides)):
            continue
        ratio = case.speedup(route, base)
        if ratio is None:
            continue
        if case.noisy(base, *map(case.representative, sides)):
            summary.noisy += 1
        else:
            summary.quiet.append(ratio.mid)
        if case.noisy(route, base) and ratio.holds_one:
            continue
        least = case.must_exceed(route, base)
        won = "won" if ratio.above_one and ratio.mid >= least else None
        summary.outcomes.append((case, "lost" if ratio.below_one and ratio.mid <= 1 / least else won))
        summary.pointers += [case.cells[route].pointer, case.cells[base].pointer]
    return summary


def custom_op(pack: Pack, all_cases: Sequence[Case]) -> Statement:
    """Whether a custom op beats what PyTorch gives without one, for each side by its representative."""
    question = "Is a custom op worth it?"
    rule = (
        "Each side's representative against the faster of eager and torch.compile, row by row, as called: it pays when "
        f"it is shown to be faster, beyond the noise band, on {WIN_SHARE:.0%} of the rows and by {MATTERS - 1:.0%} or "
        "more in the geometric mean; it does not pay when that holds the other way; else, and where the sides "
        "disagree, it depends."
    )
    sides = [side for side in SIDES if any(case.mode == "call" and case.representative(side) for case in all_cases)]
    worth = {side: summary for side in sides if (summary := _worth(side, sides, all_cases)).verdict}
    if not worth:
        return _absent("custom-op", question, rule, _why_not(pack, "runtime"))
    verdicts = {summary.verdict for summary in worth.values()}
    word = verdicts.pop() if len(verdicts) == 1 else DEPENDS
    parts = []
    values: dict[str, Any] = {}
    for side, summary in worth.items():
        mean = spread(summary.quiet)
        assert mean is not None
        sentence = f"{SIDE_NAMES[side]} is faster on {summary.wins} of {text.count(len(summary.outcomes), 'row')}, "
        sentence += f"{text.mean(mean)}"
        parts.append(
            sentence + (f", {text.count(summary.noisy, 'noisy row')} not in the mean" if summary.noisy else "")
        )
        values[side] = {
            "rows": len(summary.outcomes),
            "wins": summary.wins,
            "losses": len(summary.lost),
        }
        values[side] |= {"noisy": summary.noisy, "mean": mean.mean, "lowest": mean.low, "highest": mean.high}
    compiled = sum(case.mode == "call" and "compile" in case.cells and case.cells["compile"].ok for case in all_cases)
    evidence = f"{'; '.join(parts)}. torch.compile was timed on {text.count(compiled, 'row')}."
    exceptions = None
    lost = list({case.name: case for summary in worth.values() for case in summary.lost})
    if lost and word == PAYS:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        exceptions = f"PyTorch is faster on {', '.join(lost[:3])}{more}"
    pointers = list(dict.fromkeys(pointer for summary in worth.values() for pointer in summary.pointers))
    return Statement("custom-op", question, word or DEPENDS, rule, evidence, pointers, values, exceptions)


def edit_loop(pack: Pack) -> Statement:
    """Build time: the edit loop and the clean build must not contradict each other."""
    question = "Build and edit loop"
    rule = (
        "One-line kernel edit to first correct result, and clean build, of each side's representative: a side is ahead "
        f"when its range lies below the other's by a factor of {BUILD_MATTERS} or more, a stage that ran once being "
        f"known to a factor of {SINGLE_RUN}; contradiction is “mixed”."
    )
    table = build(pack)
    present = build_routes(table)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    words: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    rows: list[str] = []
    for kind in ("edit", "clean"):
        ratio = build_ratio(table, kind, mojo, cpp) if cpp and mojo else None
        if ratio is None or cpp is None or mojo is None:
            continue
        one, two = table[kind][cpp], table[kind][mojo]
        assert one.time is not None
        assert two.time is not None
        words.append(ahead(ratio, BUILD_MATTERS))
        rows += [one.pointer, two.pointer]
        values[kind] = {"cpp_s": one.time.mid, "mojo_s": two.time.mid}
        name = "Edit to result" if kind == "edit" else "clean build"
        parts.append(f"{name}: C++ {text.seconds(one.time.mid)}, Mojo {text.seconds(two.time.mid)}")
    if not parts:
        return _absent("edit-loop", question, rule, _why_not(pack, "build"))
    stock = table.get("first_call_new_shape", {}).get("mojo_stock")
    if stock and stock.time:
        rows.append(stock.pointer)
        values["mojo_stock_new_shape_s"] = stock.time.mid
        parts.append(f"mojo_stock compiles {text.seconds(stock.time.mid)} for every new shape")
    return Statement("edit-loop", question, joined(words), rule, "; ".join(parts) + ".", rows, values)


def code_size(pack: Pack) -> Statement:
    """Code size: an op's own code, and the whole with what is shared."""
    question = "Code size"
    rule = (
        "Tokens and gzip bytes of each side's representative, all ops, for all devices: once without and once with the "
        f"code that ops share; a side is ahead when it needs less by a factor of {SIZE_MATTERS} or more in all of "
        "them; contradiction is “mixed”. Lines, which depend on the formatter, stand beside them and decide nothing."
    )
    present = code_routes(pack)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    if cpp is None or mojo is None:
        return _absent("code-size", question, rule, _why_not(pack, "code"))
    words: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    for name, shared in (("own", False), ("with_shared", None)):
        one, two = code(pack, cpp, shared=shared), code(pack, mojo, shared=shared)
        ratio = size_ratio(one, two)
        if ratio is None:
            continue
        words.append(ahead(ratio, SIZE_MATTERS))
        values[name] = {"cpp": one.figures, "mojo": two.figures}
        parts.append(size_words(one, two))
    if not parts:
        return _absent("code-size", question, rule, _why_not(pack, "code"))
    evidence = f"C++ to Mojo, code of the ops themselves: {parts[0]}"
    evidence += f"; with shared code: {parts[1]}." if len(parts) > 1 else "."
    rows = list(code(pack, cpp).pointers + code(pack, mojo).pointers)
    return Statement("code-size", question, joined(words), rule, evidence, rows, values)


def _checks(rows: Sequence[tuple[int, Row]]) -> str:
    """`383 of 383` of some rows of the section `correctness`."""
    passed, failed = (sum(row[key] for _, row in rows) for key in ("passed", "failed"))
    return f"{passed:,} of {passed + failed:,}"


def _failing(rows: Sequence[tuple[int, Row]]) -> str:
    names = list(dict.fromkeys(f"{row['route']} on {row['op']} {row['dtype']}" for _, row in rows if row["failed"]))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _apart(failed: Sequence[tuple[int, Row]]) -> str:
    """Failures of routes that are not judged, by whose they are."""
    owners = {"PyTorch's own": ("eager", "compile"), "MAX's graph ops": ("max_graph",)}
    parts: dict[str, list[tuple[int, Row]]] = {}
    for index, row in failed:
        owner = next((name for name, routes in owners.items() if row["route"] in routes), "other routes")
        parts.setdefault(owner, []).append((index, row))
    return "; ".join(f"{owner}: {_failing(rows)}" for owner, rows in parts.items())


def correctness(pack: Pack) -> Statement:
    """Whether the hand-written ops of both sides passed the specs; failures of every other route stand apart."""
    question = "Correct results"
    judged = {CPP: {CPP}, MOJO: {REPRESENTATIVE[MOJO], REPRESENTATIVE_ON_GPU[MOJO]}}
    names = {side: " and ".join(sorted(routes, key=order)) for side, routes in judged.items()}
    rule = (
        "Every check of the hand-written ops against the float64 reference, on the routes that represent a side on a "
        f"device ({names[CPP]}; {names[MOJO]}); one failure counts. Failures of PyTorch's own routes, of MAX's graph "
        "ops and of the other routes stand apart and decide nothing."
    )
    rows = [(index, row) for index, row in enumerate(pack.rows("correctness")) if row["passed"] + row["failed"]]
    by_route: dict[str, list[tuple[int, Row]]] = {}
    for index, row in rows:
        by_route.setdefault(row["route"], []).append((index, row))
    checked = {side: [r for r in sorted(by_route, key=order) if r in judged[side]] for side in SIDES}
    if not any(checked.values()):
        return _absent("correctness", question, rule, _why_not(pack, "correctness"))
    judged_rows = [entry for routes in checked.values() for route in routes for entry in by_route[route]]
    failing = [(index, row) for index, row in judged_rows if row["failed"]]
    sides = {side_of(row["route"]) for _, row in failing}
    absent = [SIDE_NAMES[side] for side in SIDES if not checked[side]]
    word = ALL_PASS
    if sides:
        word = "both fail" if len(sides) == len(SIDES) else f"{SIDE_NAMES[CPP if CPP in sides else MOJO]} fails"
    elif absent:
        word = NOT_MEASURED
    counts = ", ".join(f"{route} {_checks(by_route[route])}" for routes in checked.values() for route in routes)
    evidence = f"Checks passed: {counts}." + (f" Not checked: {', '.join(absent)}." if absent else "")
    others = [entry for entry in rows if entry not in judged_rows and entry[1]["failed"]]
    if others:
        evidence += f" Apart, deciding nothing, fail: {_apart(others)}."
    passed, failed = (sum(row[key] for _, row in judged_rows) for key in ("passed", "failed"))
    values = {"passed": passed, "failed": failed, "apart": sum(row["failed"] for _, row in others)}
    pointers = [f"/correctness/rows/{index}" for index, _ in (failing or judged_rows)]
    pointers += [f"/correctness/rows/{index}" for index, _ in others]
    exceptions = f"fails: {_failing(failing)}" if failing else None
    return Statement("correctness", question, word, rule, evidence, pointers, values, exceptions)
