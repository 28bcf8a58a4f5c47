"""Claims about targets: run anywhere, AMD."""

from __future__ import annotations

import re

from evidence.analyse import text
from evidence.analyse.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    Judgement,
    Pointed,
    judges,
    pointed,
    pointers,
)
from evidence.analyse.routes import CPP, MOJO
from evidence.pack import Pack

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


def reached(pack: Pack, side: str) -> dict[str, tuple[bool, list[Pointed]]]:
    """Vendors that a side was built for: whether every source that was tried built, with the rows.

    Targets without a tool chain on this machine were not tried and are left out; a side that has no source for one
    does not build for it. A Mojo source counts as built by either of its two compilers.
    """
    sides = (MOJO, "mojo_aot") if side == MOJO else (side,)
    tried = [
        one
        for one in pointed(pack, "targets")
        if one.row["side"] in sides
        and one.row["status"] in ("built", "failed", "no source")
        and vendor(one.row["target"])
    ]
    found = {}
    for name in VENDORS:
        some = [one for one in tried if vendor(one.row["target"]) == name]
        if some:
            ops = {(one.row["op"], one.row["target"]) for one in some}
            built = {(one.row["op"], one.row["target"]) for one in some if one.row["status"] == "built"}
            found[name] = (built == ops, some)
    return found


def _outcome(ok: bool, some: list[Pointed]) -> str:
    if ok:
        return "built"
    return "has no source" if all(one.row["status"] == "no source" for one in some) else "failed"


def _said(name: str, found: dict[str, tuple[bool, list[Pointed]]]) -> str:
    parts = [f"{vendor} {_outcome(ok, some)}" for vendor, (ok, some) in found.items()]
    absent = [vendor for vendor in VENDORS if vendor not in found]
    return f"{name}: {', '.join(parts) or 'nothing tried'}" + (f"; not tried: {', '.join(absent)}" if absent else "")


@judges("run-anywhere")
def run_anywhere(pack: Pack) -> Judgement | None:
    """Every Mojo source built for every target that this machine can build for: holds when CPU, NVIDIA, AMD and Apple
    targets were all tried and all built; in part when the CPU and at least one GPU vendor did; else it does not hold.
    Building is not running."""
    mojo, cpp = reached(pack, MOJO), reached(pack, CPP)
    if not set(mojo) - {"CPU"}:
        return None
    built = {name for name, (ok, _) in mojo.items() if ok}
    verdict = DOES_NOT_HOLD
    if built == set(VENDORS):
        verdict = HOLDS
    elif "CPU" in built and len(built) > 1:
        verdict = IN_PART
    rows = [one for found in (mojo, cpp) for _, some in found.values() for one in some]
    return Judgement(verdict, f"{_said('Mojo', mojo)}. {_said('C++', cpp)}.", pointers(rows))


@judges("amd-start-over")
def amd_start_over(pack: Pack) -> Judgement | None:
    """The C++ side's CUDA sources for an AMD target: does not hold when every one builds, in part when some do, holds
    when none does."""
    ok, some = reached(pack, CPP).get("AMD", (False, []))
    if not some:
        return None
    built = sum(one.row["status"] == "built" for one in some)
    verdict = DOES_NOT_HOLD if ok else IN_PART if built else HOLDS
    first = next((one.row["message"] for one in some if one.row["status"] == "failed" and one.row["message"]), None)
    evidence = f"{built} of {text.count(len(some), 'build')} for AMD succeeded"
    return Judgement(verdict, f"{evidence}: {first}" if first else f"{evidence}.", pointers(some))
