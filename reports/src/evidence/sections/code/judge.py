"""What is judged from the sources: criteria, claims about writing, a statement, losses and what changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, measured_representative, side_of
from evidence.core.thresholds import BOILERPLATE_LINES, SIZE_MATTERS
from evidence.judge.claims import Claim
from evidence.judge.comparison import Comparison, joined, pair, pairs, select
from evidence.judge.criteria import Criterion, Measured, absent, of_counts
from evidence.judge.diff import CHANGED, Diff
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointers, word
from evidence.judge.losses import Loss
from evidence.judge.questions import CPU
from evidence.judge.scope import Scope
from evidence.judge.verdict import Asked, Statement, not_measured, why_not
from evidence.sections.code.row import CodeRow
from evidence.sections.code.table import (
    CodeSum,
    code,
    code_ops,
    code_routes,
    size_ratio,
    size_words,
    tells_devices_apart,
)

SIZE = "code size"
OWN = "code of the ops themselves"
PARTS = {
    "all code": None,
    "kernel code": "kernel",
    "binding code": "binding",
    "build configuration": "build",
    "Python glue": "glue",
}
"""Names of the buckets; None is all of them."""


@dataclass(frozen=True, kw_only=True)
class SizeComparison(Comparison):
    """Code of two routes, by tokens and gzip bytes."""

    sizes: tuple[CodeSum, CodeSum]

    @property
    def description(self) -> str:
        """`58,180 to 56,721 tokens, ...`"""
        return size_words(*self.sizes)


def compare(pack: Pack) -> list[SizeComparison]:
    """All code of both sides, each bucket of it, and what is not shared, for all devices."""
    compared = []
    for cpp, mojo in pairs(code_routes(pack)):
        for name, bucket in PARTS.items():
            sizes = code(pack, cpp, bucket=bucket), code(pack, mojo, bucket=bucket)
            compared.append(_sizes(name, cpp, mojo, sizes))
        compared.append(_sizes(OWN, cpp, mojo, (code(pack, cpp, shared=False), code(pack, mojo, shared=False))))
    return [size for size in compared if size]


def _sizes(name: str, cpp: str, mojo: str, sizes: tuple[CodeSum, CodeSum]) -> SizeComparison | None:
    cpp_size, mojo_size = sizes
    ratio = size_ratio(cpp_size, mojo_size)
    if ratio is None:
        return None
    rows = cpp_size.pointers + mojo_size.pointers
    return SizeComparison(
        topic=SIZE, name=name, base=cpp, route=mojo, ratio=ratio, least=SIZE_MATTERS, rows=rows, sizes=sizes
    )


# criteria


def _code(name: str, what: str) -> Callable[[Scope], Measured]:
    """A question about the CPU counts the code for the CPU if the rows separate it; other questions count all code."""

    def measure(scope: Scope) -> Measured:
        size = scope.comparison(SIZE, name)
        bucket, devices = PARTS[name], "for all devices"
        if size and scope.device == CPU:
            routes = size.base, size.route
            rows = [row for row in scope.pack.table(CodeRow) if row.route in routes and bucket in (None, row.bucket)]
            if tells_devices_apart(rows):
                devices = "without what only GPUs need"
                base_code, route_code = (code(scope.pack, route, bucket=bucket, device=CPU) for route in routes)
                size = _sizes(name, *routes, (base_code, route_code))
        if not isinstance(size, SizeComparison):
            return absent("no code of both sides was counted")
        tokens = (float(size.sizes[0].tokens), float(size.sizes[1].tokens))
        return Measured(
            size.ratio,
            f"{what}, {devices}: {size.description}",
            size.rows,
            tokens,
            "tokens",
            note="for all devices" if devices == "for all devices" else "for the CPU",
            least=SIZE_MATTERS,
        )

    return measure


GPU_LANGUAGES = ("CUDA", "HIP")
GPU_NAMES = re.compile(
    r"(cuda|hip)[A-Z]|(block|thread)Idx|(block|grid)Dim|warpSize|__(shfl|sync|nv|half|float2|bfloat16|hip)"
)
"""What only the code for GPUs makes somebody know."""


def _skills(scope: Scope) -> Measured:
    routes = scope.representatives(code_routes(scope.pack))
    if routes is None:
        return absent("no code of both sides was counted")
    on_cpu = scope.device == CPU
    languages, names = [], []
    for route in routes:
        route_languages, route_names = skills_of(scope.pack, route)
        languages.append(sum(not (on_cpu and name in GPU_LANGUAGES) for name in route_languages))
        names.append(sum(not (on_cpu and GPU_NAMES.match(name)) for name in route_names or ()))
    counts = {"languages": (languages[0], languages[1]), "framework API names": (names[0], names[1])}
    if not all(value for pair in counts.values() for value in pair):
        return absent("languages and framework API names of both sides were not counted")
    rows = [row.pointer for row in scope.pack.pointed(CodeRow) if row.row.route in routes]
    measured = of_counts(counts, rows, f", {'without what only GPUs need' if on_cpu else 'for all devices'}")
    of_sides = [
        f"{name_count} names in {text.count(language_count, 'language')}"
        for name_count, language_count in zip(names, languages, strict=True)
    ]
    return replace(measured, natural=(of_sides[0], of_sides[1]))


CRITERIA = (
    Criterion("kernel_code", 90, "Kernel code", _code("kernel code", "kernels with what they share")),
    Criterion("total_code", 100, "All code", _code("all code", "all code with what is shared")),
    Criterion("skills", 110, "Languages and framework API names", _skills),
)


# claims


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
        rows = sum((part.pointers for part in (*own, *shared)), ())
        return sum(part.lines for part in own), sum(part.lines for part in shared), rows

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
    rows = [row for row in pack.table(CodeRow) if row.route == route]
    languages = sorted({name for row in rows for name in row.languages or ()})
    named = [row.api_names for row in rows if row.api_names is not None]
    return languages, sorted({name for names in named for name in names}) if named else None


def skills(pack: Pack) -> Judgement | None:
    """Four counts over all sources of each side's representative: languages, framework API names, tokens of build
    configuration and of bindings. Holds when C++ needs more than Mojo by a factor of {SIZE_MATTERS} in all four, in
    part in some of them."""
    routes = pair(code_routes(pack))
    if routes is None:
        return None
    cpp, mojo = routes
    counts: list[tuple[str, int, int]] = []
    (cpp_languages, cpp_names), (mojo_languages, mojo_names) = skills_of(pack, cpp), skills_of(pack, mojo)
    if cpp_languages and mojo_languages:
        counts.append(("languages", len(cpp_languages), len(mojo_languages)))
    if cpp_names is not None and mojo_names is not None:
        counts.append(("framework API names", len(cpp_names), len(mojo_names)))
    if len(counts) < 2:
        return None
    for bucket in ("build", "binding"):
        cpp_code, mojo_code = code(pack, cpp, bucket=bucket), code(pack, mojo, bucket=bucket)
        counts.append((f"{bucket} tokens", cpp_code.tokens, mojo_code.tokens))
    more = sum(cpp_count > 0 and cpp_count >= SIZE_MATTERS * mojo_count for _, cpp_count, mojo_count in counts)
    evidence = f"{cpp} against {mojo}, for all devices: " + ", ".join(
        f"{name} {cpp_count:,} to {mojo_count:,}" for name, cpp_count, mojo_count in counts
    )
    evidence += f". C++ side: {', '.join(cpp_languages)}; Mojo side: {', '.join(mojo_languages)}."
    rows = pointers(row for row in pack.pointed(CodeRow) if row.row.route in (cpp, mojo))
    return Judgement(word(more, len(counts)), evidence, rows)


def _complexity(pack: Pack, route: str) -> int:
    """Sum over the kernel rows; 0 where one of them could not be parsed, which leaves the measure out."""
    rows = [row for row in pack.table(CodeRow) if row.route == route and row.bucket == "kernel" and row.lines]
    values = [row.complexity for row in rows]
    return 0 if any(value is None for value in values) else sum(value for value in values if value)


def python_syntax(pack: Pack) -> Judgement | None:
    """Kernels of all ops with what they share, for all devices, by tokens, gzip bytes and, where both sides can be
    parsed, cyclomatic complexity: holds when Mojo needs less by a factor of {SIZE_MATTERS} or more in all of them, in
    part in some. Lines stand beside them and decide nothing."""
    size = select(compare(pack), SIZE, "kernel code")
    if size is None or not all(each.tokens for each in size.sizes):
        return None
    cpp_code, mojo_code = size.sizes
    measures = {
        "tokens": (cpp_code.tokens, mojo_code.tokens),
        "gzip bytes": (cpp_code.gzip_bytes or 0, mojo_code.gzip_bytes or 0),
        "cyclomatic complexity": (_complexity(pack, size.base), _complexity(pack, size.route)),
    }
    measures = {name: counts for name, counts in measures.items() if all(counts)}
    less = sum(a >= SIZE_MATTERS * b for a, b in measures.values())
    shown = measures | {"lines, which decide nothing,": (cpp_code.lines, mojo_code.lines)}
    parts = ", ".join(f"{name} {a:,} to {b:,}" for name, (a, b) in shown.items())
    files = f"in {text.count(cpp_code.files, 'file')} and {text.count(mojo_code.files, 'file')}"
    return Judgement(word(less, len(measures)), f"C++ to Mojo, {files}: {parts}.", size.rows)


def minimal_build(pack: Pack) -> Judgement | None:
    """Build configuration by tokens and gzip bytes: holds when Mojo's representative needs less than C++'s by a factor
    of {SIZE_MATTERS} or more in both, else it does not hold. Other Mojo routes stand in the evidence."""
    size = select(compare(pack), SIZE, "build configuration")
    if size is None:
        return None
    others = [route for route in code_routes(pack) if side_of(route) == MOJO and route != size.route]
    sums = {route: code(pack, route, bucket="build") for route in (size.base, size.route, *others)}
    verdict = HOLDS if size.ratio.low >= SIZE_MATTERS else DOES_NOT_HOLD
    parts = [f"{route} {each.tokens:,} tokens ({text.count(each.lines, 'line')})" for route, each in sums.items()]
    evidence = f"{', '.join(parts[:2])}" + (f"; other routes: {', '.join(parts[2:])}." if others else ".")
    return Judgement(verdict, evidence, sum((each.pointers for each in sums.values()), ()))


CLAIMS = (
    Claim("boilerplate", 10, "A C++ extension needs 50+ lines of boilerplate even for an add.",
          "code lines of add in the buckets binding, build and glue", boilerplate),
    Claim("skills", 20, "C++ needs several languages, a build system, hand-made bindings and the PyTorch C++ API.",
          "files, languages, distinct framework API names and build lines per op and route", skills),
    Claim("python-syntax", 50, "Python-like syntax makes kernels simpler.",
          "kernel lines and tokens of the same ops on both sides", python_syntax),
    Claim("minimal-build", 60, "Minimal build configuration.", "build-configuration lines per route", minimal_build),
)  # fmt: skip


# statement, losses, what changed


def code_size(pack: Pack) -> Statement:
    """Code size: an op's own code, and the whole with what is shared."""
    question = "Code size"
    rule = (
        "Tokens and gzip bytes of each side's representative, all ops, for all devices: once without and once with the "
        f"code that ops share; a side is ahead when it needs less by a factor of {SIZE_MATTERS} or more in all of "
        "them; contradiction is “mixed”. Lines, which depend on the formatter, stand beside them and decide nothing."
    )
    compared = compare(pack)
    whole = select(compared, SIZE, "all code")
    verdicts: list[str | None] = []
    parts: list[str] = []
    values: dict[str, Any] = {}
    for key, size in (("own", select(compared, SIZE, OWN)), ("with_shared", whole)):
        if size:
            verdicts.append(size.verdict)
            values[key] = {"cpp": size.sizes[0].figures, "mojo": size.sizes[1].figures}
            parts.append(size.description)
    if whole is None:
        return not_measured("code-size", question, rule, why_not(pack, "code"))
    evidence = f"C++ to Mojo, {OWN}: {parts[0]}"
    evidence += f"; with shared code: {parts[1]}." if len(parts) > 1 else "."
    return Statement("code-size", question, joined(verdicts), rule, evidence, list(whole.rows), values)


