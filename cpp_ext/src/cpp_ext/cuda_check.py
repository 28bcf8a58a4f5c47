"""Compiles every CUDA kernel for some GPU architectures and keeps nothing: a machine without a GPU can run it.

``python -m cpp_ext.cuda_check [--arch sm_90 ...]`` ends with exit code 1 when a kernel does not compile, and 2 when
nvcc is missing. It needs neither a GPU, nor PyTorch, nor the built library.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

CSRC = Path(__file__).resolve().parents[2] / "csrc"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")


@dataclass(frozen=True)
class Result:
    """One kernel file compiled for one architecture."""

    op: str
    arch: str
    seconds: float
    bytes: int
    message: str  # first error line, empty when it compiled

    @property
    def ok(self) -> bool:
        """Whether it compiled."""
        return not self.message


def find_nvcc() -> str | None:
    """The CUDA compiler: CUDA_HOME/bin/nvcc, else the one on PATH."""
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=f"{home}/bin") if home else shutil.which("nvcc")


def compile_one(nvcc: str, source: Path, arch: str, folder: Path, whole: bool = True) -> Result:
    """Compiles one .cu file into the folder: an object, or without its host part, which is the same for every arch."""
    target = folder / f"{source.stem}.{arch}.{'o' if whole else 'cubin'}"
    kind = "-c" if whole else "-cubin"  # add: 1.9 and 0.7 s
    command = [nvcc, "-std=c++20", "-O3", f"-arch={arch}", f"-I{CSRC}", kind, str(source), "-o", str(target)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return Result(source.stem, arch, seconds, target.stat().st_size, "")
    lines = (done.stderr + done.stdout).strip().splitlines() or [f"nvcc ended with code {done.returncode}"]
    error = next((line for line in lines if "error" in line or "unsupported" in line.lower()), lines[0])
    return Result(source.stem, arch, seconds, 0, error)


def check(nvcc: str, archs: tuple[str, ...] = ARCHITECTURES, jobs: int | None = None) -> Iterator[Result]:
    """Compiles every csrc/cuda/*.cu for every architecture, with its host part for the first, yielding results."""
    sources = sorted((CSRC / "cuda").glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        tasks = [
            pool.submit(compile_one, nvcc, source, arch, Path(folder), arch == archs[0])
            for source in sources
            for arch in archs
        ]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cpp_ext.cuda_check", description=__doc__.splitlines()[0])
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), help="such as sm_80 sm_90 sm_100")
    parser.add_argument("--jobs", type=int, default=None, help="compiles at a time (default: one a core)")
    options = parser.parse_args(argv)

    from rich.console import Console
    from rich.progress import Progress

    console = Console()
    nvcc = find_nvcc()
    if nvcc is None:
        console.print("nvcc is missing; it comes with the CUDA toolkit, https://developer.nvidia.com/cuda-downloads")
        return 2
    total = len(list((CSRC / "cuda").glob("*.cu"))) * len(options.arch)
    failed = 0
    with Progress(console=console) as progress:
        task = progress.add_task("nvcc", total=total)
        for result in check(nvcc, tuple(options.arch), options.jobs):
            failed += not result.ok
            state = "built " if result.ok else "FAILED"
            console.print(
                f"{state} {result.op:<12} {result.arch:<8} {result.seconds:5.1f} s  {result.message}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            progress.advance(task)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
