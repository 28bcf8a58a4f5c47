"""The verdict: one statement a decision question, computed by a rule from the rows it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evidence.analyse import text
from evidence.analyse.build_ratio import build_ratio
from evidence.analyse.numbers import NO_DIFFERENCE, Interval, spread
from evidence.analyse.routes import CPP, MOJO, SIDE_NAMES, SIDES, side_of
from evidence.analyse.runtime import Case, Duel, cases
from evidence.analyse.stages import (
    build,
    build_routes,
    cheapest,
    code,
    code_routes,
    dispatch,
    failed_builds,
    speaks_for,
)
from evidence.analyse.thresholds import (
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
from evidence.pack import DID_NOT_RUN, Pack, Row

CPP_AHEAD = "C++ ahead"
MOJO_AHEAD = "Mojo ahead"
MIXED = "mixed"
LEVEL = "level"
NOT_MEASURED = "not measured here"
PAYS = "a custom op pays"
PAYS_NOT = "a custom op does not pay"
DEPENDS = "it depends"
ALL_PASS = "no failure shown"
WORDS = (CPP_AHEAD, MOJO_AHEAD, NO_DIFFERENCE, LEVEL, MIXED, NOT_MEASURED, PAYS, PAYS_NOT, DEPENDS, ALL_PASS,
         "C++ fails", "Mojo fails", "both fail")  # fmt: skip


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
    """One verdict from several: a side ahead outweighs `level` and «no difference shown», contradiction is `mixed`."""
    known = {word for word in words if word and word != NOT_MEASURED}
    decided = known - {NO_DIFFERENCE, LEVEL}
    if decided:
        return decided.pop() if len(decided) == 1 else MIXED
    return LEVEL if LEVEL in known else NO_DIFFERENCE if known else NOT_MEASURED


def _absent(name: str, question: str, rule: str, reason: str) -> Statement:
    return Statement(name, question, NOT_MEASURED, rule, reason[:1].upper() + reason[1:] + ".")


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
        f"Best Mojo against best C++ route as called, {limits[size_class]}: a row is won by "
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
    """Small tensors: decided by the cheapest hot call, held against the run-time rows of small samples."""
    question = "Small tensors, dispatch"
    rule = (
        f"Cheapest call of 16 elements, hot and after a gap, and the run-time rows up to {SMALL_ELEMENTS:,} elements; "
        f"contradiction is «mixed». Calls must differ by a factor of {CALL_MATTERS}, beyond what another run can make."
    )
    rows = dispatch(pack)
    words: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    pointers: list[str] = []
    for mode, name in (("hot", "Call in a tight loop"), ("gap", "after a gap")):
        cpp, mojo = cheapest(rows, CPP, mode), cheapest(rows, MOJO, mode)
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
    evidence = "; ".join(parts) + "." if parts else str(detail)
    return Statement("small", question, joined(words), rule, evidence, pointers, values, exceptions,
                     detail if parts else None)  # fmt: skip


def custom_op(pack: Pack, all_cases: Sequence[Case]) -> Statement:
    """Whether the best custom op of either side beats what PyTorch gives without one."""
    question = "Is a custom op worth it?"
    rule = (
        "Best custom route of either side against the faster of eager and torch.compile, as called: pays when it is "
        f"shown to be faster, beyond the noise band, on {WIN_SHARE:.0%} of the rows and by {MATTERS - 1:.0%} or more "
        "in the geometric mean; does not pay when that holds the other way; else it depends."
    )
    ratios: list[tuple[Case, str | None]] = []
    quiet: list[float] = []
    pointers: list[str] = []
    rivals: dict[str, None] = {}
    noisy = 0
    for case in all_cases:
        custom = [route for side in SIDES if (route := case.best(side))]
        plain = [route for route in ("eager", "compile") if route in case.cells and case.cells[route].ok]
        if case.mode != "call" or not custom or not plain:
            continue
        one = min(custom, key=lambda route: case.cells[route].row["median_us"])
        two = min(plain, key=lambda route: case.cells[route].row["median_us"])
        ratio = case.speedup(one, two)
        if ratio is None:
            continue
        if case.noisy(one, two):
            noisy += 1
            if ratio.holds_one:
                continue
        else:
            quiet.append(ratio.mid)
        least = case.must_exceed(one, two)
        shown = "won" if ratio.above_one and ratio.mid >= least else None
        ratios.append((case, "lost" if ratio.below_one and ratio.mid <= 1 / least else shown))
        rivals |= dict.fromkeys(plain)
        pointers += [case.cells[one].pointer, case.cells[two].pointer]
    whole = spread(quiet)
    if whole is None:
        return _absent("custom-op", question, rule, _why_not(pack, "runtime"))
    wins = sum(shown == "won" for _, shown in ratios)
    lost = [case for case, shown in ratios if shown == "lost"]
    word = DEPENDS
    if wins >= WIN_SHARE * len(ratios) and whole.mean >= MATTERS:
        word = PAYS
    elif len(lost) >= WIN_SHARE * len(ratios) and whole.mean <= 1 / MATTERS:
        word = PAYS_NOT
    evidence = f"Faster than {' and '.join(rivals)} on {wins} of {text.count(len(ratios), 'row')}: {text.mean(whole)}"
    evidence += f"; {text.count(noisy, 'noisy row')} in no mean." if noisy else "."
    exceptions = None
    if lost and word == PAYS:
        names = ", ".join(case.name for case in lost[:3])
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        exceptions = f"PyTorch is faster on {names}{more}"
    values: dict[str, Any] = {"rows": len(ratios), "wins": wins, "losses": len(lost), "noisy": noisy}
    values |= {"mean": whole.mean, "lowest": whole.low, "highest": whole.high}
    return Statement("custom-op", question, word, rule, evidence, pointers, values, exceptions)


def edit_loop(pack: Pack) -> Statement:
    """Build time: the edit loop and the clean build must not contradict each other."""
    question = "Build and edit loop"
    rule = (
        "One-line kernel edit to first correct result, and clean build, of each side's own route: a side is ahead "
        f"when its range lies below the other's by a factor of {BUILD_MATTERS} or more, a stage that ran once being "
        f"known to a factor of {SINGLE_RUN}; contradiction is «mixed»."
    )
    table = build(pack)
    present = build_routes(table)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
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
    """Code size: an op's own lines, and the whole with what is shared."""
    question = "Code size"
    rule = (
        "Code lines of each side's own route, all ops: once without and once with the code that ops share; a side is "
        f"ahead when it needs fewer by a factor of {SIZE_MATTERS} or more; contradiction is «mixed»."
    )
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return _absent("code-size", question, rule, _why_not(pack, "code"))
    words: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    for name, shared in (("own", False), ("with_shared", None)):
        one, two = code(pack, cpp, shared=shared), code(pack, mojo, shared=shared)
        if not one.lines or not two.lines:
            continue
        exact = one.lines / two.lines
        words.append(ahead(Interval(exact, exact, exact), SIZE_MATTERS))
        values[name] = {"cpp_lines": one.lines, "mojo_lines": two.lines}
        parts.append(f"C++ {one.lines:,}, Mojo {two.lines:,}")
    if not parts:
        return _absent("code-size", question, rule, _why_not(pack, "code"))
    evidence = f"Lines for the ops themselves: {parts[0]}"
    evidence += f"; with shared code: {parts[1]}." if len(parts) > 1 else "."
    rows = list(code(pack, cpp).pointers + code(pack, mojo).pointers)
    return Statement("code-size", question, joined(words), rule, evidence, rows, values)


