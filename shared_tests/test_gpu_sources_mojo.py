"""Inspects Mojo's compiled GPU kernels for rows: they access whole vectors and sectors, and spill no registers.

The kernels come from emulated or recorded launches, so no GPU is needed.
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
LONG_ROW = 16392  # a multiple of the vector width in every dtype, too long for the registers of a block

Arguments = Callable[[int, int, torch.dtype], tuple[Any, ...]]


def rows(count: int) -> Arguments:
    """Arguments of a norm or its gradient: `count` matrices, and a weight with a value per column."""

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
    """Tests the kernel over the rows, including the sums that a gradient keeps in memory."""
    ptx = launches(op, ROW_OPS[op](2, LONG_ROW, dtype))[0].ptx
    for instruction in ("ld", "st"):
        assert set(global_accesses(ptx, instruction)) == {"v4.b32"}, instruction


@pytest.mark.parametrize("op", ROW_OPS)
def test_kernels_over_rows_do_not_spill(op: str) -> None:
    """Tests bfloat16, which needs most registers, for rows that fit in registers, longer rows and unaligned rows."""
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
    """Neighbouring threads access adjacent vectors, also for interleaved pairs."""
    query, key = (randn((1, 4, heads, 128), torch.bfloat16, "cpu") for heads in (8, 2))
    angles = randn((4, 128), torch.bfloat16, "cpu")
    (launch,) = launches("rope", (query, key, angles, angles, None, interleaved), run=True)
    assert launch.report is not None
    counters = launch.report.counters
    assert counters.load_sectors == counters.least_load_sectors
    assert counters.store_sectors == counters.least_store_sectors


def test_grayscale_asks_for_no_more_sectors_than_it_uses() -> None:
    """Threads load vectors in memory order and then exchange them, so that each gets three vectors of 48 bytes."""
    image = torch.randint(0, 256, (16, 1024, 3), dtype=torch.uint8)
    (launch,) = launches("grayscale", (image,), run=True)
    assert launch.report is not None
    counters = launch.report.counters
    assert counters.load_sectors == image.numel() // SECTOR
    assert counters.store_sectors == counters.least_store_sectors
    assert counters.wavefronts == counters.least_wavefronts


def test_top_k_counts_without_fences() -> None:
    """The counter belongs to one block, whose barriers are enough to order accesses."""
    (launch,) = launches("top_k", (randn((2, 8192), torch.float32, "cpu"), 50))
    assert set(re.findall(r"\batom\S*", launch.ptx)) == {"atom.relaxed.cta.shared.add.u32"}
    assert not re.findall(r"\bfence\S*", launch.ptx)
