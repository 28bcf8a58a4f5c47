"""Rows of the tables `code` and `sources`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from evidence.core.row import Count

Bucket = Literal["kernel", "binding", "build", "glue"]


class CodeRow(Struct, frozen=True, kw_only=True):
    """Size of the code of one op on one route, in one bucket.

    Attributes:
        op: name of the op, or None where the code is `shared` by all ops.
        files: paths below the root of the repository.
        gpu_lines, gpu_tokens, gpu_gzip_bytes: the part of it that only the GPU needs; None where it was not counted.
        complexity: cyclomatic complexity of all functions together.
        api_names: names of the platform's API that the code uses.
    """

    op: str | None
    route: str
    bucket: Bucket
    files: tuple[str, ...]
    languages: tuple[str, ...] = ()
    lines: Count
    tokens: Count
    gzip_bytes: Count
    gpu_lines: Count | None = None
    gpu_tokens: Count | None = None
    gpu_gzip_bytes: Count | None = None
    functions: Count | None = None
    complexity: Count | None = None
    api_names: tuple[str, ...] | None = None
    shared: bool


class SourceRow(Struct, frozen=True, kw_only=True):
    """A source file of one op on one side, or the part of it that belongs to one bucket, as it was measured.

    Attributes:
        op: name of the op.
        bucket: `kernel` and `binding` are what stands above and below the marker of a kernel source, `glue` is Python.
        path: of the file, below the root of the repository.
        text: the source, with its comments.
    """

    op: str
    side: Literal["cpp", "mojo"]
    bucket: Bucket
    path: str
    text: str
