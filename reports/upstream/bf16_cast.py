"""The cast from float32 to bfloat16 is scalar on x86 without AVX512-BF16.

What: times a loop over 2^22 elements in vectors of 16, once with `.cast[DType.bfloat16]()` and once with the same
rounding in integer arithmetic, built for x86-64-v3, and counts the calls of `__truncsfbf2` in the machine code.
Expected: vector code for both, because rounding to nearest even is an add, a shift and a compare.
Seen: the cast calls `__truncsfbf2` once per element.
Whose: Modular. Known: modular/modular#6495 (open). Takes about 20 s.
"""

import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROGRAM = """
from std.memory import Pointer, bitcast, alloc
from std.time import perf_counter_ns

comptime N = 1 << 22
comptime W = 16


@no_inline
def with_cast(y: Pointer[BFloat16, MutAnyOrigin], x: Pointer[Float32, MutAnyOrigin]):
    for i in range(0, N, W):
        y.unsafe_store(i, x.unsafe_load[width=W](i).cast[DType.bfloat16]())


@no_inline
def with_integers(y: Pointer[BFloat16, MutAnyOrigin], x: Pointer[Float32, MutAnyOrigin]):
    for i in range(0, N, W):
        var v = x.unsafe_load[width=W](i)
        var u = bitcast[DType.uint32, W](v)
        var r = (u + 0x7FFF + ((u >> 16) & 1)) >> 16
        r = v.ne(v).select(SIMD[DType.uint32, W](0x7FC0), r)
        y.unsafe_store(i, bitcast[DType.bfloat16, W](r.cast[DType.uint16]()))


def main():
    var xs = List[Float32](length=N, fill=Float32(1.2345678))
    var ys = List[BFloat16](length=N, fill=BFloat16(0))
    var x = rebind[Pointer[Float32, MutAnyOrigin]](xs.unsafe_ptr())
    var y = rebind[Pointer[BFloat16, MutAnyOrigin]](ys.unsafe_ptr())
    var best_cast = Float64(1e30)
    var best_integers = Float64(1e30)
    for _ in range(9):
        var start = perf_counter_ns()
        with_cast(y, x)
        var middle = perf_counter_ns()
        with_integers(y, x)
        var end = perf_counter_ns()
        best_cast = min(best_cast, Float64(middle - start))
        best_integers = min(best_integers, Float64(end - middle))
    print(best_cast / 1e6, best_integers / 1e6, ys[N - 1], xs[N - 1])
"""


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}, {platform.machine()}")
    mojo = str(Path(sys.executable).with_name("mojo"))
    with tempfile.TemporaryDirectory() as name:
        source, binary, assembly = (Path(name) / file for file in ("cast.mojo", "cast", "cast.s"))
        source.write_text(PROGRAM)
        for command in (["-o", str(binary)], ["--emit", "asm", "-o", str(assembly)]):
            built = subprocess.run(
                [mojo, "build", "--target-cpu", "x86-64-v3", *command, str(source)], capture_output=True, text=True
            )
            if built.returncode:
                print(built.stderr, file=sys.stderr)
                return 2
        calls = len(re.findall(r"call.*__truncsfbf2", assembly.read_text()))
        output = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
    cast, integers = map(float, output.split()[:2])
    print(f"cast {cast:.2f} ms, integer arithmetic {integers:.2f} ms: {cast / integers:.1f} times as long")
    print(f"{calls} calls of __truncsfbf2 in the code of 2 loops over vectors of 16")
    return 0 if calls else 3


if __name__ == "__main__":
    sys.exit(main())
