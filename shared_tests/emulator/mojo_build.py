"""Compiles one op's Mojo side for the emulator: a library that calls the op on MAX's DeviceContext, with its PTX in it.

The kernels are the project's own sources, unmodified. What is built is kept by the content of every module that went
into it, so a change of one op builds one op.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from shared_tests.emulator import mojo_entries, toolkit
from shared_tests.emulator.build_cache import cached_folder, content_key, folder_of
from shared_tests.emulator.devices import EMULATED
from shared_tests.emulator.mojo_bindings import KERNELS, binding, bindings_source
from shared_tests.emulator.toolkit import ToolkitError

LIBRARY = "op.so"
# Without -Bsymbolic the linker refuses the string literals of a shared library.
FLAGS = ("--emit", "shared-lib", "-D", "ASSERT=none", "-Xlinker", "-Bsymbolic")
DRIVER, MANAGEMENT, BLAS = "libcuda.so.1", "libnvidia-ml.so.1", "libcublas.so.13"  # as MAX opens them
_SOURCES = {
    name: Path(__file__).with_name(file)
    for name, file in ((DRIVER, "cuda_driver.c"), (MANAGEMENT, "nvml.c"), (BLAS, "cublas.c"))
}
GROUPS_A_CORE = 2  # so that there is progress to show
SMALL_GROUP = 3  # ops that take about as long to compile as the compiler's own seconds
C_FLAGS = ("-std=c11", "-O1", "-fPIC", "-shared")


def modules(op: str, kernels: Path = KERNELS) -> list[Path]:
    """Every module of the package that the op's binding imports, directly or not, sorted."""
    pending, visited = _imported(binding(op, kernels).source, kernels), {kernels / "__init__.mojo"}
    while pending:
        module = pending.pop()
        if module not in visited:
            visited |= {module, module.with_name("__init__.mojo")}
            pending += _imported(module.read_text(), module.parent)
    return sorted(visited)


def _imported(source: str, folder: Path) -> list[Path]:
    names = re.findall(r"^from \.([\w.]+) import", source, re.MULTILINE)
    return [folder / f"{name.replace('.', '/')}.mojo" for name in names]


@functools.cache
def mojo() -> tuple[str, str]:
    """The compiler and its version.

    Raises:
        ToolkitError: there is none.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("mojo", path=path)
    if program is None:
        raise ToolkitError("mojo was not found; install it with: pip install modular")
    return program, _output(program, "--version")


def _output(*command: str, env: dict[str, str] | None = None) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if process.returncode:
        raise ToolkitError(f"{Path(command[0]).name}: {toolkit.first_error(process.stderr or process.stdout)}")
    return process.stdout


@dataclass(frozen=True)
class Sources:
    """What an op's library for one target is made of."""

    op: str
    target: str
    kernels: Path

    @functools.cached_property
    def modules(self) -> list[Path]:
        """Of the kernel package."""
        return modules(self.op, self.kernels)

    @functools.cached_property
    def size(self) -> int:
        """Bytes of all modules, by which ops are shared out among the cores."""
        return sum(file.stat().st_size for file in self.modules)

    @functools.cached_property
    def key(self) -> str:
        """Of the content, for the cache."""
        bound = binding(self.op, self.kernels)
        root = mojo_entries.library([bound])
        parts = [mojo()[1], *FLAGS, root, bound.source, mojo_entries.ARGUMENTS.read_text()]
        parts += [text for file in self.modules for text in (str(file.relative_to(self.kernels)), file.read_text())]
        return content_key(part.encode() for part in parts)

    @property
    def cache(self) -> Path:
        """The folder of all builds for the target."""
        return toolkit.cache_folder() / f"mojo-{self.target}"

    @property
    def is_built(self) -> bool:
        """Whether the library is in the cache."""
        return folder_of(self.cache, self.op, self.key).exists()

    def cached_library(self, fill: Callable[[Path], None]) -> Path:
        """The library in the cache; `fill` writes it into an empty folder if it is not there."""
        return cached_folder(self.cache, self.op, self.key, fill) / LIBRARY


