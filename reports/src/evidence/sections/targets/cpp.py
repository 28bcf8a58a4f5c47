"""The C++ side of the targets matrix: one compiler for each kind of processor, an object file for each op.

CPU targets: this machine's C++ compiler or a cross compiler. NVIDIA: nvcc. AMD: the CUDA sources in the translation
that PyTorch's own build makes (torch.utils.hipify), and hipcc. What a compiler cannot do for any source is a tool chain
that is not here; what it cannot do for ours is a failure.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from evidence.core.child import run_command
from evidence.core.machine import ROOT
from evidence.sections.targets import lines as targets_lines
from evidence.sections.targets import proof as targets_proof
from evidence.sections.targets.built import BUILT, FAILED, NO_SOURCE, NO_TOOLS, compile_all, same
from evidence.sections.targets.processors import AMD, APPLE, CPU, NVIDIA, Target
from evidence.sections.targets.row import TargetRow

CSRC = ROOT / "cpp_ext" / "csrc"
TIMEOUT = 600.0  # seconds for one file
HOST = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
CUDA_TOOLKIT = "install the CUDA toolkit, https://developer.nvidia.com/cuda-downloads"
ROCM = "install hipcc, libamdhip64-dev and rocm-device-libs (Debian, Ubuntu), or ROCm"
NO_METAL = "PyTorch extensions for Apple GPUs are Objective-C++ with Metal shaders; this side has none"


class NoToolChain(Exception):
    """No compiler here makes code for a target; the message says what to install."""


@dataclass(frozen=True)
class Tool:
    """A compiler with the flags of one target; the source and `-o` follow."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    probe: str = "int f(int x) { return x + 1; }\n"
    suffix: str = ".cpp"

    def compile(self, source: Path, to: Path) -> tuple[float, str | None]:
        """Seconds, and the first error line or None."""
        command = [*self.command, "-c", str(source), "-o", str(to)]
        done = run_command(command, to.parent, {**os.environ, **self.environment}, TIMEOUT)
        return done.seconds, None if done.code == 0 else shortened(done.error)

    def check(self, folder: Path) -> str | None:
        """Why it compiles nothing at all for the target, or None."""
        source = folder / f"probe{self.suffix}"
        source.write_text(self.probe)
        return self.compile(source, folder / "probe.o")[1]


def shortened(error: str) -> str:
    """An error line without the folders of this machine."""
    return re.sub(r"(?<![\w.])/[\w./+-]*/(?=[\w.+-]+)", "", error)


@cache
def version(*command: str) -> str:
    """The line with a program's version that a reader would quote."""
    environment = {**os.environ, "HIP_PLATFORM": "amd"}
    done = run_command([*command, "--version"], Path.cwd(), environment, 60)
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"HIP version|, V\d|\d+\.\d+\.\d+", line)]
    return (telling or lines or ["version unknown"])[0]


def cpu_tool(target: Target) -> Tool:
    """This machine's compiler, or the cross compiler of the target's architecture."""
    architecture = "x86_64" if target.name.startswith("x86-64") else target.name
    compiler = os.environ.get("CXX", "c++") if architecture == HOST else f"{architecture}-linux-gnu-g++"
    command = shlex.split(compiler)
    if not shutil.which(command[0]):
        raise NoToolChain(f"install g++-{architecture.replace('_', '-')}-linux-gnu (Debian, Ubuntu)")
    level = (f"-march={target.name}",) if architecture == "x86_64" else ()
    flags = ("-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-Wno-psabi", "-g0", *level, f"-I{CSRC}")
    return Tool(version(*command), (*command, *flags))


def cuda_tool(target: Target) -> Tool:
    """nvcc of $CUDA_HOME, else of PATH."""
    home = os.environ.get("CUDA_HOME")
    nvcc = shutil.which("nvcc", path=f"{home}/bin") if home else shutil.which("nvcc")
    if nvcc is None:
        raise NoToolChain(CUDA_TOOLKIT)
    flags = ("-std=c++20", "-O3", f"-arch={target.name}", f"-I{CSRC}")
    return Tool(
        f"nvcc {version(nvcc)}", (nvcc, *flags), probe="__global__ void f(float* x) { *x = 1; }\n", suffix=".cu"
    )


