"""Code size: what an adopter of one side would have to write, by op, route and bucket.

Rule (printed in the report): code lines by pygount, that is lines with something other than blanks, comments or
docstrings, and in C-like languages more than a lone bracket; tokens by the Pygments lexer of the language without
blanks and comments; gzip bytes of the comment-free source. Kernel sources are cut at the line that holds
`---- binding ----`: above it is kernel, below it is binding. What several ops share is counted once, with `shared`.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String, Text, Whitespace
from pygount import SourceAnalysis

MARKER = re.compile(r"---- binding(?:: ([\w, ]+))? ----")
LEXERS = {
    ".cpp": "cpp",
    ".h": "cpp",
    ".cu": "cuda",
    ".cuh": "cuda",
    ".py": "python",
    ".mojo": "mojo",
    ".toml": "toml",
}


@dataclass(frozen=True)
class Size:
    """Code lines, tokens and gzip bytes of comment-free source."""

    lines: int = 0
    tokens: int = 0
    gzip_bytes: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.lines + other.lines, self.tokens + other.tokens, self.gzip_bytes + other.gzip_bytes)


def size_of(text: str, suffix: str) -> Size:
    """Size of one source text whose language is given by its file suffix.

    Raises:
        ValueError: a suffix without a known lexer.
    """
    if suffix not in LEXERS:
        raise ValueError(f"suffix is {suffix!r}, expected one of {', '.join(LEXERS)}")
    if not text.strip():
        return Size()
    import io

    analysis = SourceAnalysis.from_file(
        f"counted{suffix}", "counted", encoding="utf-8", file_handle=io.BytesIO(text.encode())
    )
    skipped = (Comment, Whitespace, String.Doc)
    tokens = [
        value
        for kind, value in get_lexer_by_name(LEXERS[suffix]).get_tokens(text)
        # preprocessor lines are comments to Pygments; they are code to whoever writes them
        if (kind in Comment.Preproc or kind in Comment.PreprocFile or not any(kind in s for s in skipped))
        and value.strip()
        and kind is not Text
    ]
    return Size(analysis.code_count, len(tokens), len(gzip.compress(" ".join(tokens).encode(), mtime=0)))


def parts(file: Path, route: str) -> tuple[str, str]:
    """A kernel source cut at its markers: (kernel, binding).

    `---- binding ----` begins the binding, `---- binding: mojo, mojo_aot ----` a piece that these routes alone need.
    """
    kernel: list[str] = []
    binding: list[str] = []
    into: list[str] | None = kernel
    for line in file.read_text().splitlines(keepends=True):
        if marker := MARKER.search(line):
            routes = marker.group(1)
            into = binding if routes is None or route in routes.split(", ") else None
        elif into is not None:
            into.append(line)
    return "".join(kernel), "".join(binding)


def _row(route: str, bucket: str, files: Iterable[Path], size: Size, root: Path, op: str | None) -> dict[str, Any]:
    names = [str(f.relative_to(root)) for f in files]
    return {
        "op": op,
        "route": route,
        "bucket": bucket,
        "files": names,
        "lines": size.lines,
        "tokens": size.tokens,
        "gzip_bytes": size.gzip_bytes,
        "shared": op is None,
    }


def _whole(files: list[Path]) -> Size:
    return sum((size_of(f.read_text(), f.suffix) for f in files), Size())


@dataclass(frozen=True)
class Sources:
    """What a route consists of, as globs relative to the checkout; `{op}` stands for the op's name.

    `cut` are the kernel sources that hold their binding below the marker.
    """

    cut: tuple[str, ...] = ()
    glue: tuple[str, ...] = ()
    shared_kernel: tuple[str, ...] = ()
    shared_binding: tuple[str, ...] = ()
    shared_build: tuple[str, ...] = ()
    shared_glue: tuple[str, ...] = ()


_CPP_KERNELS = ("cpp_ext/csrc/cpu/{op}.cpp", "cpp_ext/csrc/cuda/{op}.cu")
_CPP_REGISTRY = tuple(f"cpp_ext/csrc/common/{name}.h" for name in ("checks", "op", "register"))
_CPP_BUILD = ("cpp_ext/setup.py", "cpp_ext/pyproject.toml", "cpp_ext/src/cpp_ext/cuda_check.py")
_CPP = "cpp_ext/src/cpp_ext/"
_CPP_PACKAGE = tuple(_CPP + name for name in ("__init__.py", "_load.py", "_cpu.py"))
_CPP_FAKES = tuple(_CPP + name for name in ("_fake.py", "checks.py", "ops/__init__.py"))
_CPP_BINDINGS = "cpp_ext/csrc/bindings/"
_MOJO = "mojo_ops/src/mojo_ops/"
_MOJO_KERNELS = tuple(f"mojo_ops/kernels/{name}.mojo" for name in ("common", "__init__"))
_MOJO_TORCH = "mojo_ops/kernels/torch_*.mojo"
_MOJO_PACKAGE = ("mojo_ops/pyproject.toml", "mojo_ops/setup.py")
_MOJO_BUILD = (*_MOJO_PACKAGE, *(f"{_MOJO}{name}.py" for name in ("build", "library", "artifacts")))
_MOJO_GLUE = tuple(
    _MOJO + n for n in ("__init__.py", "_direct.py", "checks.py", "kernel.py", "native.py", "register.py")
)
_MOJO_OPS = f"{_MOJO}ops/__init__.py"
_MOJO_STOCK = (*(n for n in _MOJO_GLUE if not n.endswith("native.py")), f"{_MOJO}compiled_later.py")

ROUTES = {
    "cpp": Sources(
        cut=_CPP_KERNELS,
        glue=("cpp_ext/src/cpp_ext/ops/{op}.py",),
        shared_kernel=("cpp_ext/csrc/common/*.h",),
        shared_binding=(*_CPP_REGISTRY, *(_CPP_BINDINGS + n for n in ("dispatcher.cpp", "module.cpp", "*.h"))),
        shared_build=_CPP_BUILD,
        shared_glue=(*_CPP_PACKAGE, f"{_CPP}_direct.py", *_CPP_FAKES),
    ),
    "cpp_pybind": Sources(
        cut=_CPP_KERNELS,
        shared_kernel=("cpp_ext/csrc/common/*.h",),
        # its functions come from the same library, which registers itself as well
        shared_binding=(*_CPP_REGISTRY, f"{_CPP_BINDINGS}*"),
        shared_build=_CPP_BUILD,
        shared_glue=_CPP_PACKAGE,
    ),
    "cpp_classic": Sources(
        cut=_CPP_KERNELS,
        glue=("cpp_ext/src/cpp_ext/ops/{op}.py",),
        shared_kernel=("cpp_ext/csrc/common/*.h",),
        # classic_ops.py writes what a classic extension has by hand: a function and four registrations an op
        shared_binding=(
            *_CPP_REGISTRY,
            f"{_CPP_BINDINGS}signature.h",
            "cpp_ext/csrc/classic/*",
            "cpp_ext/classic_ops.py",
        ),
        shared_build=_CPP_BUILD,
        shared_glue=(*_CPP_PACKAGE, f"{_CPP}_direct.py", *_CPP_FAKES, f"{_CPP}classic.py"),
    ),
    "mojo": Sources(
        cut=("mojo_ops/kernels/{op}.mojo",),
        glue=(f"{_MOJO}ops/{{op}}.py",),
        shared_kernel=_MOJO_KERNELS,
        shared_binding=(_MOJO_TORCH, "mojo_ops/kernels/engine.mojo"),
        shared_build=(*_MOJO_BUILD, f"{_MOJO}compile.py"),
        shared_glue=(*_MOJO_GLUE, f"{_MOJO}engine.py", f"{_MOJO}gpu.py", _MOJO_OPS),
    ),
    "mojo_aot": Sources(
        cut=("mojo_ops/kernels/{op}.mojo",),
        glue=(f"{_MOJO}ops/{{op}}.py",),
        shared_kernel=_MOJO_KERNELS,
        shared_binding=(_MOJO_TORCH,),
        shared_build=_MOJO_BUILD,
        shared_glue=(*_MOJO_GLUE, f"{_MOJO}aot.py", _MOJO_OPS),
    ),
    "mojo_stock": Sources(
        cut=("mojo_ops/kernels/{op}.mojo",),
        glue=(f"{_MOJO}ops/{{op}}.py",),
        shared_kernel=_MOJO_KERNELS,
        # the kernels' own bindings name what the other routes share
        shared_binding=(_MOJO_TORCH,),
        # CustomOpLibrary compiles by itself: only the package's files are build configuration
        shared_build=_MOJO_PACKAGE,
        shared_glue=(*_MOJO_STOCK, f"{_MOJO}stock.py"),
    ),
    "max_graph": Sources(
        glue=(f"{_MOJO}max_graph/{{op}}.py", f"{_MOJO}ops/{{op}}.py"),
        shared_build=_MOJO_PACKAGE,
        shared_glue=(*_MOJO_STOCK, f"{_MOJO}max_graph/__init__.py"),
    ),
}


def find(root: Path, patterns: Iterable[str], without: Iterable[Path] = ()) -> list[Path]:
    """Files that match any of the globs, each once, in order.

    Raises:
        FileNotFoundError: a glob that matches nothing, so that a renamed file cannot vanish from the count.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(root.glob(pattern))
        if not matches:
            raise FileNotFoundError(f"{pattern} matches no file")
        found.update(dict.fromkeys(m for m in matches if m not in set(without)))
    return list(found)


