"""Code size: what an adopter of one side would have to write, by op, route and bucket.

Rule (printed in the report): code lines by pygount, that is lines with something other than blanks, comments or
docstrings, and in C-like languages more than a lone bracket; tokens by the Pygments lexer of the language without
blanks and comments; gzip bytes of the comment-free source. Kernel sources are cut at the line that holds
`---- binding ----`: above it is kernel, below it is binding. What several ops share is counted once, with `shared`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String, Text, Whitespace
from pygount import SourceAnalysis

MARKER = "---- binding ----"
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


def parts(file: Path) -> tuple[str, str]:
    """A kernel source cut at its marker: (kernel, binding)."""
    lines = file.read_text().splitlines(keepends=True)
    at = next((i for i, line in enumerate(lines) if MARKER in line), len(lines))
    return "".join(lines[:at]), "".join(lines[at + 1 :])


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


def op_rows(route: str, op: str, kernels: list[Path], glue: list[Path], root: Path) -> list[dict[str, Any]]:
    """Rows of one op: its kernel sources cut into kernel and binding, and its Python glue."""
    cut = [(f, *parts(f)) for f in kernels]
    kernel = sum((size_of(k, f.suffix) for f, k, _ in cut), Size())
    binding = sum((size_of(b, f.suffix) for f, _, b in cut), Size())
    return [
        _row(route, "kernel", kernels, kernel, root, op),
        _row(route, "binding", [f for f, _, b in cut if b.strip()], binding, root, op),
        _row(route, "glue", glue, _whole(glue), root, op),
    ]


def measure(root: Path, ops: list[str]) -> list[dict[str, Any]]:
    """The `code` rows of a checkout for the routes cpp, cpp_pybind, mojo, mojo_stock and max_graph."""
    cpp, mojo = root / "cpp_ext", root / "mojo_ops"
    rows: list[dict[str, Any]] = []

    def shared(route: str, bucket: str, files: list[Path]) -> None:
        rows.append(_row(route, bucket, files, _whole(files), root, None))

    for op in ops:
        kernels = [cpp / f"csrc/cpu/{op}.cpp", cpp / f"csrc/cuda/{op}.cu"]
        rows += op_rows("cpp", op, kernels, [cpp / f"src/cpp_ext/ops/{op}.py"], root)
        rows += op_rows("mojo", op, [mojo / f"kernels/{op}.mojo"], [mojo / f"src/mojo_ops/ops/{op}.py"], root)
    common = sorted((cpp / "csrc/common").glob("*.h")) + sorted((cpp / "csrc/cuda").glob("*.cuh"))
    common += sorted((cpp / "csrc/cuda").glob("*.h"))
    bindings = sorted((cpp / "csrc/bindings").iterdir())
    package = [*sorted((cpp / "src/cpp_ext").glob("*.py")), cpp / "src/cpp_ext/ops/__init__.py"]
    shared("cpp", "kernel", common)
    shared("cpp", "binding", bindings)
    shared("cpp", "build", [cpp / "setup.py", cpp / "pyproject.toml"])
    shared("cpp", "glue", [f for f in package if f.exists()])
    routes_apart = ("stock.py", "max_graph.py")
    building = [mojo / "src/mojo_ops/build.py", mojo / "pyproject.toml"]
    package = [f for f in sorted((mojo / "src/mojo_ops").glob("*.py")) if f.name not in (*routes_apart, "build.py")]
    shared("mojo", "kernel", [mojo / "kernels/common.mojo"])
    shared("mojo", "build", building)
    shared("mojo", "glue", [*package, mojo / "src/mojo_ops/ops/__init__.py"])
    return rows
