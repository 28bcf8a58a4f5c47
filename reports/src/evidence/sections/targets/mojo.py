"""The Mojo side of the targets matrix.

`mojo build` makes code for every op at once: an object for a CPU, and for an accelerator assembly of every kernel
in files of their own. Where it fails, each op is built alone, so that one op's failure is no other's. MAX compiles
the whole catalogue into one MEF for a virtual device, by the command that a user of the target has.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import TracebackType

from evidence.core.child import Finished, run_command
from evidence.core.machine import ROOT, cpu
from evidence.core.sides import environment
from evidence.sections.targets import lines as targets_lines
from evidence.sections.targets import proof as targets_proof
from evidence.sections.targets.built import BUILT, DID_NOT_RUN, FAILED, NO_TOOLS, compile_all, same
from evidence.sections.targets.cpp import HOST, shortened, version
from evidence.sections.targets.processors import APPLE, CPU, NVIDIA, Target
from evidence.sections.targets.row import TargetRow
from shared_tests.emulator import mojo_entries
from shared_tests.emulator.mojo_bindings import binding, side_module

DTYPES = ("float32", "bfloat16", "float16")
TIMEOUT = 900.0  # seconds for the whole catalogue
NO_MODULAR = "pip install modular"
OTHER_CPU = "MAX compiles for the CPU that it runs on; mojo build is the way to this one"


@cache
class Package:
    """The kernels as one precompiled package, built when `ready` is first called."""

    def __init__(self, folder: Path, ops: Sequence[str]) -> None:
        self.folder = folder / "package"
        self.ops = tuple(ops)
        self.program = ""
        self.problem: str | None = None

    def __enter__(self) -> Package:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def ready(self) -> str | None:
        """None when it is there, else why not."""
        if self.program or self.problem:
            return self.problem
        library = side_module("library")
        try:
            self.program = library.program("mojo", "modular")
        except library.BuildError as error:
            self.problem = str(error)
            return self.problem
        sources = self.folder / "sources"
        sources.mkdir(parents=True)
        package = library.write_package(targets_lines.KERNELS, self.ops, sources)
        shutil.copy(mojo_entries.ARGUMENTS, self.folder)
        done = self.run("precompile", str(package), "-o", str(self.folder / f"{library.PACKAGE}.mojoc"))
        if done.code != 0:
            self.problem = f"the kernels do not precompile: {shortened(done.error)}"
        return self.problem

    def run(self, *arguments: str) -> Finished:
        """Runs mojo with a cache of its own, which is empty at the start."""
        env = {"MODULAR_CACHE_DIR": str(self.folder / "cache"), **os.environ}
        return run_command([self.program, *arguments], self.folder, env, TIMEOUT)


def _gpu_root(ops: Sequence[str]) -> str:
    return mojo_entries.program(binding(op) for op in ops)


def _cpu_root(ops: Sequence[str]) -> str:
    return str(side_module("library").root("mojo_aot", ops))


def _flags(target: Target) -> list[str]:
    if target.vendor != CPU:
        return ["--target-accelerator", target.name, "--emit", "air" if target.vendor == APPLE else "asm"]
    common = ["--emit", "object", "-D", "ASSERT=none", "-D", "MOJO_OPS_WITHOUT_MAX=1"]
    if target.name == "aarch64":
        return [*common, "--target-triple", "aarch64-unknown-linux-gnu", "--target-cpu", "generic"]
    triple = [] if HOST == "x86_64" else ["--target-triple", "x86_64-unknown-linux-gnu"]
    return [*common, *triple, "--target-cpu", target.name]


def build_ahead(package: Package, target: Target, folder: Path) -> list[TargetRow]:
    """Every op for one target by `mojo build`; `folder` is made, and removed at the end."""
    if reason := package.ready():
        return same(package.ops, "mojo_aot", target, NO_TOOLS, reason)
    folder.mkdir(parents=True)
    try:
        together = _compile(package, target, package.ops, folder / "all")
        if len(package.ops) == 1 or together[0].status != FAILED:
            return together
        # one at a time: a compile is one thread's work
        alone = [partial(_compile, package, target, (op,), folder / op) for op in package.ops]
        return [row for rows in compile_all(alone) for row in rows]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_TELLING = re.compile(r"\berror:|unsupported|not (?:yet )?(?:supported|implemented)", re.IGNORECASE)


def first_error(done: Finished) -> str:
    """The first line of the output that names the error; LLVM's last line does not."""
    lines = (line.strip() for line in done.output.splitlines())
    error_line = None if done.code is None else next((line for line in lines if _TELLING.search(line)), None)
    return shortened(error_line or done.error)[:300]


