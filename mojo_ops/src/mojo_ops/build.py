"""Builds the Mojo kernels: `python -m mojo_ops.build [--target cpu|aot|cuda:sm_90|hip:gfx942] [--force]`.

`mojo precompile` compiles the kernel package to kernels.mojoc. From it, MAX compiles every op and dtype into one MEF
per target, and `mojo build` makes the shared library that does not need MAX (target aot). Hashes show whether anything
has changed, before torch or MAX is imported.

`--sources DIR` writes the kernel package as Mojo sources, including the functions that MAX calls, to DIR/kernels.
`CustomOpLibrary(Path("DIR/kernels"))` then compiles it.

`--ops add --out DIR` builds only some ops, into another folder, while you write a kernel. It takes two thirds of the
time (23 s instead of 35 s), because the engine has a fixed cost. `mojo_ops.load(DIR)` then loads these ops.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from . import artifacts, library
from .library import BuildError

_console = Console(stderr=True, highlight=False, soft_wrap=True)
_TARGET = re.compile(r"cpu|aot|cuda:sm_\w+|hip:gfx\w+|metal:apple-[\w-]+")
_PYTHON_FRAMES = ("Traceback (most recent call last)", "The above exception was")
_ERROR_LINES = 30
_LAST_LINES = 8  # a long message states its reason at the end


def _compiler_errors(text: str) -> str:
    """The lines of a compiler's output from the first error on, without the Python frames of MAX.

    If instantiating a kernel fails, the compiler prints a note for each call, including calls in the engine's sources,
    and then the reason. This keeps the notes about the kernel sources, and the end of the output.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if re.search(r"\berror:", line)), 0)
    lines = list(itertools.takewhile(lambda line: not line.startswith(_PYTHON_FRAMES), lines[start:]))
    if len(lines) <= _ERROR_LINES:
        return "\n".join(lines)
    kernel_lines = [
        line for line in lines[1:-_LAST_LINES] if f"/{artifacts.SOURCES.name}/" in line and "error recurses" not in line
    ]
    unique = list(dict.fromkeys(kernel_lines))
    return "\n".join([lines[0], *unique[: _ERROR_LINES - _LAST_LINES], "...", *lines[-_LAST_LINES:]])


