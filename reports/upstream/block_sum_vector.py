"""`block.sum` of a SIMD vector also adds up the vector's elements.

What: compiles a GPU kernel to PTX for sm_90 whose 64 threads call `block.sum` with a vector of two elements, and finds
the registers that are stored. Needs no GPU; it has not been run on one.
Expected: as documented, one sum per element of the vector, in two registers. `block.sum` of (1, 100) gives (64, 6400).
Seen: each thread adds its two elements before the first shuffle and stores one register twice: (6464, 6464).
Whose: Modular (`warp.sum` of a vector is documented to return one scalar; `block.sum` is not). Takes about 10 s.
"""

import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROGRAM = """
from max.gpu import thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives import block
from std.memory import Pointer


def kernel(y: Pointer[Float32, MutAnyOrigin], x: Pointer[Float32, MutAnyOrigin]):
    var i = 2 * Int(thread_idx.x)
    y.unsafe_store(i, block.sum[block_size=64](x.unsafe_load[width=2](i)))


def main() raises:
    with DeviceContext() as ctx:
        var x = ctx.enqueue_create_buffer[DType.float32](128)
        var y = ctx.enqueue_create_buffer[DType.float32](128)
        with x.map_to_host() as values:
            for i in range(128):
                values[i] = Float32(100 if i % 2 else 1)
        ctx.enqueue_function[kernel](
            y.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin](),
            x.unsafe_ptr().unsafe_origin_cast[MutAnyOrigin](),
            grid_dim=1,
            block_dim=64,
        )
        with y.map_to_host() as values:
            print("sums of 64 threads with (1, 100):", values[0], values[1])
"""


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}, {platform.machine()}")
    mojo = str(Path(sys.executable).with_name("mojo"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "sum.mojo"
        source.write_text(PROGRAM)
        options = ["--emit", "asm", "--target-accelerator", "sm_90", "-o", str(Path(folder) / "sum.s")]
        built = subprocess.run([mojo, "build", *options, str(source)], capture_output=True, text=True)
        kernels = list(Path(folder).glob("*.ptx"))
        if built.returncode or not kernels:
            print(built.stderr, file=sys.stderr)
            return 2
        ptx = kernels[0].read_text()
    before_shuffle = ptx[: ptx.index("shfl.sync")]
    loaded = re.findall(r"ld\.global\S*\s+(%r\d+)", before_shuffle)
    added = re.findall(r"add\.f32\s+%r\d+, (%r\d+), (%r\d+);", before_shuffle)
    stored = re.findall(r"st\.global\.b32\s+\S+, (%r\d+);", ptx)
    print(f"loaded into {', '.join(loaded)}; added before the first shuffle: {added}; stored from {', '.join(stored)}")
    return 0 if len(stored) == 2 and len(set(stored)) == 1 else 3


if __name__ == "__main__":
    sys.exit(main())
