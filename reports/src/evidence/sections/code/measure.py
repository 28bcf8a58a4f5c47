"""Code size: what an adopter of one side would have to write, by op, route and bucket.

`RULE` says what counts; the report prints it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from evidence.core.machine import ROOT
from evidence.core.plan import Plan
from evidence.core.routes import REPRESENTATIVE
from evidence.core.stage import Run, Stage
from evidence.sections.code.api import api_names
from evidence.sections.code.complexity import Complexity, complexity_of
from evidence.sections.code.row import Bucket, CodeRow, SourceRow
from evidence.sections.code.tokens import LANGUAGES, check_suffix, code_lines, tokens
from shared_tests.route_facts import Sources
from shared_tests.route_table import facts

RULE = """\
Lines: lines with something other than blanks, comments, docstrings or lone brackets. \
Tokens: identifiers, numbers, string literals and every other character one by one, by one rule for all languages, \
without comments and docstrings; gzip bytes are of these tokens, file by file. Code size is judged by tokens and gzip \
bytes; lines depend on the formatter. \
Complexity: cyclomatic, summed over functions, by lizard for C++, CUDA and Python; lizard does not read Mojo, so it is \
counted there by lizard's rule for Python: one for each function and one for each if, elif, for, while, except, \
finally, and, or. `comptime if` and `if constexpr`, `comptime for` and `#if` count as any other decision; a C++ `case` \
and `?:` count; templates and parameters count once, not for each instance; macros are not expanded. Lambdas and \
nested Mojo functions belong to the function around them; nested Python functions stand for themselves, as lizard has \
it. \
API names: distinct names of PyTorch, MAX, pybind11, CPython's C API, DLPack, the GPU's programming model and CPU \
intrinsics; not the language, its standard library, this repository's names, or methods. \
Buckets: a kernel source is cut at its marker `---- binding ----`; what stands above, with the imports of the whole \
file, is kernel. What stands below is the declaration of the op, of which every route of its side is made: on either \
side it counts for each of them. Both sides are counted with their CPU and GPU code, also for routes that run on the \
CPU only, since the sources are the same. How many of the lines only a GPU needs stands beside them: files in cuda/ \
or named gpu* or cuda*, and in Mojo, whose files hold both, the kernel functions named gpu_*, *_gpu or *_kernel and, \
on route mojo, the binding that the engine calls on GPUs; branches within a file are not taken apart. \
Generated code counts as the code that writes it, once and shared, by the same rule on both sides. That is \
classic_ops.py for the functions and registrations of cpp_classic, bindings.py for the structs that MAX calls (mojo, \
mojo_stock), and library.py for the Mojo catalogue and C entry points. The documentation of both sides shows these \
functions and structs written by hand, for every op. What several ops share is counted once, apart; a file that \
begins with an op's name is that op's. Each route's rows are complete, so what two routes share stands in both. \
Tests, benchmarks and what an op is (shared_tests) count for nobody."""

MARKER = "---- binding ----"
GPU_FILE = re.compile(r"(^|/)cuda/|/(gpu|cuda)[^/]*$")
GPU_FUNCTION = re.compile(r"gpu_\w+|\w+_gpu|\w+_kernel")
_TOP_LEVEL = re.compile(r"^(?=\S)", re.MULTILINE)


@dataclass(frozen=True)
class Size:
    """Code lines, tokens and gzip bytes of comment-free source."""

    lines: int = 0
    tokens: int = 0
    gzip_bytes: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.lines + other.lines, self.tokens + other.tokens, self.gzip_bytes + other.gzip_bytes)


@cache
def size_of(text: str, suffix: str) -> Size:
    """Size of one source text whose language is given by its file suffix.

    Raises:
        ValueError: a suffix without a known lexer.
    """
    check_suffix(suffix)
    if not text.strip():
        return Size()
    bare = [token.text for token in tokens(text, suffix)]
    return Size(code_lines(text, suffix), len(bare), len(gzip.compress(" ".join(bare).encode(), mtime=0)))


_complexity = cache(complexity_of)
_api_names = cache(api_names)


