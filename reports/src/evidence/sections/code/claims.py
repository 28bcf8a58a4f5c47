"""Claims about what has to be written: boilerplate, skills, syntax, build configuration."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, measured_representative, side_of
from evidence.core.thresholds import BOILERPLATE_LINES, SIZE_MATTERS
from evidence.judge.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    Judgement,
    judges,
    pointed,
    pointers,
    word,
)
from evidence.sections.code.table import code, code_ops, code_routes, size_ratio


@judges("boilerplate")
def boilerplate(pack: Pack) -> Judgement | None:
    """Lines of add outside the kernel (binding, build, glue) on C++'s representative: holds from {BOILERPLATE_LINES}
    lines of the op's own; in part when they are reached only with the code that all ops share. The talk counts in
    lines, so this claim does."""
    route = measured_representative(CPP, code_routes(pack))
    if "add" not in code_ops(pack) or route is None:
        return None

    def outside(route: str) -> tuple[int, int, tuple[str, ...]]:
        outer = ("binding", "build", "glue")
        own = [code(pack, route, op="add", bucket=bucket, shared=False) for bucket in outer]
        shared = [code(pack, route, bucket=bucket, shared=True) for bucket in outer]
        found = sum((part.pointers for part in (*own, *shared)), ())
        return sum(part.lines for part in own), sum(part.lines for part in shared), found

    own, shared, rows = outside(route)
    verdict = HOLDS if own >= BOILERPLATE_LINES else IN_PART if own + shared >= BOILERPLATE_LINES else DOES_NOT_HOLD
    evidence = f"{route}: {own} lines of its own and {shared} shared by all ops"
    mojo = measured_representative(MOJO, code_routes(pack))
    if mojo:
        mojo_own, mojo_shared, mojo_rows = outside(mojo)
        rows += mojo_rows
        evidence += f"; {mojo}: {mojo_own} and {mojo_shared}"
    return Judgement(verdict, evidence + ".", rows)


def skills_of(pack: Pack, route: str) -> tuple[list[str], list[str] | None]:
    """Languages and framework API names in all sources of a route; None where no row lists the names."""
    rows = [row for row in pack.rows("code") if row["route"] == route]
    languages = sorted({name for row in rows for name in row.get("languages") or ()})
    named = [row["api_names"] for row in rows if row.get("api_names") is not None]
    return languages, sorted({name for names in named for name in names}) if named else None


@judges("skills")
def skills(pack: Pack) -> Judgement | None:
    """Four counts over all sources of each side's representative: languages, framework API names, tokens of build
    configuration and of bindings. Holds when C++ needs more than Mojo by a factor of {SIZE_MATTERS} in all four, in
    part in some of them."""
    present = code_routes(pack)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    if cpp is None or mojo is None:
        return None
    counts: list[tuple[str, int, int]] = []
    (one_languages, one_names), (two_languages, two_names) = skills_of(pack, cpp), skills_of(pack, mojo)
    if one_languages and two_languages:
        counts.append(("languages", len(one_languages), len(two_languages)))
    if one_names is not None and two_names is not None:
        counts.append(("framework API names", len(one_names), len(two_names)))
    if len(counts) < 2:
        return None
    for bucket in ("build", "binding"):
        one, two = code(pack, cpp, bucket=bucket), code(pack, mojo, bucket=bucket)
        counts.append((f"{bucket} tokens", one.tokens, two.tokens))
    more = sum(one > 0 and one >= SIZE_MATTERS * two for _, one, two in counts)
    evidence = f"{cpp} against {mojo}, for all devices: " + ", ".join(
        f"{name} {one:,} to {two:,}" for name, one, two in counts
    )
    evidence += f". C++ side: {', '.join(one_languages)}; Mojo side: {', '.join(two_languages)}."
    rows = pointers(found for found in pointed(pack, "code") if found.row["route"] in (cpp, mojo))
    return Judgement(word(more, len(counts)), evidence, rows)


def kernel_measures(pack: Pack, cpp: str, mojo: str) -> dict[str, tuple[int, int]]:
    """Kernels of all ops with what they share, for all devices, C++ and Mojo: tokens, gzip bytes, and complexity where
    every row has it."""
    one, two = code(pack, cpp, bucket="kernel"), code(pack, mojo, bucket="kernel")
    found = {
        "tokens": (one.tokens, two.tokens),
        "gzip bytes": (one.gzip_bytes or 0, two.gzip_bytes or 0),
        "cyclomatic complexity": (_complexity(pack, cpp), _complexity(pack, mojo)),
    }
    return {name: pair for name, pair in found.items() if all(pair)}


def _complexity(pack: Pack, route: str) -> int:
    """Sum over the kernel rows; 0 where one of them could not be parsed, which leaves the measure out."""
    rows = [row for row in pack.rows("code") if row["route"] == route and row["bucket"] == "kernel" and row["lines"]]
    values = [row.get("complexity") for row in rows]
    return 0 if any(value is None for value in values) else sum(value for value in values if value)


@judges("python-syntax")
def python_syntax(pack: Pack) -> Judgement | None:
    """Kernels of all ops with what they share, for all devices, by tokens, gzip bytes and, where both sides can be
    parsed, cyclomatic complexity: holds when Mojo needs less by a factor of {SIZE_MATTERS} or more in all of them, in
    part in some. Lines stand beside them and decide nothing."""
    present = code_routes(pack)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    if cpp is None or mojo is None:
        return None
    measures = kernel_measures(pack, cpp, mojo)
    if "tokens" not in measures:
        return None
    less = sum(one >= SIZE_MATTERS * two for one, two in measures.values())
    one, two = code(pack, cpp, bucket="kernel"), code(pack, mojo, bucket="kernel")
    shown = measures | {"lines, which decide nothing,": (one.lines, two.lines)}
    parts = ", ".join(f"{name} {a:,} to {b:,}" for name, (a, b) in shown.items())
    files = f"in {text.count(one.files, 'file')} and {text.count(two.files, 'file')}"
    return Judgement(word(less, len(measures)), f"C++ to Mojo, {files}: {parts}.", one.pointers + two.pointers)


@judges("minimal-build")
def minimal_build(pack: Pack) -> Judgement | None:
    """Build configuration by tokens and gzip bytes: holds when Mojo's representative needs less than C++'s by a factor
    of {SIZE_MATTERS} or more in both, else it does not hold. Other Mojo routes stand in the evidence."""
    present = code_routes(pack)
    cpp, mojo = measured_representative(CPP, present), measured_representative(MOJO, present)
    if cpp is None or mojo is None:
        return None
    base = code(pack, cpp, bucket="build")
    ratio = size_ratio(base, code(pack, mojo, bucket="build"))
    if ratio is None:
        return None
    others = [route for route in present if side_of(route) == MOJO and route != mojo]
    sums = {route: code(pack, route, bucket="build") for route in (cpp, mojo, *others)}
    verdict = HOLDS if ratio.low >= SIZE_MATTERS else DOES_NOT_HOLD
    parts = [f"{route} {one.tokens:,} tokens ({text.count(one.lines, 'line')})" for route, one in sums.items()]
    evidence = f"{', '.join(parts[:2])}" + (f"; other routes: {', '.join(parts[2:])}." if others else ".")
    return Judgement(verdict, evidence, sum((one.pointers for one in sums.values()), ()))
