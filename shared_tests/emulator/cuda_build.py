"""Compiles one op's CUDA side for the emulator: PTX for every target, and a library of its host code.

The sources are the project's own, unmodified. nvcc gives the PTX and the host object in one run; the object is linked
with that of the op's CPU file, which defines the op, and with `cuda_runtime.cpp` in place of NVIDIA's library. What is
built is kept by the content of everything that went into it, so a change of one op builds one op.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from shared_tests.emulator import toolkit
from shared_tests.emulator.resources import resources
from shared_tests.emulator.toolkit import ToolkitError

CSRC = toolkit.ROOT / "cpp_ext" / "csrc"
RUNTIME = Path(__file__).with_name("cuda_runtime.cpp")
LIBRARY = "op.so"
KERNEL_FLAGS = ("-std=c++20", "-O3", "-Xcompiler", "-fPIC")
# The CPU kernel is compiled along with the op's definition and never called, so it is not optimised.
HOST_FLAGS = ("-std=c++20", "-O0", "-fPIC", "-march=native", "-w")
LINK_FLAGS = ("-shared", "-Wl,-z,defs,-Bsymbolic")
KEPT = 3  # builds of an op that stay in the cache


@dataclass(frozen=True)
class Built:
    """One op's CUDA side: a folder with the library and a PTX file for every target."""

    op: str
    folder: Path

    @property
    def library(self) -> Path:
        """The op's host code over the emulated runtime."""
        return self.folder / LIBRARY

    def ptx(self, target: str) -> str:
        """The PTX text for one target."""
        return (self.folder / f"{target}.ptx").read_text()

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that there is PTX for."""
        return tuple(target for target in toolkit.find().targets if (self.folder / f"{target}.ptx").exists())


def included(source: Path, csrc: Path) -> Iterator[Path]:
    """The source and every file of the project that it includes."""
    waiting, seen = [source], {source}
    while waiting:
        path = waiting.pop()
        yield path
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
            for candidate in (csrc / name, path.parent / name):
                if candidate.is_file() and candidate not in seen:
                    seen.add(candidate)
                    waiting.append(candidate)
                    break


def compiler() -> list[str]:
    """The C++ compiler that compiles host code."""
    return shlex.split(os.environ.get("CXX", "c++"))


@functools.cache
def compilers() -> str:
    """What tells the compilers' output apart."""
    host = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    return "\0".join((toolkit.find().version, host, *KERNEL_FLAGS, *HOST_FLAGS, *LINK_FLAGS))


def content_key(op: str, csrc: Path) -> str:
    """A hash of all that goes into the op's build; the same for an unmodified copy of the sources."""
    digest = hashlib.sha256(compilers().encode())
    sources = [csrc / "cuda" / f"{op}.cu", csrc / "cpu" / f"{op}.cpp", RUNTIME]
    for path in sorted({file for source in sources for file in included(source, csrc)}):
        name = path.relative_to(csrc) if path.is_relative_to(csrc) else path.name
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def compile_with(*command: str, cwd: Path) -> None:
    """Run a compiler.

    Raises:
        ToolkitError: it failed; the message holds its first error.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolkitError(f"{Path(command[0]).name}: {toolkit.first_error(done.stderr)}")


def build(op: str, csrc: Path = CSRC) -> Built:
    """Compile one op, or find it in the cache.

    Args:
        csrc: the sources, `cpp_ext/csrc` or a copy of it.

    Raises:
        ToolkitError: there is no toolkit, or a source does not compile.
    """
    cache = toolkit.cache_folder() / "cuda"
    folder = cache / f"{op}-{content_key(op, csrc)}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=cache, prefix="part-"))
        try:
            _compile(op, csrc, part)
            with contextlib.suppress(OSError):  # another process was faster
                part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        _forget_old(cache, op)
    os.utime(folder)
    built = Built(op, folder)
    for target in built.targets:
        resources(built.ptx(target), target)
    return built


def _compile(op: str, csrc: Path, folder: Path) -> None:
    """Fill `folder` with the library and the PTX files, and nothing else."""
    tools, includes = toolkit.find(), f"-I{csrc}"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        architectures = [target.removeprefix("sm_") for target in tools.targets]
        code = [f"-gencode=arch=compute_{number},code=compute_{number}" for number in architectures]
        nvcc = (tools.nvcc, *KERNEL_FLAGS, includes)
        kernels = str(csrc / "cuda" / f"{op}.cu")
        compile_with(*nvcc, *code, "--keep", "--keep-dir", scratch, "-c", kernels, "-o", "kernels.o", cwd=work)
        compile_with(*nvcc, "-x", "c++", "-c", str(RUNTIME), "-o", "runtime.o", cwd=work)
        definition = str(csrc / "cpu" / f"{op}.cpp")
        compile_with(*compiler(), *HOST_FLAGS, includes, "-c", definition, "-o", "definition.o", cwd=work)
        objects = ("kernels.o", "runtime.o", "definition.o")
        compile_with(*compiler(), *LINK_FLAGS, *objects, "-o", str(folder / LIBRARY), cwd=work)
        for number in architectures:
            # With one architecture nvcc leaves its number out of the name.
            files = [*work.glob(f"{op}.compute_{number}.ptx"), *work.glob(f"{op}.ptx")]
            shutil.copy(files[0], folder / f"sm_{number}.ptx")


def _forget_old(cache: Path, op: str) -> None:
    """Remove all but the newest builds of an op."""
    builds = sorted(cache.glob(f"{op}-" + "[0-9a-f]" * 24), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in builds[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def build_all(ops: Iterable[str], csrc: Path = CSRC) -> Iterator[tuple[str, Built | ToolkitError]]:
    """Compile ops side by side, one a core, the longest sources first.

    Yields:
        Each op as it is ready, with what was built or why it was not.

    Raises:
        ToolkitError: there is no toolkit.
    """
    toolkit.find()
    longest = sorted(ops, key=lambda op: -(csrc / "cuda" / f"{op}.cu").stat().st_size)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending = {pool.submit(build, op, csrc): op for op in longest}
        for future in as_completed(pending):
            error = future.exception()
            if error is not None and not isinstance(error, ToolkitError):
                raise error
            yield pending[future], error if isinstance(error, ToolkitError) else future.result()
