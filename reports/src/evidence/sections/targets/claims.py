"""Claims about targets: run anywhere, AMD."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO
from evidence.judge.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    Judgement,
    Pointed,
    judges,
    pointed,
    pointers,
)
from evidence.sections.gpu import readings as gpu

TRIED = ("built", "failed", "no source")
VENDORS = ("CPU", "NVIDIA", "AMD", "Apple")
_NAMES = (
    ("NVIDIA", r"nvidia|cuda|\bsm_?\d"),
    ("AMD", r"\bhip|rocm|gfx\d|amdgpu"),
    ("Apple", r"apple|metal|macos|darwin"),
    ("CPU", r"cpu|x86|amd64|aarch64|arm64|neon|avx|sse|riscv"),
)


def vendor(target: str) -> str | None:
    """`CPU`, `NVIDIA`, `AMD` or `Apple`, by the words of a target's name; None when none of them is known."""
    return next((name for name, words in _NAMES if re.search(words, target, re.IGNORECASE)), None)


@dataclass(frozen=True)
class Coverage:
    """What a side builds for the targets of one vendor, target by target; building is not running.

    Attributes:
        built: targets for which every source builds.
        failed: those for which a source does not build, or a source is missing.
        untried: those that this machine has no toolchain for or left out, which is no success.
        no_source: whether the side has no source at all for this vendor.
        rows: the rows it stands on.
    """

    built: tuple[str, ...]
    failed: tuple[str, ...]
    untried: tuple[str, ...]
    no_source: bool
    rows: tuple[Pointed, ...]

    @property
    def complete(self) -> bool:
        """True when every source builds for every target of the vendor."""
        return bool(self.built) and not self.failed and not self.untried


def coverage(pack: Pack, side: str) -> dict[str, Coverage]:
    """Vendor -> what a side builds for it. A Mojo source counts as built by either of its two compilers."""
    sides = (MOJO, "mojo_aot") if side == MOJO else (side,)
    by_vendor: dict[str, list[Pointed]] = {}
    for row in pointed(pack, "targets"):
        if row.row["side"] in sides and (name := vendor(row.row["target"])):
            by_vendor.setdefault(name, []).append(row)
    return {name: _coverage(by_vendor[name]) for name in VENDORS if name in by_vendor}


def _coverage(rows: list[Pointed]) -> Coverage:
    targets: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        targets.setdefault(row.row["target"], {}).setdefault(row.row["op"], set()).add(row.row["status"])
    states = {target: _state(ops.values()) for target, ops in targets.items()}
    by_state = {state: tuple(target for target in targets if states[target] == state) for state in set(states.values())}
    tried = [row for row in rows if row.row["status"] in TRIED]
    return Coverage(
        by_state.get("built", ()),
        by_state.get("failed", ()),
        by_state.get("untried", ()),
        bool(tried) and all(row.row["status"] == "no source" for row in tried),
        tuple(rows),
    )


def _state(ops: Iterable[set[str]]) -> str:
    """What became of a target, by the states that each op has with the side's compilers."""
    rest = [states for states in ops if "built" not in states]
    if not rest:
        return "built"
    return "failed" if any(states & {"failed", "no source"} for states in rest) else "untried"


def coverage_words(found: dict[str, Coverage]) -> str:
    """`NVIDIA 6 of 6 targets, AMD 1 of 4 targets (no toolchain here for gfx942)`."""
    parts = []
    for name, one in found.items():
        if one.no_source:
            parts.append(f"no source for {name}")
            continue
        whole = len(one.built) + len(one.failed) + len(one.untried)
        notes = [f"fails for {', '.join(one.failed)}"] if one.failed else []
        notes += [f"not built here for {', '.join(one.untried)}"] if one.untried else []
        words = f"{name} {len(one.built)} of {text.count(whole, 'target')}"
        parts.append(words + (f" ({'; '.join(notes)})" if notes else ""))
    return ", ".join(parts) or "nothing tried"


def _tried(found: dict[str, Coverage]) -> dict[str, Coverage]:
    return {name: one for name, one in found.items() if one.built or one.failed}


@judges("run-anywhere")
def run_anywhere(pack: Pack) -> Judgement | None:
    """Every Mojo source built for every target: holds when it is built for all CPU, NVIDIA, AMD and Apple targets; in
    part when it is for all CPU targets and all those of at least one GPU vendor; else it does not hold. A target
    without a toolchain is no success. Building is not running, and emulation, which is of NVIDIA code alone, is no
    run on a device either: it stands in the evidence."""
    mojo, cpp = coverage(pack, MOJO), coverage(pack, CPP)
    if not set(_tried(mojo)) - {"CPU"}:
        return None
    complete = {name for name, found in mojo.items() if found.complete}
    verdict = DOES_NOT_HOLD
    if complete == set(VENDORS):
        verdict = HOLDS
    elif "CPU" in complete and len(complete) > 1:
        verdict = IN_PART
    rows = [row for found in (mojo, cpp) for one in found.values() for row in one.rows]
    evidence = f"Built, not run. Mojo: {coverage_words(mojo)}. C++: {coverage_words(cpp)}."
    emulated = gpu.emulated(pack).values()
    if emulated:
        evidence += f" NVIDIA kernels emulated: {', '.join(map(gpu.results_words, emulated))}."
    return Judgement(verdict, evidence, [*pointers(rows), *gpu.summary_rows(pack)])


@judges("amd-start-over")
def amd_start_over(pack: Pack) -> Judgement | None:
    """The C++ side's CUDA sources for AMD targets that this machine has a toolchain for: does not hold when every one
    builds, in part when some do, holds when none does. The other targets stand in the evidence."""
    found = coverage(pack, CPP).get("AMD")
    tried = [row for row in found.rows if row.row["status"] in TRIED] if found else []
    if found is None or not tried:
        return None
    built = sum(row.row["status"] == "built" for row in tried)
    verdict = DOES_NOT_HOLD if built == len(tried) else IN_PART if built else HOLDS
    messages = [row.row["message"] for row in tried if row.row["status"] == "failed" and row.row["message"]]
    evidence = f"{built} of {text.count(len(tried), 'build')} succeeded: {coverage_words({'AMD': found})}"
    return Judgement(verdict, f"{evidence}: {messages[0]}" if messages else f"{evidence}.", pointers(found.rows))
