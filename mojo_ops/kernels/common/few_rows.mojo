"""Layers y = f(x @ w, bias) for a few rows of x and a weight [inputs, outputs], as one pass over the
weight at the speed of memory. PyTorch's products (MKL, oneDNN) reach less than half of it for one row."""

from std.math import ceildiv
from std.sys import size_of

from .parallel import split
from .stream import fetch
from .vectors import CACHE_LINE, F32, LANES, Ptr, put, up

# Largest number of rows for which this is faster than PyTorch's product (docs/measurements.md, “Few rows of a
# product”).
comptime FEW_ROWS = 8
comptime FEW_ROWS_OF_BFLOAT16 = 4
comptime DEEP = 8  # rows of the weight that are read in parallel, as many as the prefetchers can follow
comptime TERMS = 128  # terms of one partial sum: longer sums lose digits


def pieces_of(inputs: Int) -> Int:
    """Number of partial sums of each output."""
    return max(1, ceildiv(inputs, TERMS))


@always_inline
def add_terms[
    dtype: DType, //, M: Int, D: Int
](sums: Ptr[F32], x: Ptr[dtype], inputs: Int, w: Ptr[dtype], outputs: Int, n: Int):
    """Adds the terms of `D` rows of the weight to the sums of n columns, and prefetches the next `D` rows.

    The hardware prefetcher stops at a page boundary (cpp_ext/docs/measurements.md, “Prefetching weights”).
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
    """Partial sums of M rows, [pieces_of(inputs), M, outputs].

    Threads divide the weight by rows, so each reads one contiguous piece; strips of columns reach two thirds of the
    bandwidth."""
    comptime COLUMNS = 1024 if M > 4 else 2048  # columns whose sums stay in the L1 cache
    var blocks = ceildiv(outputs, COLUMNS)

    def chunk(begin: Int, end: Int) {imm}:
        for i in range(begin, end):
            var piece = i // blocks
            var first = i % blocks * COLUMNS
            var n = min(COLUMNS, outputs - first)
            var piece_sums = sums.unsafe_offset(piece * M * outputs + first)
            comptime for m in range(M):
                for j in range(n):
                    put[1](piece_sums, m * outputs + j, 0)
            var k = piece * TERMS
            var last = min(inputs, k + TERMS)
            while k + DEEP <= last:
                add_terms[M, DEEP](
                    piece_sums, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                )
                k += DEEP
            while k < last:
                add_terms[M, 1](
                    piece_sums, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                )
                k += 1

    split(chunk, pieces_of(inputs) * blocks, inputs * outputs)
