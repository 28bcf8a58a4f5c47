"""Mojo's attention compiles to the intended GPU instructions. Its values are tested by emulation."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parent.parent / "mojo_ops"

# The addresses differ, because the compiler rejects arguments that may alias.
SOURCE = """
from kernels.common.gpu_attention import attention_gpu
from kernels.common.attention_tiles import Sizes
from max.gpu.host import DeviceContext
from std.memory import Pointer

comptime Ptr[dtype: DType] = Pointer[Scalar[dtype], MutAnyOrigin]


def at[dtype: DType](address: Int) -> Ptr[dtype]:
    return Ptr[dtype](unsafe_from_address=address)


def main() raises:
    comptime D = DType.bfloat16
    var sizes = Sizes(
        batch=1, queries=1, keys=1, heads=1, key_heads=1, dim=8, lengths=0, scale=Float32(1), causal=True
    )
    with DeviceContext() as ctx:
        attention_gpu(at[D](16), at[D](32), at[D](48), at[D](64), at[DType.int64](80), False, sizes, ctx)
"""


@pytest.mark.skipif(shutil.which("mojo") is None, reason="mojo is not on PATH")
def test_prefill_of_16_bits_uses_tensor_cores(tmp_path: Path) -> None:
    """The kernels use mma.sync with operands from ldmatrix, and cp.async and stores of 16 bytes.

    There is one such kernel for each of the four padded head dimensions. The grids of all kernels are one-dimensional.
    """
    source = tmp_path / "attention.mojo"
    source.write_text(SOURCE)
    command = ["mojo", "build", "--emit", "asm", "--target-accelerator", "sm_80", "-I", str(KERNELS)]
    subprocess.run([*command, "-o", str(tmp_path / "kernels.s"), str(source)], timeout=300, check=True)
    texts = [path.read_text() for path in tmp_path.glob("*.ptx")]
    matrix = [text for text in texts if "mma.sync" in text]
    assert len(matrix) == 4
    for text in matrix:
        assert "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" in text
        assert "ldmatrix.sync.aligned.m8n8.x4.shared.b16" in text
        assert "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16" in text
        assert set(re.findall(r"cp\.async\.c[ag]\.shared\.global[^;]*, (\d+), %r\d+;", text)) == {"16"}
        assert set(re.findall(r"st\.global\S*", text)) == {"st.global.v4.b32"}
    for text in texts:
        assert not re.search(r"%n?ctaid\.[yz]", text)
