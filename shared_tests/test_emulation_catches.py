"""Faults planted in copies of the CUDA sources: the emulator finds each of them.

`test_emulation.py` shows that it reports nothing of the sources as they are.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared_tests.emulator import toolkit
from shared_tests.emulator.cases import row_cases
from shared_tests.emulator.cuda_build import CSRC
from shared_tests.emulator.cuda_host import CudaHost
from shared_tests.emulator.run import CaseResult, Settings, run_case
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.spec import all_specs

try:
    toolkit.find()
except ToolkitError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@dataclass(frozen=True)
class Fault:
    """A change of an op's sources, and what is reported of its rows.

    files: a glob pattern below csrc.
    pattern, replacement: of `re.subn`, in all of the files.
    reported: a regular expression that one of the problems matches.
    wrong: the values of a call are wrong.
    length: of the rows.
    """

    op: str
    files: str
    pattern: str
    replacement: str
    reported: str = ""
    wrong: bool = False
    length: int = 8200


FAULTS = {
    "no barriers": Fault("rms_norm", "common/gpu*.h", r"__syncthreads\(\);", "", r"race: read of what another thread"),
    "shifted pointer": Fault("rms_norm", "cuda/rms_norm.cu", r"x \+ row \* n", "x + row * n + 1", r"misaligned access"),
    "one row too many": Fault("rms_norm", "cuda/rms_norm.cu", r"numel / n,", "numel / n + 1,", r"out of bounds"),
    "wrong lane": Fault(
        "rms_norm", "common/gpu.h", r"__shfl_xor_sync\(0xffffffffu, value, mask\)",
        "__shfl_xor_sync(0xffffffffu, value, (mask) ^ 1)", wrong=True,
    ),
    "lanes left out of a shuffle": Fault(
        "rms_norm", "common/gpu.h", r"__shfl_xor_sync\(0xffffffffu, value, mask\)",
        "(threadIdx.x % 32 < 30 ? __shfl_xor_sync(0xffffffffu, value, mask) : value)", "member mask names lanes",
    ),
    "no launch bounds": Fault(
        "softmax", "cuda/softmax.cu", r"__launch_bounds__\([^)]*\)", "",
        r"too many resources requested for launch \(.* take \d+, a block gets 65536",
    ),
    "too many threads": Fault(
        "silu_and_mul", "common/gpu.h", r"int kThreads = 256;", "int kThreads = 2048;",
        r"invalid configuration argument",
    ),
    "input written": Fault(
        "rms_norm", "cuda/rms_norm.cu", r"reinterpret_cast<Vector\*>\(out \+ row \* n\)",
        "reinterpret_cast<Vector*>(const_cast<T*>(x) + row * n)", "write to an input",
    ),
}  # fmt: skip


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the cache of their own for sources with faults, which would push the project's own out."""
    monkeypatch.setenv("EMULATOR_CACHE", str(toolkit.cache_folder() / "planted"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, own_cache: None) -> None:
    fault = FAULTS[name]
    results = emulated(fault.op, planted(fault, tmp_path), fault.length)
    problems = [problem for result in results for problem in result.problems]
    if fault.reported:
        assert any(re.search(fault.reported, problem) for problem in problems), problems
    if fault.wrong:
        assert any(result.wrong for result in results), results


def planted(fault: Fault, folder: Path) -> Path:
    """A copy of the sources with the fault."""
    csrc = Path(shutil.copytree(CSRC, folder / "csrc"))
    count = 0
    for file in csrc.glob(fault.files):
        text, replaced = re.subn(fault.pattern, fault.replacement, file.read_text())
        file.write_text(text)
        count += replaced
    assert count, f"{fault.files} has no {fault.pattern!r}: name another place for this fault"
    return csrc


def emulated(op: str, csrc: Path, length: int) -> list[CaseResult]:
    """The op's rows of one length in its 16-bit dtypes, compiled from these sources."""
    spec = all_specs()[op]
    host = CudaHost(csrc=csrc)
    return [
        run_case("cpp", spec, str(dtype).removeprefix("torch."), case, Settings(), lambda target: host)
        for dtype in spec.dtypes
        if dtype.itemsize == 2
        for case in row_cases(spec, dtype, [length])
    ]
