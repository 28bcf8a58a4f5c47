"""Layers y = f(x @ w, bias) for a few rows of x and a weight [inputs, outputs], as one pass over the
weight at the speed of memory. PyTorch's products (MKL, oneDNN) stay below half of it for one row."""

from std.math import ceildiv
from std.sys import size_of

from .parallel import split
from .stream import fetch
from .vectors import CACHE_LINE, F32, LANES, Ptr, put, up

# GPT-2 medium's MLP on a Zen 5, ms, here and by PyTorch's products: float32 1 row 0.72 and 1.53, 4 rows 0.97 and
# 2.97, 8 rows 1.35 and 3.12; bfloat16 1 row 0.48 and 1.01, 4 rows 0.58 and 1.02, 8 rows 1.08 and 1.11.
comptime FEW_ROWS = 8
comptime FEW_ROWS_OF_BFLOAT16 = 4
comptime DEEP = 8  # rows of the weight side by side: as many streams as prefetchers follow
comptime TERMS = 128  # of a sum, a piece: long sums lose digits


def pieces_of(inputs: Int) -> Int:
    """Sums that each output is cut into."""
    return max(1, ceildiv(inputs, TERMS))


@always_inline
def add_terms[
    dtype: DType, //, M: Int, D: Int
](sums: Ptr[F32], x: Ptr[dtype], inputs: Int, w: Ptr[dtype], outputs: Int, n: Int):
    """Adds the terms of `D` rows of the weight to the sums of n columns, and asks for the `D` rows below them.

    A row of columns is soon at its end, and what the CPU fetches ahead by itself stops at a page's. Two cores of a Zen 4,
    in C++, the weights of 12 layers in turn, GB/s without, into the first cache and into the second: bfloat16 768x3072 24,
    25 and 36, 1024x4096 26, 27 and 32; float32 768x3072 31, 30 and 35.
    """
    var factors = Array[Float32, M * D](fill=0)
    comptime for m in range(M):
        comptime for d in range(D):
            factors[m * D + d] = up[1](x, m * inputs + d)[0]

    @always_inline
    def body[width: Int](j: Int) {imm}:
        var weights = Array[SIMD[F32, width], D](fill=0)
        comptime for d in range(D):
            weights[d] = up[width](w, d * outputs + j)
        comptime for m in range(M):
            var sum = weights[0] * factors[m * D]
            comptime for d in range(1, D):
                sum = weights[d].fma(SIMD[F32, width](factors[m * D + d]), sum)
            put[width](sums, m * outputs + j, up[width](sums, m * outputs + j) + sum)

    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime STEP = max(4 * LANES, LINE)
    var j = 0
    while j + STEP <= n:
        comptime for d in range(D):
            comptime for line in range(0, STEP, LINE):
                fetch(w.unsafe_offset((D + d) * outputs + j + line))
        comptime for part in range(STEP // LANES):
            body[LANES](j + part * LANES)
        j += STEP
    while j + LANES <= n:
        body[LANES](j)
        j += LANES
    while j < n:
        body[1](j)
        j += 1


def few_rows[
    dtype: DType, //, M: Int
](sums: Ptr[F32], x: Ptr[dtype], inputs: Int, w: Ptr[dtype], outputs: Int):
    """Sums of M rows, [pieces_of(inputs), M, outputs], which are still to be added up.

    Threads share the weight out by rows, each its own piece of memory. By columns the weight of 4096 rows of 1024 was
    read in strips of 2 KiB by two threads, at 10 GB/s of 15."""
    comptime COLUMNS = 1024 if M > 4 else 2048  # whose sums stay in the first-level cache
    var blocks = ceildiv(outputs, COLUMNS)

    def chunk(begin: Int, end: Int) {imm}:
        for i in range(begin, end):
            var piece = i // blocks
            var first = i % blocks * COLUMNS
            var n = min(COLUMNS, outputs - first)
            var own = sums.unsafe_offset(piece * M * outputs + first)
            comptime for m in range(M):
                for j in range(n):
                    put[1](own, m * outputs + j, 0)
            var k = piece * TERMS
            var last = min(inputs, k + TERMS)
            while k + DEEP <= last:
                add_terms[M, DEEP](
                    own, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                )
                k += DEEP
            while k < last:
                add_terms[M, 1](
                    own, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                )
                k += 1

    split(chunk, pieces_of(inputs) * blocks, inputs * outputs)