def _modules(op: str) -> set[str]:
    return {module_name(file) for file in targets_lines.modules_of(op)}


def module_name(file: Path) -> str:
    """A module of the kernel package as the compiler writes it into the names of kernels."""
    return "_".join(file.relative_to(targets_lines.KERNELS).with_suffix("").parts)


def module_of(file: str, modules: Sequence[str]) -> str:
    """The kernel module in the name of a kernel's file: root_kernels_<module>_<function> and a hash.

    The compiler cuts long names off, also within the module's.
    """
    name = re.match(r"[a-z\d_]*?(?=6A|[A-Z]|_[\da-f]{16}|\.|$)", file.partition("_kernels_")[2])
    prefix = name.group() if name else ""
    return max(
        (module for module in modules if prefix.startswith(f"{module}_") or module.startswith(prefix)),
        key=len,
        default="",
    )


def _compile(package: Package, target: Target, ops: Sequence[str], folder: Path) -> list[TargetRow]:
    folder.mkdir()
    root = folder / "root.mojo"
    root.write_text(_cpu_root(ops) if target.vendor == CPU else _gpu_root(ops))
    to = folder / ("root.o" if target.vendor == CPU else "root.s")
    done = package.run("build", *_flags(target), "-I", str(package.folder), "-o", str(to), str(root))
    beside = sorted(file for file in folder.iterdir() if file.suffix in (".ptx", ".amdgcn", ".air"))
    known = [module_name(file) for file in targets_lines.KERNELS.rglob("*.mojo")]
    rows = []
    for op in ops:
        own = beside if len(ops) == 1 else [file for file in beside if module_of(file.name, known) in _modules(op)]
        if done.code != 0:
            proof, size = None, None
        elif target.vendor == CPU:
            proof, size = targets_proof.of_object(to, target.name), to.stat().st_size if len(ops) == 1 else None
        else:
            proof = targets_proof.of_assembly(own, target.name)
            size = sum(file.stat().st_size for file in own) or None
        error = first_error(done) if done.code != 0 else None if proof else f"no code for {target.name} was written"
        rows.append(
            TargetRow(
                op=op,
                side="mojo_aot",
                target=target.name,
                status=FAILED if error else BUILT,
                seconds=done.seconds,
                bytes=size,
                message=error,
                tool=version(package.program),
                proof=proof,
                together=len(ops),
                target_lines=targets_lines.of_mojo(op, target),
            )
        )
    return rows


def _level_here() -> str | None:
    flags = cpu().get("flags", [])
    if HOST == "aarch64":
        return "aarch64"
    return "x86-64-v4" if "avx512bw" in flags else "x86-64-v3" if "avx2" in flags else None


def build_with_max(target: Target, ops: Sequence[str], folder: Path) -> list[TargetRow]:
    """The catalogue into one MEF by `python -m mojo_ops.build --target`; `folder` is made, and removed at the end."""
    try:
        tool = f"MAX {importlib.metadata.version('max')}"
    except importlib.metadata.PackageNotFoundError:
        return same(ops, "mojo", target, NO_TOOLS, NO_MODULAR)
    if target.vendor == CPU and target.name != _level_here():
        return same(ops, "mojo", target, DID_NOT_RUN, OTHER_CPU)
    api = {CPU: "cpu", NVIDIA: f"cuda:{target.name}", APPLE: f"metal:{target.name}"}
    name = api.get(target.vendor, f"hip:{target.name}")
    folder.mkdir(parents=True)
    try:
        command = [sys.executable, "-m", "mojo_ops.build", "--target", name, "--out", str(folder)]
        command += ["--ops", ",".join(ops)]
        done = run_command(command, ROOT, environment(ROOT), TIMEOUT)
        mef = folder / f"{name.replace(':', '-')}.mef"
        if done.code is None:
            return same(ops, "mojo", target, DID_NOT_RUN, done.error)
        if done.code != 0 or not mef.exists():
            proof, error = None, first_error(done)
        elif target.vendor == CPU:
            proof, error = f"a MEF of {mef.stat().st_size} bytes for this CPU", None
        else:
            proof = targets_proof.of_mef(mef.read_bytes(), target.name)
            error = None if proof else f"the MEF does not name {target.name}"
        return [
            TargetRow(
                op=op,
                side="mojo",
                target=target.name,
                status=FAILED if error else BUILT,
                seconds=done.seconds,
                message=error,
                tool=tool,
                proof=proof,
                together=len(ops),
                target_lines=targets_lines.of_mojo(op, target),
            )
            for op in ops
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
