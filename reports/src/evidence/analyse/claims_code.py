"""Claims about what has to be written: boilerplate, skills, syntax, build configuration."""

from __future__ import annotations

from evidence.analyse import text
from evidence.analyse.judgement import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    Judgement,
    judges,
    pointed,
    pointers,
    word,
)
from evidence.analyse.routes import CPP, DOCUMENTED, MOJO, order
from evidence.analyse.stages import code, code_ops, code_routes, speaks_for
from evidence.analyse.thresholds import BOILERPLATE_LINES, SIZE_MATTERS
from evidence.pack import Pack


@judges("boilerplate")
def boilerplate(pack: Pack) -> Judgement | None:
    """Lines of add outside the kernel (binding, build, glue) on the leanest C++ route: holds from {BOILERPLATE_LINES}
    lines of the op's own; in part when they are reached only with the code that all ops share."""
    present = [route for route in code_routes(pack) if route.startswith(CPP)]
    if "add" not in code_ops(pack) or not present:
        return None

    def outside(route: str) -> tuple[int, int, tuple[str, ...]]:
        outer = ("binding", "build", "glue")
        own = [code(pack, route, op="add", bucket=bucket, shared=False) for bucket in outer]
        shared = [code(pack, route, bucket=bucket, shared=True) for bucket in outer]
        found = sum((part.pointers for part in (*own, *shared)), ())
        return sum(part.lines for part in own), sum(part.lines for part in shared), found

    route = min(present, key=lambda name: sum(outside(name)[:2]))
    own, shared, rows = outside(route)
    verdict = HOLDS if own >= BOILERPLATE_LINES else IN_PART if own + shared >= BOILERPLATE_LINES else DOES_NOT_HOLD
    evidence = f"{route}: {own} lines of its own and {shared} shared by all ops"
    mojo = speaks_for(MOJO, code_routes(pack))
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
    """Four counts over all sources of each side's own route: languages, framework API names, build lines, binding
    lines. Holds when C++ needs more than Mojo by a factor of {SIZE_MATTERS} in all four, in part in some of them."""
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
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
    for bucket, name in (("build", "build lines"), ("binding", "binding lines")):
        counts.append((name, code(pack, cpp, bucket=bucket).lines, code(pack, mojo, bucket=bucket).lines))
    more = sum(one > 0 and one >= SIZE_MATTERS * two for _, one, two in counts)
    evidence = f"{cpp} against {mojo}: " + ", ".join(f"{name} {one:,} to {two:,}" for name, one, two in counts)
    evidence += f". C++ side: {', '.join(one_languages)}; Mojo side: {', '.join(two_languages)}."
    rows = pointers(found for found in pointed(pack, "code") if found.row["route"] in (cpp, mojo))
    return Judgement(word(more, len(counts)), evidence, rows)


def kernel_measures(pack: Pack, cpp: str, mojo: str) -> dict[str, tuple[int, int]]:
    """Kernel code of all ops, C++ and Mojo: lines, tokens, gzip bytes, and complexity where every row has it."""
    one, two = code(pack, cpp, bucket="kernel"), code(pack, mojo, bucket="kernel")
    found = {
        "lines": (one.lines, two.lines),
        "tokens": (one.tokens, two.tokens),
        "gzip bytes": (one.gzip_bytes, two.gzip_bytes),
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
    """Kernel code of all ops by lines, tokens, gzip bytes and, where both sides can be parsed, cyclomatic complexity:
    holds when Mojo needs less by a factor of {SIZE_MATTERS} or more in all of them, in part in some."""
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return None
    measures = kernel_measures(pack, cpp, mojo)
    if not {"lines", "tokens"} <= set(measures):
        return None
    less = sum(one >= SIZE_MATTERS * two for one, two in measures.values())
    parts = ", ".join(f"{name} {one:,} to {two:,}" for name, (one, two) in measures.items())
    one, two = code(pack, cpp, bucket="kernel"), code(pack, mojo, bucket="kernel")
    files = f"in {text.count(one.files, 'file')} and {text.count(two.files, 'file')}"
    return Judgement(word(less, len(measures)), f"C++ to Mojo, {files}: {parts}.", one.pointers + two.pointers)


@judges("minimal-build")
def minimal_build(pack: Pack) -> Judgement | None:
    """Build-configuration lines: holds when Mojo's own route needs fewer than C++ by a factor of {SIZE_MATTERS} or
    more; in part when only a documented or graph route does."""
    present = code_routes(pack)
    cpp, mojo = speaks_for(CPP, present), speaks_for(MOJO, present)
    if cpp is None or mojo is None:
        return None
    base = code(pack, cpp, bucket="build")
    if not base.lines:
        return None
    routes = sorted({mojo, *(route for route in (*DOCUMENTED[MOJO], "max_graph") if route in present)}, key=order)
    sums = {route: code(pack, route, bucket="build") for route in routes}
    fewer = [route for route, part in sums.items() if part.lines * SIZE_MATTERS <= base.lines]
    verdict = HOLDS if mojo in fewer else IN_PART if fewer else DOES_NOT_HOLD
    evidence = f"{cpp} {base.lines} lines; " + ", ".join(f"{route} {part.lines}" for route, part in sums.items()) + "."
    return Judgement(verdict, evidence, base.pointers + sum((part.pointers for part in sums.values()), ()))