def _precompile(ops: Sequence[str], precompiled: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        package = library.write_package(artifacts.SOURCES, ops, Path(folder))
        command = [library.program("mojo", "max"), "precompile", str(package), "-o", str(precompiled)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise BuildError(_compiler_errors(process.stderr or process.stdout))


def _compile(
    target: str, library: Path, mef: Path, ops: Sequence[str], progress: Progress, task: TaskID
) -> dict[str, float]:
    """Runs `mojo_ops.compile` and returns the seconds of each stage."""
    next_stage = {"import": "building graphs", "graphs": f"compiling {len(ops)} ops", "compile": "writing"}
    seconds: dict[str, float] = {}
    command = [sys.executable, "-m", "mojo_ops.compile", target, str(library), str(mef), *ops]
    search = [str(artifacts.PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    # An empty cache, because kernels in a warm one get into the MEF, which then grows with every build. After an edit
    # a warm cache would save only 3 of 35 s.
    environment = {"MODULAR_CACHE_DIR": str(mef.with_name("cache")), **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))
    with tempfile.TemporaryFile("w+") as error_output:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=error_output, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    report = json.loads(line)
                    seconds[report["stage"]] = report["seconds"]
                    progress.update(task, description=f"{target}: {next_stage[report['stage']]}")
        if child.returncode or "compile" not in seconds:
            error_output.seek(0)
            text = error_output.read().strip()
            last_line = text.splitlines()[-1:]  # the message of a Python exception, if MAX raises no compiler error
            raise BuildError(
                _compiler_errors(text) or "".join(last_line) or f"the compiler stopped with status {child.returncode}"
            )
    return seconds


def _build_library(precompiled: Path, namespace: str, ops: Sequence[str], file: Path) -> float:
    start = time.perf_counter()
    process = library.compile_library(precompiled, namespace, ops, file)
    if process.returncode:
        raise BuildError(_compiler_errors(process.stderr or process.stdout))
    return time.perf_counter() - start


def _gpu_targets() -> list[str]:
    """The targets for the GPUs of this machine. Checks for a driver first, because importing torch takes seconds."""
    if not (os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")):
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    if torch.version.hip:
        return ["hip:" + torch.cuda.get_device_properties(0).gcnArchName.split(":")[0]]
    return ["cuda:sm_{}{}".format(*torch.cuda.get_device_capability(0))]


def build(targets: Sequence[str], ops: Sequence[str], folder: Path, force: bool = False) -> list[str]:
    """Builds the targets that are not up to date and records them in build.json.

    Args:
        targets: “cpu”, “aot”, “cuda:sm_90”, “hip:gfx942”.
        ops: ops to compile, from `artifacts.op_names()`.
        folder: output folder for the artifacts.
        force: also build targets that are up to date.

    Returns:
        The targets that were built.

    Raises:
        BuildError: a kernel does not compile, or there is no compiler.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = artifacts.read_record(folder)
    basis: dict[str, Any] = {
        "hashes": artifacts.hashes(list(ops)),
        "versions": artifacts.versions(),
        "cpu": artifacts.cpu(),
    }
    is_current = {key: record.get(key) for key in basis} == basis and (folder / artifacts.LIBRARY).is_file()
    targets_built = dict(record.get("targets", {})) if is_current else {}
    outdated = [
        target
        for target in targets
        if force
        or target not in targets_built
        or not (folder / artifacts.artifact_name(target)).is_file()
        or (target == "aot" and targets_built[target]["march"] != library.march())
    ]
    if not outdated:
        return []
    columns = (SpinnerColumn(finished_text="ok"), TextColumn("{task.description}"), TimeElapsedColumn())
    # Build in a temporary folder and move the files at the end, so that a failed build keeps the previous one.
    with tempfile.TemporaryDirectory(dir=folder) as staging, Progress(*columns, console=_console) as progress:
        precompiled = Path(staging) / artifacts.LIBRARY
        task = progress.add_task("precompiling kernels", total=1)
        start = time.perf_counter()
        _precompile(ops, precompiled)
        precompile = time.perf_counter() - start
        progress.update(task, completed=1)
        for target in outdated:
            file = precompiled.with_name(artifacts.artifact_name(target))
            start = time.perf_counter()
            if target == "aot":
                task = progress.add_task(f"aot: compiling {len(ops)} ops into a library", total=1)
                stages = {"compile": _build_library(precompiled, "mojo_aot", ops, file)}
            else:
                task = progress.add_task(f"{target}: importing MAX", total=1)
                # Compile the argument checks of the CPU at the same time as the graph, on another core.
                with ThreadPoolExecutor(1) as pool:
                    checks_library = precompiled.with_name(artifacts.CHECKS_LIBRARY)
                    checks = (
                        pool.submit(_build_library, precompiled, "mojo_ops", ops, checks_library)
                        if target == "cpu"
                        else None
                    )
                    stages = _compile(target, precompiled, file, ops, progress, task)
                    if checks:
                        stages["checks, meanwhile"] = checks.result()
            targets_built[target] = {
                "seconds": precompile + time.perf_counter() - start,
                "stages": {"precompile": precompile, **stages},
                "bytes": file.stat().st_size,
            } | ({"march": library.march()} if target == "aot" else {})
            progress.update(task, completed=1, description=f"{target}: {file.stat().st_size / 1000:.0f} kB")
        for stale in folder.glob("*.mef"):
            if stale.stem.replace("-", ":", 1) not in targets_built:
                stale.unlink()
        for file in Path(staging).iterdir():
            if file.name in (artifacts.LIBRARY, artifacts.CHECKS_LIBRARY, *map(artifacts.artifact_name, outdated)):
                file.replace(folder / file.name)
    record = basis | {"ops": list(ops), "targets": targets_built}
    (folder / artifacts.RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return outdated


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mojo_ops.build", description="Builds the Mojo kernels.")
    parser.add_argument("--target", action="append", help="cpu, aot (default: both, and the GPU here), cuda:sm_90, ..")
    parser.add_argument("--ops", help="comma-separated; needs --out")
    parser.add_argument("--out", type=Path, help=f"folder of the artifacts (default {artifacts.ARTIFACTS})")
    parser.add_argument(
        "--sources", type=Path, help="only write the kernel package to this folder, with generated modules"
    )
    parser.add_argument("--force", action="store_true", help="also build targets that are up to date")
    arguments = parser.parse_args(argv)
    op_names = artifacts.op_names()
    arguments.ops = arguments.ops.split(",") if arguments.ops else op_names
    if unknown := set(arguments.ops) - set(op_names):
        parser.error(f"unknown op {', '.join(sorted(unknown))}; known: {', '.join(op_names)}")
    if len(arguments.ops) < len(op_names) and not (arguments.out or arguments.sources):
        parser.error("--ops needs --out: the built-in folder holds all ops")
    for target in arguments.target or ():
        if not _TARGET.fullmatch(target):
            parser.error(f"unknown target {target}; known: cpu, aot, cuda:sm_<n>, hip:gfx<n>, metal:apple-m<n>")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    arguments = _arguments(argv)
    start = time.perf_counter()
    targets = arguments.target or ["cpu", "aot", *_gpu_targets()]
    if not artifacts.SOURCES.is_dir():
        _console.print(f"no kernel sources in {artifacts.SOURCES}: build from a checkout")
        return 1
    if arguments.sources:
        library.write_package(artifacts.SOURCES, arguments.ops, arguments.sources)
        return 0
    try:
        targets_built = build(targets, arguments.ops, arguments.out or artifacts.ARTIFACTS, arguments.force)
    except (BuildError, ModuleNotFoundError) as error:
        _console.print(str(error), markup=False)
        return 1
    if not targets_built:
        _console.print(f"{', '.join(targets)}: up to date ({time.perf_counter() - start:.2f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
