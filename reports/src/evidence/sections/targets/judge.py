"""What is judged from the targets matrix: gates of several GPU vendors, and claims about running anywhere."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES, SIDES
from evidence.judge.claims import Claim
from evidence.judge.gates import Finding, Gate
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointers
from evidence.judge.questions import AMD, NVIDIA
from evidence.judge.scope import Scope
from evidence.sections.targets.readings import TRIED, VENDORS, Coverage, coverage, coverage_words


def _for_gpus(scope: Scope, side: str) -> dict[str, Coverage]:
    return {vendor: covered for vendor, covered in coverage(scope.pack, side).items() if vendor in (NVIDIA, AMD)}


def _several_gpus(scope: Scope, _: str) -> Finding:
    """A pack is of one machine, so runs on the GPUs of two vendors are not in it; what builds is reported as built."""
    parts, rows = [], []
    for side in SIDES:
        built = _for_gpus(scope, side)
        if built:
            parts.append(f"{SIDE_NAMES[side]} {coverage_words(built)}")
            rows += pointers(row for covered in built.values() for row in covered.rows)
    needs = f"needs runs of compare on an {NVIDIA} and on an {AMD} GPU"
    return Finding(None, f"{needs}; only built, which decides nothing: {'; '.join(parts)}" if parts else needs, rows)


def _builds(scope: Scope, side: str) -> Finding:
    built = _for_gpus(scope, side)
    rows = pointers(row for covered in built.values() for row in covered.rows)
    if any(covered.failed for covered in built.values()):
        return Finding(False, coverage_words(built), rows)
    absent = [vendor for vendor in (NVIDIA, AMD) if vendor not in built]
    if absent or any(covered.untried for covered in built.values()):
        coverage_text = f"; {coverage_words(built)}" if built else ""
        return Finding(None, f"needs every {SIDE_NAMES[side]} source built for every target{coverage_text}", rows)
    return Finding(True, coverage_words(built), rows)


GATES = (
    Gate("several_gpus", "measured on GPUs of several vendors", _several_gpus),
    Gate("builds", "every source builds for every NVIDIA and AMD target", _builds),
)


def run_anywhere(pack: Pack) -> Judgement | None:
    """Every Mojo source built for every target: holds when it is built for all CPU, NVIDIA, AMD and Apple targets; in
    part when it is for all CPU targets and all those of at least one GPU vendor; else it does not hold. A target
    without a toolchain is no success. Building is not running, and emulation, which is of NVIDIA code alone, is no
    run on a device either: it stands in the evidence."""
    mojo, cpp = coverage(pack, MOJO), coverage(pack, CPP)
    if not any(covered.built or covered.failed for vendor, covered in mojo.items() if vendor != "CPU"):
        return None
    complete = {vendor for vendor, covered in mojo.items() if covered.complete}
    verdict = DOES_NOT_HOLD
    if complete == set(VENDORS):
        verdict = HOLDS
    elif "CPU" in complete and len(complete) > 1:
        verdict = IN_PART
    rows = pointers(row for side in (mojo, cpp) for covered in side.values() for row in covered.rows)
    evidence = f"Built, not run. Mojo: {coverage_words(mojo)}. C++: {coverage_words(cpp)}."
    return Judgement(verdict, evidence, rows)


def amd_start_over(pack: Pack) -> Judgement | None:
    """The C++ side's CUDA sources for AMD targets that this machine has a toolchain for: does not hold when every one
    builds, in part when some do, holds when none does. The other targets stand in the evidence."""
    amd = coverage(pack, CPP).get("AMD")
    tried = [row for row in amd.rows if row.row.status in TRIED] if amd else []
    if amd is None or not tried:
        return None
    built = sum(row.row.status == "built" for row in tried)
    verdict = DOES_NOT_HOLD if built == len(tried) else IN_PART if built else HOLDS
    messages = [row.row.message for row in tried if row.row.status == "failed" and row.row.message]
    evidence = f"{built} of {text.count(len(tried), 'build')} succeeded: {coverage_words({'AMD': amd})}"
    return Judgement(verdict, f"{evidence}: {messages[0]}" if messages else f"{evidence}.", pointers(amd.rows))


CLAIMS = (
    Claim("run-anywhere", 110, "Write once, run anywhere; no vendor lock-in.",
          "a targets matrix: every source built for every CPU, NVIDIA, AMD and Apple target", run_anywhere),
    Claim("amd-start-over", 120, "AMD support in C++ means starting over with HIP.",
          "lines that hipify cannot translate, and a build for an AMD target", amd_start_over),
)  # fmt: skip
