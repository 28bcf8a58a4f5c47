"""Plants faults in copies of the Mojo kernels. The emulator detects each, and reports nothing without them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shared_tests import accuracy
from shared_tests.emulator import mojo_build, toolkit
from shared_tests.emulator.apart import MojoHostApart
from shared_tests.emulator.launches import LaunchError
from shared_tests.emulator.machine import EmulationError
from shared_tests.emulator.mojo_bindings import KERNELS
from shared_tests.spec import all_specs

try:
    toolkit.find()
    mojo_build.mojo()
except toolkit.ToolkitError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@dataclass(frozen=True)
class Fault:
    """A wrong line in the GPU code of an op.

    op: the op whose call shows the fault.
    file: a file of the kernel package.
    text, replacement: a text that occurs once in the file, and its replacement.
    args: arguments of the call.
    error: a part of the message of the exception that ends the call; empty if the call returns.
    stopped: whether the emulator raised that exception.
    problem: a part of the problems that the emulator reports.
    wrong: whether the values are wrong.
    """

    op: str
    file: str
    text: str
    replacement: str
    args: tuple[Any, ...]
    error: str = ""
    stopped: bool = False
    problem: str = ""
    wrong: bool = False
    imports: Mapping[str, str] = field(default_factory=dict)


def numbers(*shape: int) -> Tensor:
    """Random values that are the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


FAULTS = {
    "a count that is one too large": Fault(
        "add", "add.mojo", "            Int64(n),\n", "            Int64(n + 1),\n", (numbers(50), numbers(50)),
        error="out of bounds", stopped=True,
    ),
    "a pointer that is one element off": Fault(
        "gelu_tanh", "gelu_tanh.mojo", "gelu_at[width, alignment](y, x, first)",
        "gelu_at[width, alignment](y, x.unsafe_offset(1), first)", (numbers(64),), error="misaligned", stopped=True,
    ),
    "block.sum of a vector": Fault(
        "layer_norm", "common/gpu_rows.mojo", "total = block_sum(total)", "total = block.sum[block_size=64](total)",
        (numbers(3, 40), numbers(40), numbers(40), 1e-5), wrong=True,
        imports={"from .gpu_block import": "from max.gpu.primitives import block\nfrom .gpu_block import"},
    ),
    "an error raised in Mojo": Fault(
        "silu_mul", "silu_mul.mojo", "            silu_mul_gpu(y, gate, up, n, call.device())\n",
        '            raise Error("silu_mul: planted for n = ", n)\n', (numbers(5), numbers(5)),
        error="silu_mul: planted for n = 5",
    ),
    "more threads than a block has": Fault(
        "grayscale", "grayscale.mojo", "            block_dim=BLOCK,\n", "            block_dim=8 * BLOCK,\n",
        (torch.zeros(2, 3, 3, dtype=torch.uint8),), error="invalid argument",
    ),
    "a barrier that is missing": Fault(
        "top_k", "common/gpu_top_k.mojo", "\n    barrier()\n    var candidates =", "\n    var candidates =",
        (numbers(2, 1100), 5), problem="race",
    ),
}  # fmt: skip

# This fault needs its own copy of the kernels, because every op that reduces over a block uses the function.
REUSED_MEMORY = Fault(
    "top_k", "common/gpu_block.mojo", "    barrier()  # a call in an earlier iteration may still be reading\n", "",
    (numbers(2, 1100), 5), problem="race",
)  # fmt: skip


def planted(faults: Sequence[Fault], folder: Path) -> MojoHostApart:
    """A host of the kernels with all the faults, each of which is in a different op."""
    kernels = folder / "kernels"
    shutil.copytree(KERNELS, kernels)
    for fault in faults:
        file = kernels / fault.file
        for text, replacement in {fault.text: fault.replacement, **fault.imports}.items():
            source = file.read_text()
            assert source.count(text) == 1, f"{fault.file} has {source.count(text)} times: {text}"
            file.write_text(source.replace(text, replacement))
    for op, result in mojo_build.build_all([fault.op for fault in faults], kernels=kernels).items():
        assert isinstance(result, Path), f"{op}: {result}"
    return MojoHostApart(kernels=kernels)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> MojoHostApart:
    return planted(list(FAULTS.values()), tmp_path_factory.mktemp("planted"))


def assert_reported(host: MojoHostApart, fault: Fault) -> None:
    """Checks that the call with the fault ends as expected, and that it is right and unreported without the fault."""
    spec = all_specs()[fault.op]
    reference = accuracy.expected(spec, fault.args)

    def call(caller: MojoHostApart) -> tuple[str | None, str]:
        outputs = [torch.full_like(result, 7) for result in reference.eager]
        launches = caller.call(spec, fault.args, outputs)
        problems = [problem.message for launch in launches if launch.report for problem in launch.report.problems]
        return accuracy.mismatch(spec, reference, outputs), "\n".join(problems)

    assert call(MojoHostApart()) == (None, "")
    if fault.error:
        with pytest.raises(LaunchError, match=fault.error) as error_info:
            call(host)
        assert isinstance(error_info.value.__cause__, EmulationError) == fault.stopped
    else:
        mismatch, problems = call(host)
        assert fault.problem in problems
        assert bool(problems) == bool(fault.problem)
        assert mismatch is not None or not fault.wrong


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(faulty: MojoHostApart, name: str) -> None:
    assert_reported(faulty, FAULTS[name])


def test_a_refused_launch_says_why(faulty: MojoHostApart) -> None:
    fault = FAULTS["more threads than a block has"]
    with pytest.raises(LaunchError) as error_info:
        faulty.call(all_specs()[fault.op], fault.args, [torch.empty(2, 3, dtype=torch.uint8)])
    assert error_info.value.reason is not None
    assert "2048 threads in a block, 1024 are allowed" in error_info.value.reason


def test_shared_memory_that_is_written_while_others_read_it_is_found(tmp_path: Path) -> None:
    assert_reported(planted([REUSED_MEMORY], tmp_path), REUSED_MEMORY)