def hip_tool(target: Target, translated: Path) -> Tool:
    """hipcc; without HIP_PLATFORM it takes nvcc where that is on PATH."""
    hipcc = shutil.which(
        "hipcc", path=f"{os.environ.get('ROCM_HOME', '/opt/rocm')}/bin{os.pathsep}{os.environ['PATH']}"
    )
    if hipcc is None:
        raise NoToolChain(ROCM)
    flags = ("-x", "hip", "-std=c++20", "-O3", f"--offload-arch={target.name}", f"-I{translated}")
    probe = "#include <hip/hip_runtime.h>\n__global__ void f(float* x) { *x = 1; }\n"
    return Tool(f"hipcc, {version(hipcc)}", (hipcc, *flags), {"HIP_PLATFORM": "amd"}, probe, ".hip")


_HIPIFY = """
import sys
from torch.utils.hipify import hipify_python
source, to = sys.argv[1:]
hipify_python.hipify(project_directory=source, output_directory=to, includes=["*"], extensions=(".cu", ".h"),
                     show_detailed=False, is_pytorch_extension=True)
"""


def hipify(folder: Path) -> Path:
    """The sources in PyTorch's translation to HIP, made once for all AMD targets.

    Raises:
        NoToolChain: the translation failed.
    """
    to = folder / "hipified"
    if not to.exists():
        done = run_command([sys.executable, "-c", _HIPIFY, str(CSRC), str(to)], folder, dict(os.environ), TIMEOUT)
        if done.code != 0:
            raise NoToolChain(f"torch.utils.hipify failed: {shortened(done.error)}")
    return to


def build(target: Target, ops: Sequence[str], folder: Path) -> list[TargetRow]:
    """Every op for one target, one compiler a core; `folder` is made, and removed at the end."""
    if target.vendor == APPLE:
        return same(ops, "cpp", target, NO_SOURCE, NO_METAL)
    folder.mkdir(parents=True)
    try:
        tool, sources = _sources(target, ops, folder)
        if reason := tool.check(folder):
            hint = {CPU: "", NVIDIA: "a newer CUDA toolkit may know it", AMD: "a newer ROCm may know it"}[target.vendor]
            raise NoToolChain(f"{reason}; {hint}" if hint else reason)
        return list(compile_all([partial(_one, tool, op, target, sources[op], folder) for op in ops]))
    except NoToolChain as missing:
        return same(ops, "cpp", target, NO_TOOLS, str(missing))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sources(target: Target, ops: Sequence[str], folder: Path) -> tuple[Tool, dict[str, Path]]:
    if target.vendor == CPU:
        return cpu_tool(target), {op: CSRC / "cpu" / f"{op}.cpp" for op in ops}
    if target.vendor == NVIDIA:
        return cuda_tool(target), {op: CSRC / "cuda" / f"{op}.cu" for op in ops}
    translated = hipify(folder.parent)
    return hip_tool(target, translated), {op: translated / "hip" / f"{op}.hip" for op in ops}


def _one(tool: Tool, op: str, target: Target, source: Path, folder: Path) -> TargetRow:
    to = folder / f"{op}.o"
    lines = targets_lines.of_cpp(op, target)
    left = targets_lines.untranslated(source) if target.vendor == AMD else None
    seconds, error = tool.compile(source, to)
    proof = None if error else targets_proof.of_object(to, target.name)
    if error is None and proof is None:
        error = f"the object holds no code for {target.name}"
    return TargetRow(
        op=op,
        side="cpp",
        target=target.name,
        status=FAILED if error else BUILT,
        seconds=seconds,
        bytes=None if error else to.stat().st_size,
        message=error,
        tool=tool.name,
        proof=proof,
        target_lines=lines,
        untranslated=left,
    )
