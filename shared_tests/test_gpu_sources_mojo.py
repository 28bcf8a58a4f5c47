"""What the compiler makes of Mojo's GPU kernels for rows: whole vectors, whole sectors, and no spills.

The kernels are those that the launch code compiles for a call, emulated or only recorded; no GPU is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from shared_tests.emulator import mojo_build, toolkit
from shared_tests.emulator.apart import MojoHostApart
from shared_tests.emulator.devices import EMULATED
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.resources import resources
from shared_tests.spec import FLOAT_DTYPES, all_specs
from shared_tests.tensors import randn

try:
    toolkit.find()
    mojo_build.mojo()
except toolkit.ToolkitError as missing:
    pytest.skip(str(missing), allow_module_level=True)

pytestmark = pytest.mark.usefixtures("compiled")

SECTOR = 32  # bytes
LONG_ROW = 16392  # whole vectors in every dtype, more than the registers of a block hold

Arguments = Callable[[int, int, torch.dtype], tuple[Any, ...]]


def rows(count: int) -> Arguments:
    """Arguments of a norm or its gradient: `count` matrices and a weight for each column."""

    def arguments(rows: int, length: int, dtype: torch.dtype) -> tuple[Any, ...]:
        matrices = (randn((rows, length), dtype, "cpu", seed=str(i)) for i in range(count))
        return *matrices, randn((length,), dtype, "cpu"), 1e-5

    return arguments


def layer_norm(rows: int, length: int, dtype: torch.dtype) -> tuple[Any, ...]:
    x, weight = randn((rows, length), dtype, "cpu"), randn((length,), dtype, "cpu")
    return x, weight, weight, 1e-5


def softmax(rows: int, length: int, dtype: torch.dtype) -> tuple[Any, ...]:
    return randn((rows, length), dtype, "cpu"), None, 1.0


def softmax_backward(rows: int, length: int, dtype: torch.dtype) -> tuple[Any, ...]:
    return randn((rows, length), dtype, "cpu"), randn((rows, length), dtype, "cpu").softmax(-1), 1.0


ROW_OPS: dict[str, Arguments] = {
    "rms_norm": rows(1),
    "add_rms_norm": rows(2),
    "layer_norm": layer_norm,
    "rms_norm_backward": rows(2),
    "layer_norm_backward": rows(2),
    "softmax": softmax,
    "softmax_backward": softmax_backward,
}
COMPILED = [("mojo", op) for op in (*ROW_OPS, "rope", "grayscale", "top_k")]


def launches(op: str, args: tuple[Any, ...], *, run: bool = False) -> tuple[Launched, ...]:
    spec = all_specs()[op]
    result = spec.reference(*args)
    outputs = [torch.empty_like(out) for out in ([result] if isinstance(result, torch.Tensor) else result)]
    return MojoHostApart().call(spec, args, outputs, run=run)


def global_accesses(ptx: str, instruction: str) -> list[str]:
    """Types of the loads (`ld`) or stores (`st`) of global memory, such as `v4.b32`."""
    return re.findall(rf"\b{instruction}\.global\.((?:v\d\.)?\w+)", ptx)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES, ids=str)
@pytest.mark.parametrize("op", ROW_OPS)
def test_rows_of_whole_vectors_move_16_bytes_at_once(op: str, dtype: torch.dtype) -> None:
    """The kernel over the rows, with the sums that a gradient keeps in memory."""
    ptx = launches(op, ROW_OPS[op](2, LONG_ROW, dtype))[0].ptx
    for instruction in ("ld", "st"):
        assert set(global_accesses(ptx, instruction)) == {"v4.b32"}, instruction


@pytest.mark.parametrize("op", ROW_OPS)
def test_kernels_over_rows_do_not_spill(op: str) -> None:
    """bfloat16 needs most registers: it is widened. Rows that registers hold, longer and unaligned ones."""
    for length in (4096, LONG_ROW, 4097):
        for launch in launches(op, ROW_OPS[op](2, length, torch.bfloat16)):
            kernel = resources(launch.ptx, EMULATED)[launch.kernel]
            assert kernel.spill_stores == kernel.spill_loads == 0, f"{launch.kernel}, rows of {length}"


@pytest.mark.parametrize("op", ROW_OPS)
def test_warps_over_rows_ask_for_no_more_sectors_than_they_use(op: str) -> None:
    for launch in launches(op, ROW_OPS[op](2, 4096, torch.bfloat16), run=True):
        assert launch.report is not None
        counters = launch.report.counters
        assert counters.load_sectors == counters.least_load_sectors
        assert counters.store_sectors == counters.least_store_sectors


@pytest.mark.parametrize("op", ["rms_norm", "add_rms_norm", "layer_norm", "softmax"])
def test_a_row_that_registers_hold_is_loaded_once(op: str) -> None:
    args = ROW_OPS[op](2, 8192, torch.bfloat16)
    (launch,) = launches(op, args, run=True)
    assert launch.report is not None
    matrices = sum(a.nbytes for a in args if isinstance(a, torch.Tensor) and a.dim() == 2)
    vectors = sum(a.nbytes for a in args if isinstance(a, torch.Tensor) and a.dim() == 1)
    assert launch.report.counters.load_sectors == (matrices + 2 * vectors) // SECTOR


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_asks_for_no_more_sectors_than_it_uses(interleaved: bool) -> None:
    """Vectors of neighbouring threads are neighbours, for pairs side by side too."""
    query, key = (randn((1, 4, heads, 128), torch.bfloat16, "cpu") for heads in (8, 2))
    angles = randn((4, 128), torch.bfloat16, "cpu")
    (launch,) = launches("rope", (query, key, angles, angles, None, interleaved), run=True)
    assert launch.report is not None
    counters = launch.report.counters
    assert counters.load_sectors == counters.least_load_sectors
    assert counters.store_sectors == counters.least_store_sectors


def test_grayscale_asks_for_no_more_sectors_than_it_uses() -> None:
    """Three vectors of a thread are 48 bytes; they come in the order of memory and change threads afterwards."""
    image = torch.randint(0, 256, (16, 1024, 3), dtype=torch.uint8)
    (launch,) = launches("grayscale", (image,), run=True)
    assert launch.report is not None
    counters = launch.report.counters
    assert counters.load_sectors == image.numel() // SECTOR
    assert counters.store_sectors == counters.least_store_sectors
    assert counters.wavefronts == counters.least_wavefronts


def test_top_k_counts_without_fences() -> None:
    """Its counter belongs to one block, whose barriers order what has to be ordered."""
    (launch,) = launches("top_k", (randn((2, 8192), torch.float32, "cpu"), 50))
    assert set(re.findall(r"\batom\S*", launch.ptx)) == {"atom.relaxed.cta.shared.add.u32"}
    assert not re.findall(r"\bfence\S*", launch.ptx)