STATEMENTS = (Asked("code-size", 50, code_size),)


def losses(pack: Pack) -> list[Loss]:
    """Code of which a side's representative needs more, by tokens and by gzip bytes."""
    compared, lost = compare(pack), []
    for name in PARTS:
        size = select(compared, SIZE, name)
        if size is None:
            continue
        routes = size.base, size.route
        for side, (mine, other), (own, rival), factor in (
            (CPP, routes, size.sizes, size.ratio),
            (MOJO, routes[::-1], size.sizes[::-1], size.ratio.inverse()),
        ):
            if factor.low >= SIZE_MATTERS:
                what = f"{name}, {size_words(own, rival)}"
                lost.append(Loss(side, SIZE, what, what, mine, other, factor, False, own.pointers + rival.pointers))
    return lost


def diff(before: Pack, after: Pack, changes: Diff) -> None:
    """Tokens of all code of a route, which is no better or worse by itself."""
    old, new = _tokens(before), _tokens(after)
    for route, tokens in old.items():
        other = new.get(route, tokens)
        if other != tokens:
            factor = other / tokens if tokens and other else None
            changes.add("code", CHANGED, f"tokens of {route}", f"{tokens:,}", f"{other:,}", factor)


def _tokens(pack: Pack) -> dict[str, int]:
    return {route: code(pack, route).tokens for route in code_routes(pack)}
