"""Software below PyTorch that can move a time: allocator, linker, overridden eager ops and telemetry."""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evidence.core.child import TELEMETRY, run_command

ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "hoard", "snmalloc")
ALLOCATOR_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "PYTHONMALLOC", "MIMALLOC_", "TCMALLOC_")
NATIVE = "torch._native.registry"

Output = Callable[..., str | None]
"""Runs a command: its output, or None where it fails or does not exist."""


def describe(output: Output, compiler: str | None, root: Path = Path("/")) -> dict[str, dict[str, Any]]:
    """Block -> name -> value; None where a value cannot be known."""
    return {
        "allocator": allocator(os.environ, root),
        "toolchain": {
            "compiler": compiler,
            "compiler_version": _first_line(output(compiler, "--version")) if compiler else None,
            "linker_version": linker(output, compiler) if compiler else None,
        },
        "pytorch": eager_overrides(),
        "telemetry": {"in_timed_processes": telemetry_of_children()},
    }


def allocator(environment: Mapping[str, str], root: Path = Path("/")) -> dict[str, Any]:
    """The C library's version, preloaded libraries by name, allocators other than the C library's, and settings."""
    libc, version = platform.libc_ver()
    try:
        maps = (root / "proc/self/maps").read_text()
    except OSError:
        loaded = None
    else:
        loaded = sorted({name for name in ALLOCATORS if re.search(rf"/lib{name}[^/\n]*$", maps, re.MULTILINE)})
    preloaded = re.split(r"[:\s]+", environment.get("LD_PRELOAD", "").strip())
    return {
        "libc": f"{libc} {version}".strip() or None,
        "preloaded": [Path(library).name for library in preloaded if library],
        "other_allocators": loaded,
        "settings": {name: environment[name] for name in sorted(environment) if name.startswith(ALLOCATOR_SETTINGS)},
    }


def linker(output: Output, compiler: str) -> str | None:
    """The first line of what the linker that `compiler` calls says of itself."""
    program = output(compiler, "-print-prog-name=ld")
    return _first_line(output(program, "--version") or output(program, "-v")) if program else None


def _first_line(text: str | None) -> str | None:
    return text.splitlines()[0].strip() if text else None


def eager_overrides(module: str = NATIVE) -> dict[str, Any]:
    """Eager ops that this PyTorch replaces by kernels of its own that are written in Python, and how that is known.

    PyTorch 2.13 keeps them in `torch._native`, by op and dispatch key; a baseline that is among them is not ATen's.
    """
    try:
        graphs = getattr(importlib.import_module(module), "_graphs", None)
    except ImportError:
        return {"overridden_eager_ops": None, "source": f"this PyTorch has no {module}"}
    if not isinstance(graphs, dict):
        return {"overridden_eager_ops": None, "source": f"{module} has no table of overrides that is known here"}
    active = [key for key, nodes in graphs.items() if any(getattr(node, "active", True) for node in nodes)]
    return {"overridden_eager_ops": sorted(f"{op} on {key}" for op, key in active), "source": f"{module}._graphs"}


def telemetry_of_children() -> str | None:
    """What a child process, started like every one that is timed, has in Modular's variable; None where unset."""
    program = f"import os; print(os.environ.get({TELEMETRY!r}, ''))"
    done = run_command([sys.executable, "-S", "-c", program], Path.cwd(), timeout=20)
    value = done.output.strip()
    return f"{TELEMETRY}={value}" if done.code == 0 and value else None