def correctness(pack: Pack) -> Statement:
    """Whether every route passed the specs; a failure names its route and op."""
    question = "Correct results"
    rule = "Every check of every route against the float64 reference; one failure counts."
    rows = pack.rows("correctness")
    if not rows:
        return _absent("correctness", question, rule, _why_not(pack, "correctness"))
    failing = [(index, row) for index, row in enumerate(rows) if row["failed"]]
    sides = {side_of(row["route"]) for _, row in failing} - {None}
    word = ALL_PASS
    if sides:
        word = "both fail" if len(sides) == len(SIDES) else f"{SIDE_NAMES[next(iter(sides)) or CPP]} fails"
    passed, failed, skipped = (sum(row[key] for row in rows) for key in ("passed", "failed", "skipped"))
    evidence = f"{passed:,} of {text.count(passed + failed, 'check')} passed, {skipped:,} skipped."
    exceptions = None
    if failing:
        names = dict.fromkeys(f"{row['route']} on {row['op']} {row['dtype']}" for _, row in failing)
        exceptions = "fails: " + ", ".join(list(names)[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    values = {"passed": passed, "failed": failed, "skipped": skipped}
    chosen = failing or list(enumerate(rows))
    pointers = [f"/correctness/rows/{index}" for index, _ in chosen]
    return Statement("correctness", question, word, rule, evidence, pointers, values, exceptions)
