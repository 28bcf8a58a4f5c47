"""The C library behind memory requests and fused arithmetic, compiled at first use and cached by its content."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

from shared_tests.emulator.toolkit import ToolkitError, cache_folder

SOURCES = tuple(Path(__file__).with_name(name) for name in ("memory.c", "rounding.c"))
FLAGS = ("-std=gnu11", "-O3", "-frounding-math", "-ffp-contract=off", "-shared", "-fPIC")


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        ToolkitError: there is no C compiler, or its output.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    content = "\0".join([*(source.read_text() for source in SOURCES), *compiler, *FLAGS, platform.machine()])
    target = cache_folder() / f"native-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            library_path = Path(folder) / target.name
            command = [*compiler, *FLAGS, *map(str, SOURCES), "-lm", "-o", str(library_path)]
            try:
                process = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as error:
                raise ToolkitError(f"the C compiler {compiler[0]} cannot be run ({error}); $CC names another") from None
            if process.returncode:
                raise ToolkitError(f"{shlex.join(command)}\n{process.stderr}")
            library_path.replace(target)  # atomic: another process may build the same file
    return ctypes.CDLL(str(target))
