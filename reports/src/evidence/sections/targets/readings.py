"""The targets matrix read back: what a side builds for the processors of each vendor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evidence.core import text
from evidence.core.pack import Pack, Pointed
from evidence.core.routes import MOJO
from evidence.sections.targets.row import TargetRow

TRIED = ("built", "failed", "no source")
VENDORS = ("CPU", "NVIDIA", "AMD", "Apple")
_NAMES = (
    ("NVIDIA", r"nvidia|cuda|\bsm_?\d"),
    ("AMD", r"\bhip|rocm|gfx\d|amdgpu"),
    ("Apple", r"apple|metal|macos|darwin"),
    ("CPU", r"cpu|x86|amd64|aarch64|arm64|neon|avx|sse|riscv"),
)


def vendor(target: str) -> str | None:
    """`CPU`, `NVIDIA`, `AMD` or `Apple`, by the patterns that a target's name matches; None without a match."""
    return next((name for name, pattern in _NAMES if re.search(pattern, target, re.IGNORECASE)), None)


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
    rows: tuple[Pointed[TargetRow], ...]

    @property
    def complete(self) -> bool:
        """True when every source builds for every target of the vendor."""
        return bool(self.built) and not self.failed and not self.untried


def coverage(pack: Pack, side: str) -> dict[str, Coverage]:
    """Vendor -> what a side builds for it. A Mojo source counts as built by either of its two compilers."""
    sides = (MOJO, "mojo_aot") if side == MOJO else (side,)
    by_vendor: dict[str, list[Pointed[TargetRow]]] = {}
    for row in pack.pointed(TargetRow):
        if row.row.side in sides and (name := vendor(row.row.target)):
            by_vendor.setdefault(name, []).append(row)
    return {name: _coverage(by_vendor[name]) for name in VENDORS if name in by_vendor}


def _coverage(rows: list[Pointed[TargetRow]]) -> Coverage:
    targets: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        targets.setdefault(row.row.target, {}).setdefault(row.row.op, set()).add(row.row.status)
    states = {target: _state(ops.values()) for target, ops in targets.items()}
    by_state = {state: tuple(target for target in targets if states[target] == state) for state in set(states.values())}
    tried = [row for row in rows if row.row.status in TRIED]
    return Coverage(
        by_state.get("built", ()),
        by_state.get("failed", ()),
        by_state.get("untried", ()),
        bool(tried) and all(row.row.status == "no source" for row in tried),
        tuple(rows),
    )


def _state(ops: Iterable[set[str]]) -> str:
    """What became of a target, by the states that each op has with the side's compilers."""
    rest = [states for states in ops if "built" not in states]
    if not rest:
        return "built"
    return "failed" if any(states & {"failed", "no source"} for states in rest) else "untried"


def coverage_words(by_vendor: dict[str, Coverage]) -> str:
    """`NVIDIA 6 of 6 targets, AMD 1 of 4 targets (no toolchain here for gfx942)`."""
    parts = []
    for name, covered in by_vendor.items():
        if covered.no_source:
            parts.append(f"no source for {name}")
            continue
        whole = len(covered.built) + len(covered.failed) + len(covered.untried)
        notes = [f"fails for {', '.join(covered.failed)}"] if covered.failed else []
        notes += [f"not built here for {', '.join(covered.untried)}"] if covered.untried else []
        label = f"{name} {len(covered.built)} of {text.count(whole, 'target')}"
        parts.append(label + (f" ({'; '.join(notes)})" if notes else ""))
    return ", ".join(parts) or "nothing tried"
