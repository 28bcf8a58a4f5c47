"""Builds `noop.cpp`: ops in C++ that do nothing, the yardstick of the dispatcher's own cost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from evidence.core.child import run_command

SOURCE = Path(__file__).with_name("noop.cpp")
STABLE, CLASSIC = "stable", "classic"
NAMESPACES = {STABLE: "evidence_lab", CLASSIC: "evidence_lab_classic"}


def build(kinds: list[str], folder: Path, tell: Callable[[str], None]) -> tuple[dict[str, str], dict[str, str]]:
    """Compile for each of `kinds` (`stable`: 3 s, `classic`: 9 s); gives libraries, and reasons of the failed."""
    libraries: dict[str, str] = {}
    failed: dict[str, str] = {}
    compiler = os.environ.get("CXX") or next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), None)
    for kind in kinds:
        if compiler is None:
            failed[kind] = "no C++ compiler for the ops that do nothing"
            continue
        tell(f"waterfall: an op in C++ that does nothing ({kind})")
        base = Path(torch.__file__).parent
        library = folder / f"noop_{kind}.so"
        command = [*compiler.split(), "-O2", "-std=c++20", "-fPIC", "-shared", str(SOURCE), "-o", str(library)]
        if kind == STABLE:
            command += ["-DEVIDENCE_STABLE", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
        command += [f"-I{base / 'include'}", f"-I{base / 'include/torch/csrc/api/include'}", f"-L{base / 'lib'}"]
        finished = run_command([*command, "-ltorch_cpu", "-lc10"], folder, timeout=180)
        if finished.code == 0:
            libraries[kind] = str(library)
        else:
            failed[kind] = f"the op that does nothing did not compile: {finished.error}"
    return libraries, failed
