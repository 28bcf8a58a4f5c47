"""Plants faults in copies of the CUDA sources and checks that the emulator detects each of them.

`test_emulation.py` shows that the emulator reports nothing for the unchanged sources.
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
    """A change of an op's sources, and its expected effect.

    files: a glob pattern below csrc.
    edits: regular expressions and their replacements, applied to all of the files.
    reported: a regular expression that one of the reported problems matches.
    wrong: whether a call gives wrong values.
    """

    op: str
    files: str
    edits: dict[str, str]
    reported: str = ""
    wrong: bool = False


NORM = "cuda/rms_norm.cu"
SHUFFLE = r"__shfl_xor_sync\(0xffffffffu, value, mask\)"
FAULTS = {
    "no barriers": Fault("rms_norm", "common/gpu*.h", {r"__syncthreads\(\);": ""}, "race: read of what another thread"),
    "shifted pointer": Fault("rms_norm", NORM, {r"x \+ row \* n": "x + row * n + 1"}, "misaligned access"),
    "one row too many": Fault("rms_norm", NORM, {r"numel / n,": "numel / n + 1,"}, "out of bounds"),
    "wrong lane": Fault(
        "rms_norm", "common/gpu*.h", {SHUFFLE: "__shfl_xor_sync(0xffffffffu, value, (mask) ^ 1)"}, wrong=True
    ),
    "lanes left out of a shuffle": Fault(
        "rms_norm", "common/gpu*.h",
        {SHUFFLE: "(threadIdx.x % 32 < 30 ? __shfl_xor_sync(0xffffffffu, value, mask) : value)"},
        "member mask names lanes",
    ),
    "no launch bounds, and more registers": Fault(
        "rms_norm", NORM, {r"__launch_bounds__\(\w+\)": "", r"BlockRows<1, [\w<>]+, false": "BlockRows<1, 12, false"},
        r"too many resources requested for launch \(.* 1024 threads of \d+ registers take \d+, a block gets 65536",
    ),
    "launch bounds below the launch": Fault(
        "rms_norm", NORM, {r"__launch_bounds__\(\w+\)": "__launch_bounds__(256)"},
        r"invalid argument \(.* 1024 threads in a block, the kernel's bound is 256",
    ),
    "too many threads": Fault(
        "rms_norm", NORM, {r"threads_for_row<N>\(n, 2\)": "2048"},
        r"invalid configuration argument",
    ),
    "input written": Fault(
        "rms_norm", NORM,
        {r"reinterpret_cast<Vector\*>\(out \+ row \* n\)": "reinterpret_cast<Vector*>(const_cast<T*>(x) + row * n)"},
        "write to an input",
    ),
}  # fmt: skip
LENGTH = 13824  # elements of a row, for which a thread block has 1,024 threads


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A separate cache, because few builds of an op are kept and this one should not evict the project's.
    monkeypatch.setenv("EMULATOR_CACHE", str(toolkit.cache_folder() / "planted" / name.replace(" ", "-")))
    fault = FAULTS[name]
    results = emulated(fault.op, planted(fault, tmp_path))
    problems = [problem for result in results for problem in result.problems]
    if fault.reported:
        assert any(re.search(fault.reported, problem) for problem in problems), problems
    if fault.wrong:
        assert any(result.wrong for result in results), results


def planted(fault: Fault, folder: Path) -> Path:
    """Copies the sources and plants the fault in the copy."""
    csrc = Path(shutil.copytree(CSRC, folder / "csrc"))
    for pattern, replacement in fault.edits.items():
        count = 0
        for file in csrc.glob(fault.files):
            text, replaced = re.subn(pattern, replacement, file.read_text())
            file.write_text(text)
            count += replaced
        assert count, f"{fault.files} has no {pattern!r}: name another place for this fault"
    return csrc


def emulated(op: str, csrc: Path) -> list[CaseResult]:
    """The results of the op's long rows in its 16-bit dtypes, compiled from the given sources."""
    spec = all_specs()[op]
    host = CudaHost(csrc=csrc)
    return [
        run_case("cpp", spec, str(dtype).removeprefix("torch."), case, Settings(), lambda target: host)
        for dtype in spec.dtypes
        if dtype.itemsize == 2
        for case in row_cases(spec, dtype, [LENGTH])
    ]