def build(op: str, target: str = EMULATED, kernels: Path = KERNELS) -> Path:
    """The library of one op for one target, compiled unless it is in the cache.

    Args:
        op: name.
        target: of `devices.DEVICES`.
        kernels: the sources, `mojo_ops/kernels` or a copy of it.

    Raises:
        LookupError: the op has no entry to its GPU code.
        ToolkitError: there is no compiler, or a source does not compile.
    """
    sources = Sources(op, target, kernels)
    return sources.cached_library(lambda folder: _compile([sources], folder / LIBRARY))


def _compile(group: Sequence[Sources], library: Path) -> None:
    """Compiles ops of one target into one library."""
    target, kernels = group[0].target, group[0].kernels
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        # Only the modules whose content is in the key, so that the key cannot leave out what went in.
        for file in {file for sources in group for file in sources.modules}:
            copy = work / "kernels" / file.relative_to(kernels)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        shutil.copy(mojo_entries.ARGUMENTS, work)
        bindings = [binding(sources.op, kernels) for sources in group]
        (work / "kernels/bindings.mojo").write_text(bindings_source(bound.kernel for bound in bindings))
        (work / "root.mojo").write_text(mojo_entries.library(bindings))
        env = {**os.environ, "MODULAR_CACHE_DIR": str(work / "cache"), "MODULAR_TELEMETRY_ENABLED": "false"}
        command = [mojo()[0], "build", *FLAGS, "--target-accelerator", target, "-I", scratch]
        _output(*command, "-o", str(library), str(work / "root.mojo"), env=env)


def build_all(
    ops: Iterable[str],
    target: str = EMULATED,
    kernels: Path = KERNELS,
    progress: Callable[[str], None] = lambda op: None,
) -> dict[str, Path | ToolkitError]:
    """Compiles the ops that are not in the cache, several at once: each run of the compiler takes seconds of its own.

    Args:
        ops: names.
        target: of `devices.DEVICES`.
        kernels: the sources.
        progress: called with each op that is ready.

    Returns:
        By op its library, or why it was not built.
    """
    all_sources = [Sources(op, target, kernels) for op in ops]
    cores = os.cpu_count() or 1
    unbuilt = sorted((s for s in all_sources if not s.is_built), key=lambda s: -s.size)
    groups: list[list[Sources]] = [[] for _ in range(min(GROUPS_A_CORE * cores, -(-len(unbuilt) // SMALL_GROUP)))]
    for sources in unbuilt:
        min(groups, key=lambda group: sum(s.size for s in group)).append(sources)

    def build_group(group: list[Sources]) -> None:
        with tempfile.TemporaryDirectory(dir=toolkit.cache_folder()) as folder:
            library = Path(folder, LIBRARY)
            try:
                _compile(group, library)
            except ToolkitError:
                return  # each is built alone then, so that one op's failure is no other's
            for sources in group:
                sources.cached_library(lambda kept_folder: os.link(library, kept_folder / LIBRARY))
                progress(sources.op)

    results: dict[str, Path | ToolkitError] = {}
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(build_group, filter(None, groups)))
        failed = {s.op for s in all_sources if not s.is_built}
        futures = {s.op: pool.submit(build, s.op, target, kernels) for s in all_sources}
    for op, future in futures.items():
        try:
            results[op] = future.result()
        except ToolkitError as error:
            results[op] = error
        if op in failed:
            progress(op)
    return results


@functools.cache
def driver() -> tuple[Path, Path, Path]:
    """The emulated driver, management library and cuBLAS, compiled unless they are in the cache.

    Raises:
        ToolkitError: a C compiler is missing or failed.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise ToolkitError(f"{compiler[0]} was not found; mojo build needs a C compiler too")
    parts = [_output(*compiler, "--version"), *C_FLAGS, *(file.read_text() for file in _SOURCES.values())]

    def compile_mocks(folder: Path) -> None:
        for name, source in _SOURCES.items():
            _output(*compiler, *C_FLAGS, f"-Wl,-soname,{name}", str(source), "-o", str(folder / name))

    folder = cached_folder(
        toolkit.cache_folder(), "driver", content_key(part.encode() for part in parts), compile_mocks
    )
    return folder / DRIVER, folder / MANAGEMENT, folder / BLAS