def op_rows(route: str, op: str, sources: Sources, root: Path) -> list[dict[str, Any]]:
    """Rows of one op on one route: its kernel sources cut into kernel and binding, and its Python glue."""
    rows = []
    if sources.cut:
        kernels = find(root, (g.format(op=op) for g in sources.cut))
        cut = [(f, *parts(f, route)) for f in kernels]
        kernel = sum((size_of(k, f.suffix) for f, k, _ in cut), Size())
        binding = sum((size_of(b, f.suffix) for f, _, b in cut), Size())
        rows.append(_row(route, "kernel", kernels, kernel, root, op))
        rows.append(_row(route, "binding", [f for f, _, b in cut if b.strip()], binding, root, op))
    if sources.glue:
        files = find(root, (g.format(op=op) for g in sources.glue))
        rows.append(_row(route, "glue", files, _whole(files), root, op))
    return rows


def shared_rows(route: str, sources: Sources, root: Path) -> list[dict[str, Any]]:
    """Rows of what a route's ops share, by bucket; a file counts in one bucket only."""
    rows = []
    binding = find(root, sources.shared_binding)
    for bucket, patterns, without in (
        ("kernel", sources.shared_kernel, binding),
        ("binding", sources.shared_binding, []),
        ("build", sources.shared_build, []),
        ("glue", sources.shared_glue, []),
    ):
        if files := find(root, patterns, without):
            rows.append(_row(route, bucket, files, _whole(files), root, None))
    return rows


def measure(root: Path, ops: list[str], routes: list[str]) -> list[dict[str, Any]]:
    """The `code` rows of a checkout for those of `routes` that are this repository's code.

    Each route's rows are complete: what two routes share stands in both.
    """
    rows: list[dict[str, Any]] = []
    for route, sources in ROUTES.items():
        if route in routes:
            rows += [row for op in ops for row in op_rows(route, op, sources, root)]
            rows += shared_rows(route, sources, root)
    return rows
