"""The CUDA attention kernels that multiply on tensor cores, read from their PTX: scores stay in registers."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from shared_tests.emulator import cuda_build, toolkit

COMPILED = [("cpp", "attention")]


class Kernel(NamedTuple):
    """A tensor-core kernel: head dimension, keys of a tile, threads of a block, and its PTX."""

    dim: int
    keys: int
    threads: int
    text: str

    def count(self, pattern: str) -> int:
        return len(re.findall(pattern, self.text))


@pytest.fixture(scope="module")
def kernels(compiled: None) -> list[Kernel]:
    """The tensor-core kernels in the PTX that is emulated."""
    try:
        ptx = (cuda_build.build("attention") / cuda_build.KERNELS).read_text()
    except toolkit.ToolkitError as missing:
        pytest.skip(str(missing))
    entries = re.split(r"(?=\.entry )", ptx)[1:]
    heads = [re.match(r"\.entry \w*mma_kernel\w*MmaShapeILi(\d+)ELi(\d+)E", entry) for entry in entries]
    return [
        Kernel(int(head[1]), int(head[2]), int(re.search(r"\.maxntid (\d+)", entry)[1]), entry)  # type: ignore[index]
        for head, entry in zip(heads, entries, strict=True)
        if head is not None
    ]


def test_every_head_dimension_has_kernels_for_both_dtypes(kernels: list[Kernel]) -> None:
    dims = sorted(kernel.dim for kernel in kernels if kernel.keys == 64)
    assert dims == sorted(2 * [64, 96, 128, 192, 256])


def test_products_are_tensor_core_instructions_of_the_whole_tile(kernels: list[Kernel]) -> None:
    """As many as the two products of a tile take: 16 x 8 x 16 multiplications each, of the rows of one warp."""
    for kernel in kernels:
        products = kernel.count(r"mma\.sync\.aligned\.m16n8k16")
        fragments, remainder = divmod(products, 2 * (kernel.keys // 8) * (kernel.dim // 16))
        assert remainder == 0
        assert fragments == (2 if kernel.threads == 128 else 1)
        # Each fragment of keys and values is loaded once for all rows of the warp.
        tiles = (kernel.keys // 16) * (kernel.dim // 16)
        assert kernel.count(r"ldmatrix\S*\.trans") == tiles
        assert kernel.count(r"ldmatrix") == 2 * tiles + fragments * (kernel.dim // 16)
        assert "wmma" not in kernel.text


def test_scores_do_not_go_through_memory(kernels: list[Kernel]) -> None:
    """Nothing in float32 is stored to or loaded from shared or local memory."""
    for kernel in kernels:
        assert kernel.count(r"(?:ld|st)\.(?:shared|local)(?:\.v\d)?\.f32") == 0
        assert ".local" not in kernel.text


def test_tiles_arrive_by_asynchronous_copies_and_leave_16_bytes_at_a_time(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        rows = kernel.threads // 32 * 16 * (2 if kernel.threads == 128 else 1)
        # The first keys, the next ones, values and queries; each thread copies 8 elements at a time.
        copies = (3 * kernel.keys + rows) * kernel.dim // 8 // kernel.threads
        assert kernel.count(r"cp\.async\.cg\.shared\.global") == copies
        assert kernel.count(r"st\.global\.v4\.u32|st\.global\.v4\.b32") > 0