@dataclass(frozen=True)
class Piece:
    """A file, or what a route has of it; `gpu` is the part that only a GPU needs."""

    file: Path
    text: str
    gpu: str = ""

    @property
    def gpu_gzip_bytes(self) -> int:
        """Bytes by which the compressed piece shrinks without its part for GPUs."""
        suffix = self.file.suffix
        rest = size_of(without(self.text, self.gpu), suffix)
        return max(0, size_of(self.text, suffix).gzip_bytes - rest.gzip_bytes)


def without(text: str, part: str) -> str:
    """The lines of a text that are not in `part`, which is made of lines of the text in their order."""
    left = part.splitlines(keepends=True)
    kept = []
    for line in text.splitlines(keepends=True):
        if left and line == left[0]:
            left.pop(0)
        else:
            kept.append(line)
    return "".join(kept)


def gpu_part(file: Path, text: str, bucket: str) -> str:
    """The part of a source that only GPUs need: the whole file, or its Mojo GPU functions, recognised by name."""
    if GPU_FILE.search(file.as_posix()):
        return text
    if file.suffix != ".mojo" or bucket != "kernel":
        return ""
    blocks: list[str] = []
    for block in _TOP_LEVEL.split(text):
        # a signature's closing bracket stands at the margin too, and a decorator belongs to what follows it
        decorator = bool(blocks) and blocks[-1].startswith("@") and blocks[-1].count("\n") == 1
        if blocks and (decorator or block.startswith((")", "]"))):
            blocks[-1] += block
        else:
            blocks.append(block)
    names = ((re.search(r"^def (\w+)", block, re.MULTILINE), block) for block in blocks)
    return "".join(block for match, block in names if match and GPU_FUNCTION.fullmatch(match[1]))


def parts(file: Path) -> tuple[str, str]:
    """A kernel source cut at its marker: (kernel, binding)."""
    kernel: list[str] = []
    binding: list[str] = []
    into = kernel
    for line in file.read_text().splitlines(keepends=True):
        if MARKER in line:
            into = binding
        else:
            into.append(line)
    return "".join(kernel), "".join(binding)


def _row(route: str, bucket: Bucket, pieces: list[Piece], root: Path, op: str | None) -> CodeRow:
    size = sum((size_of(p.text, p.file.suffix) for p in pieces), Size())
    gpu = sum((size_of(p.gpu, p.file.suffix) for p in pieces), Size())
    counted = [measured for p in pieces if (measured := _complexity(p.text, p.file.suffix)) is not None]
    complexity = sum(counted, Complexity())
    return CodeRow(
        op=op,
        route=route,
        bucket=bucket,
        files=tuple(str(p.file.relative_to(root)) for p in pieces),
        languages=tuple(sorted({LANGUAGES[p.file.suffix] for p in pieces})),
        lines=size.lines,
        tokens=size.tokens,
        gzip_bytes=size.gzip_bytes,
        gpu_lines=gpu.lines,
        gpu_tokens=gpu.tokens,
        gpu_gzip_bytes=sum(p.gpu_gzip_bytes for p in pieces),
        functions=complexity.functions if counted else None,
        complexity=complexity.complexity if counted else None,
        api_names=tuple(sorted({name for p in pieces for name in _api_names(p.text, p.file.suffix)})),
        shared=op is None,
    )


def _whole(files: Iterable[Path], bucket: str, gpu: Iterable[Path] = ()) -> list[Piece]:
    texts = {file: file.read_text() for file in files}
    return [Piece(f, text, text if f in set(gpu) else gpu_part(f, text, bucket)) for f, text in texts.items()]


def all_sources() -> dict[str, Sources]:
    """Route -> its sources, for the routes that are this repository's code."""
    return {name: route.sources for name, route in facts().items() if route.sources}


