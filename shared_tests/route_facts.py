"""What is known of a route without calling it: the record that tests, measurements and pages share.

This module imports no torch, so that any machine can render a report.
"""

from __future__ import annotations

from dataclasses import dataclass

PYTORCH, CPP, MOJO = "pytorch", "cpp", "mojo"
EVERY_DEVICE = ("cpu", "cuda")
UNKNOWN_COLOUR, UNKNOWN_SYMBOL = "#8c8c3f", "triangle-left"
"""How figures draw a route of another version's pack, which has no record here."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files that a route consists of, as globs relative to the checkout; `{op}` stands for the op's name.

    Attributes:
        cut: kernel sources that hold their binding below the marker.
        glue: Python of one op.
        shared_kernel, shared_binding, shared_build, shared_glue: what several ops share, by bucket of code size.
        gpu: files that the route needs on a GPU only, in addition to those whose names say so.
    """

    cut: tuple[str, ...] = ()
    glue: tuple[str, ...] = ()
    shared_kernel: tuple[str, ...] = ()
    shared_binding: tuple[str, ...] = ()
    shared_build: tuple[str, ...] = ()
    shared_glue: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RouteFacts:
    """One way to call an op. Reports list routes in the order of `route_table.ROUTES`.

    Attributes:
        name: in reports and on the command line.
        side: `pytorch`, `cpp` or `mojo`.
        what: what it is, for readers of a report.
        represents: device types on which it stands for its side in every comparison.
        documented: whether the documentation of its side (for C++: the talk) shows this way.
        jit: whether it compiles at the first call of every shape; it is then tested and timed on few samples.
        needs_max: whether MAX must be installed to run it; its kernels then run on MAX's thread pool.
        devices: device types that it runs on.
        some_ops: whether it has only some of the ops; `OpSpec.no_max_graph` says why one is missing.
        same_kernel_as: the route whose built kernel and thread pool it uses; it is then timed on fewer samples.
        package: package that is importable once the route is built, or None if nothing has to be built.
        namespace: its namespace in PyTorch's dispatcher, or None if it is not registered.
        builds: names of the builds in `evidence.core.sides` that it needs.
        artifacts: built files that a user of the route needs, as globs relative to the checkout.
        names_functions_in: Python files that look up C functions of its library by name.
        load: Python statement that loads it by itself, or empty if it has no library to load.
        add: Python expression of its add op, once loaded.
        sources: what code size counts, or None if the code is not this repository's.
        colour, dark_colour: in figures on a light and on a dark ground; None means that the light one serves for both.
        symbol: of its points, so that colour never carries the meaning alone.
    """

    name: str
    side: str
    what: str
    represents: tuple[str, ...] = ()
    documented: bool = False
    jit: bool = False
    needs_max: bool = False
    devices: tuple[str, ...] = EVERY_DEVICE
    some_ops: bool = False
    same_kernel_as: str | None = None
    package: str | None = None
    namespace: str | None = None
    builds: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    names_functions_in: tuple[str, ...] = ()
    load: str = ""
    add: str = ""
    sources: Sources | None = None
    colour: str = UNKNOWN_COLOUR
    dark_colour: str | None = None
    symbol: str = UNKNOWN_SYMBOL

    @property
    def ours(self) -> bool:
        """Whether the ops' contract (argument checks, contiguous results) applies: not to PyTorch's own routes."""
        return self.side != PYTORCH

    @property
    def library(self) -> str:
        """The shared library that Python loads: the last of the artifacts that is one; empty if there is none."""
        return next((pattern for pattern in reversed(self.artifacts) if pattern.endswith(".so")), "")
