"""Where nvcc and ptxas are: a CUDA toolkit of the machine, or NVIDIA's packages from PyPI.

`requirements-cuda.txt` pins the packages; `nox -s emulate` installs them where the machine has no toolkit.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from shared_tests.emulator.devices import DEVICES

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ROOT / ".nox" / "cuda"  # where noxfile.py installs the packages
REQUIREMENTS = Path(__file__).with_name("requirements-cuda.txt")


class ToolkitError(Exception):
    """A compiler that is missing, or that failed; the message holds its own first error."""


@dataclass(frozen=True)
class Toolkit:
    """Paths of the two programs that the emulator needs."""

    nvcc: str
    ptxas: str

    @functools.cached_property
    def version(self) -> str:
        """What tells the programs' output apart: both versions."""
        return "\n".join(self._output(program, "--version") for program in (self.nvcc, self.ptxas))

    @functools.cached_property
    def targets(self) -> tuple[str, ...]:
        """Those of `DEVICES` that this nvcc compiles for; sm_100 and sm_120 came with CUDA 12.8."""
        architectures = self._output(self.nvcc, "--list-gpu-code").split()
        return tuple(target for target in DEVICES if target in architectures)

    def _output(self, *command: str) -> str:
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            raise ToolkitError(f"{' '.join(command)} failed: {first_error(process.stderr)}")
        return process.stdout


def first_error(text: str) -> str:
    """The first line of a compiler's or linker's output that names an error, else its first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = ("error", "undefined reference")
    return next((line for line in lines if any(e in line.lower() for e in errors)), lines[0] if lines else "no message")


def search_path() -> str:
    """Folders that may hold the programs: CUDA_HOME's, PATH, the packages, the usual place of a toolkit."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    packages = sorted(Path(sysconfig.get_paths()["purelib"]).glob("nvidia/cu*/bin"), reverse=True)
    packages += PACKAGED.glob("nvidia/cu*/bin")
    folders = [f"{home}/bin" if home else "", os.environ.get("PATH", ""), *map(str, packages), "/usr/local/cuda/bin"]
    return os.pathsep.join(filter(None, folders))


@functools.cache
def find() -> Toolkit:
    """The first nvcc of `search_path`, and the ptxas that belongs to it.

    Raises:
        ToolkitError: there is none; the message says how to install it.
    """
    path = search_path()
    nvcc = shutil.which("nvcc", path=path)
    ptxas = nvcc and shutil.which("ptxas", path=os.pathsep.join([str(Path(nvcc).parent), path]))
    if not nvcc or not ptxas:
        raise ToolkitError(
            "nvcc and ptxas are neither in CUDA_HOME nor on PATH; `nox -s emulate` installs them, "
            f"and so does `pip install -r {REQUIREMENTS.relative_to(ROOT)}`"
        )
    return Toolkit(nvcc, ptxas)


def cache_folder() -> Path:
    """Where compiled kernels and what ptxas says of them are kept: $EMULATOR_CACHE, else .nox/emulator."""
    folder = Path(os.environ.get("EMULATOR_CACHE") or ROOT / ".nox" / "emulator")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