def find(root: Path, patterns: Iterable[str], without: Iterable[Path] = ()) -> list[Path]:
    """Files that match any of the globs, each once, in order.

    Raises:
        FileNotFoundError: a glob that matches nothing, so that a renamed file cannot vanish from the count.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(root.glob(pattern))
        if not matches:
            raise FileNotFoundError(f"{pattern} matches no file")
        files.update(dict.fromkeys(m for m in matches if m not in set(without)))
    return list(files)


def owner(file: Path, ops: Iterable[str]) -> str | None:
    """The op whose name a shared kernel file begins with, the longest where several do: `gpu_` in front is no name."""
    stem = file.stem.removeprefix("gpu_")
    return max((op for op in ops if stem == op or stem.startswith(f"{op}_")), key=len, default=None)


def op_pieces(op: str, sources: Sources, root: Path, ops: list[str]) -> dict[Bucket, list[Piece]]:
    """The sources of one op on one route by bucket: kernel sources cut into kernel and binding, and Python glue."""
    pieces: dict[Bucket, list[Piece]] = {}
    if sources.cut:
        kernels = find(root, (g.format(op=op) for g in sources.cut))
        cut = [(f, *parts(f)) for f in kernels]
        own = [f for f in find(root, sources.shared_kernel, kernels) if owner(f, ops) == op]
        kernel = [Piece(f, text, gpu_part(f, text, "kernel")) for f, text, _ in cut]
        pieces["kernel"] = [*kernel, *_whole(own, "kernel")]
        pieces["binding"] = [Piece(f, text, gpu_part(f, text, "binding")) for f, _, text in cut if text.strip()]
    if sources.glue:
        pieces["glue"] = _whole(find(root, (g.format(op=op) for g in sources.glue)), "glue")
    return pieces


def op_rows(route: str, op: str, sources: Sources, root: Path, ops: list[str]) -> list[CodeRow]:
    """Rows of one op on one route, a bucket each."""
    buckets = op_pieces(op, sources, root, ops)
    return [_row(route, bucket, pieces, root, op) for bucket, pieces in buckets.items()]


def shared_rows(route: str, sources: Sources, root: Path, ops: list[str]) -> list[CodeRow]:
    """Rows of what a route's ops share, by bucket; a file counts in one bucket only."""
    rows = []
    bindings = find(root, {pattern for each in all_sources().values() for pattern in each.shared_binding})
    of_ops = [f for f in find(root, sources.shared_kernel) if owner(f, ops)]
    buckets: dict[Bucket, tuple[Iterable[str], list[Path]]] = {
        "kernel": (sources.shared_kernel, [*bindings, *of_ops]),
        "binding": (sources.shared_binding, []),
        "build": (sources.shared_build, []),
        "glue": (sources.shared_glue, []),
    }
    for bucket, (patterns, without) in buckets.items():
        if files := find(root, patterns, without):
            rows.append(_row(route, bucket, _whole(files, bucket, find(root, sources.gpu)), root, None))
    return rows


def measure(root: Path, ops: list[str], routes: list[str]) -> list[CodeRow]:
    """The `code` rows of a checkout for those of `routes` that are this repository's code.

    Each route's rows are complete: what two routes share stands in both.
    """
    rows: list[CodeRow] = []
    catalogue = _catalogue(root, ops)
    for route, sources in all_sources().items():
        if route in routes:
            own = [op for op in ops if not facts()[route].some_ops or (root / sources.glue[0].format(op=op)).exists()]
            rows += [row for op in own for row in op_rows(route, op, sources, root, catalogue)]
            rows += shared_rows(route, sources, root, catalogue)
    return rows


def _catalogue(root: Path, ops: list[str]) -> list[str]:
    """Every op of a checkout: a file can belong to an op that was not chosen."""
    return sorted({file.stem for file in (root / "cpp_ext/csrc/cpu").glob("*.cpp")} | set(ops))


def source_rows(root: Path, ops: list[str]) -> list[SourceRow]:
    """The `sources` rows of a checkout: the files of each op that represent its two sides, each once."""
    catalogue = _catalogue(root, ops)
    return [
        SourceRow(
            op=op,
            side=cast(Literal["cpp", "mojo"], side),
            bucket=bucket,
            path=str(piece.file.relative_to(root)),
            text=piece.text,
        )
        for op in ops
        for side, route in REPRESENTATIVE.items()
        for bucket, pieces in op_pieces(op, all_sources()[route], root, catalogue).items()
        for piece in pieces
    ]


def stage(run: Run) -> None:
    """Size of every op of the plan on every route, and the sources themselves."""
    run.tell("code size", 2)
    ops = run.plan.compared_ops()
    run.pack.set_rows("code", measure(ROOT, ops, run.plan.routes))
    run.pack.set_rows("sources", source_rows(ROOT, ops))
    run.pack.facts("settings")["code_rule"] = RULE


STAGES = (Stage("code size", 40, lambda plan: 9, stage, ("code", "sources"), what=Plan.extent),)
