"""Compiles one op's CUDA side for the emulator: PTX for each target, and a library of its host code.

The sources are the project's own, unmodified. nvcc gives the PTX and the host object in one run; the object is linked
with that of the op's CPU file, which defines the op, and with `cuda_runtime.cpp` in place of NVIDIA's library. Builds
are kept by the content of everything that went into them, so a change of one op builds one op.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from shared_tests.emulator import build_cache, toolkit
from shared_tests.emulator.devices import EMULATED
from shared_tests.emulator.resources import resources
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.op_files import op_file

CSRC = toolkit.ROOT / "cpp_ext" / "csrc"
RUNTIME = Path(__file__).with_name("cuda_runtime.cpp")
LIBRARY, KERNELS, OBJECT = "op.so", "kernels.ptx", "runtime.o"
KERNEL_FLAGS = ("-std=c++20", "-O3", "-Xcompiler", "-fPIC")
# The CPU kernel is compiled along with the op's definition and never called, so it is not optimised.
HOST_FLAGS = ("-std=c++20", "-O0", "-fPIC", "-march=native", "-w")
LINK_FLAGS = ("-shared", "-Wl,-z,defs,-Bsymbolic")


def included(source: Path, csrc: Path) -> Iterator[Path]:
    """The source and every file of the project that it includes."""
    pending, visited = [source], {source}
    while pending:
        path = pending.pop()
        yield path
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
            for candidate in (csrc / name, path.parent / name):
                if candidate.is_file() and candidate not in visited:
                    visited.add(candidate)
                    pending.append(candidate)
                    break


def kernel_file(op: str, csrc: Path) -> Path:
    """The op's CUDA source, relative to `csrc`, where the compilers run."""
    return op_file(csrc / "cuda", op, ".cu").relative_to(csrc)


def compiler() -> list[str]:
    """The C++ compiler that compiles host code."""
    return shlex.split(os.environ.get("CXX", "c++"))


@functools.cache
def compilers() -> str:
    """What tells the compilers' output apart."""
    host = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    return f"{toolkit.find().version}\0{host}"


def content(op: str, csrc: Path) -> Iterator[bytes]:
    """All that goes into the op's build; the same for an unmodified copy of the sources."""
    yield compilers().encode()
    # This file has the flags of the compilers.
    sources = [csrc / kernel_file(op, csrc), op_file(csrc / "cpu", op, ".cpp"), RUNTIME, Path(__file__)]
    for path in sorted({file for source in sources for file in included(source, csrc)}):
        yield str(path.relative_to(csrc) if path.is_relative_to(csrc) else path.name).encode()
        yield path.read_bytes()


def compile_with(*command: str, cwd: Path) -> None:
    """Run a compiler.

    Raises:
        ToolkitError: it failed; the message holds its first error.
    """
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if process.returncode:
        raise ToolkitError(f"{Path(command[0]).name}: {toolkit.first_error(process.stderr)}")


def build(op: str, target: str = EMULATED, csrc: Path = CSRC) -> Path:
    """The folder with one op's kernels for a target, `KERNELS`, and for the emulated one its `LIBRARY`.

    Args:
        csrc: the sources, `cpp_ext/csrc` or a copy of it.

    Raises:
        ToolkitError: there is no toolkit, or a source does not compile.
    """
    cache, key = toolkit.cache_folder() / f"cuda-{target}", build_cache.content_key(content(op, csrc))
    fill = compile_library if target == EMULATED else compile_kernels
    folder = build_cache.cached_folder(cache, op, key, lambda part: fill(op, target, csrc, part))
    resources((folder / KERNELS).read_text(), target)  # ptxas runs here, with the other compilers
    return folder


def compile_kernels(op: str, target: str, csrc: Path, folder: Path) -> None:
    """Write the PTX into `folder`."""
    kernels = folder / KERNELS
    compile_with(*nvcc(op), f"-arch={target}", "-ptx", str(kernel_file(op, csrc)), "-o", str(kernels), cwd=csrc)
    kernels.write_text(stable_names(kernels.read_text()))


def compile_library(op: str, target: str, csrc: Path, folder: Path) -> None:
    """Write the PTX and the library into `folder`, and nothing else."""
    source = kernel_file(op, csrc)
    with tempfile.TemporaryDirectory() as scratch:
        kernels, definition = (f"{scratch}/{name}.o" for name in ("kernels", "definition"))
        # Code for a virtual architecture is PTX alone: ptxas runs once, in `resources`.
        number = target.removeprefix("sm_")
        code = (f"-gencode=arch=compute_{number},code=compute_{number}", "--keep", "--keep-dir", scratch)
        compile_with(*nvcc(op), *code, "-c", str(source), "-o", kernels, cwd=csrc)
        cpu = op_file(csrc / "cpu", op, ".cpp").relative_to(csrc)
        compile_with(*compiler(), *HOST_FLAGS, "-I.", "-c", str(cpu), "-o", definition, cwd=csrc)
        objects = (kernels, str(runtime(csrc)), definition)
        compile_with(*compiler(), *LINK_FLAGS, *objects, "-o", str(folder / LIBRARY), cwd=csrc)
        (folder / KERNELS).write_text(stable_names(Path(scratch, f"{source.stem}.ptx").read_text()))


def runtime(csrc: Path) -> Path:
    """The object of `RUNTIME`, which every op's library is linked with; compiled unless it is in the cache.

    Args:
        csrc: the sources, whose headers it includes.
    """

    def fill(folder: Path) -> None:
        compile_with(*nvcc("runtime"), "-x", "c++", "-c", str(RUNTIME), "-o", str(folder / OBJECT), cwd=csrc)

    files = [Path(__file__), *sorted(included(RUNTIME, csrc))]
    key = build_cache.content_key([compilers().encode(), *(file.read_bytes() for file in files)])
    return build_cache.cached_folder(toolkit.cache_folder(), "runtime", key, fill) / OBJECT


def nvcc(op: str) -> tuple[str, ...]:
    """The compiler with its flags; it runs in the folder of the sources."""
    # Without the seed a number of the process is in the names of kernels in anonymous namespaces.
    return toolkit.find().nvcc, *KERNEL_FLAGS, f"-frandom-seed={op}", "-I."


def stable_names(text: str) -> str:
    """Kernel names without the hashes of path and options that nvcc puts into those of anonymous namespaces.

    The host object, which is compiled for one target in one folder, then finds the kernels of all targets.
    """
    return re.sub(r"(?<=_)[0-9a-f]{8}(_\d+_\w+?_cu_)[0-9a-f]{8}", r"00000000\g<1>00000000", text)


def build_all(
    ops: Iterable[str],
    targets: Sequence[str],
    csrc: Path = CSRC,
    progress: Callable[[str], None] = lambda name: None,
) -> None:
    """Compile ops side by side, one a core, the longest sources first. An op that does not compile is left out here.

    Args:
        targets: of `devices.DEVICES`.
        progress: called with the op and the target of each build that is ready.

    Raises:
        ToolkitError: there is no toolkit.
    """
    ops_by_size = sorted(ops, key=lambda op: -(csrc / kernel_file(op, csrc)).stat().st_size)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending = {pool.submit(build, op, target, csrc): f"{op} {target}" for op in ops_by_size for target in targets}
        try:
            for future in as_completed(pending):
                error = future.exception()
                if error is not None and not isinstance(error, ToolkitError):
                    raise error
                progress(pending[future])
        except BaseException:  # Ctrl-C ends with the builds that run, not with all
            pool.shutdown(wait=False, cancel_futures=True)
            raise
