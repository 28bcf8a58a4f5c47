"""Layers y = f(x @ w, bias) for a few rows of x and a weight [inputs, outputs], as one pass over the
weight at the speed of memory. PyTorch's products (MKL, oneDNN) stay below half of it for one row."""

from std.math import ceildiv
from std.memory import stack_allocation

from .common import F32, LANES, Ptr, put, split, up, vector_loop

# GPT-2 medium's MLP on a Zen 5, ms, here and by PyTorch's products: float32 1 row 0.72 and 1.53, 4 rows 0.97 and
# 2.97, 8 rows 1.35 and 3.12; bfloat16 1 row 0.48 and 1.01, 4 rows 0.58 and 1.02, 8 rows 1.08 and 1.11.
comptime FEW_ROWS = 8
comptime FEW_ROWS_OF_BFLOAT16 = 4
comptime DEEP = 8  # rows of the weight side by side: as many streams as prefetchers follow
comptime TERMS = 512  # of a sum, before it begins anew: long ones lose digits
comptime UNIT = 64  # columns: a cache line and more of every dtype


@always_inline
def columns_of(rows: Int) -> Int:
    """Columns whose sums stay in the first-level cache."""
    return 1024 if rows > 4 else 2048


@always_inline
def add_terms[
    dtype: DType, //, M: Int, D: Int
](sums: Ptr[F32], x: Ptr[dtype], inputs: Int, w: Ptr[dtype], outputs: Int, n: Int):
    """Adds the terms of `D` rows of the weight to the sums of n columns."""
    comptime COLUMNS = columns_of(M)
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
            put[width](sums, m * COLUMNS + j, up[width](sums, m * COLUMNS + j) + sum)

    var j = 0
    while j + 2 * LANES <= n:
        body[LANES](j)
        body[LANES](j + LANES)
        j += 2 * LANES
    while j + LANES <= n:
        body[LANES](j)
        j += LANES
    while j < n:
        body[1](j)
        j += 1


@always_inline
def add_sums(totals: Ptr[F32], sums: Ptr[F32], n: Int):
    """Adds sums to totals and begins them anew."""

    @always_inline
    def body[width: Int, stream: Bool](j: Int) {imm}:
        put[width](totals, j, up[width](totals, j) + up[width](sums, j))
        put[width](sums, j, SIMD[F32, width](0))

    vector_loop(body, 0, n)


def few_rows[
    dtype: DType, Finish: def[width: Int](Ptr[F32], Int, Int) -> None, //, M: Int
](finish: Finish, x: Ptr[dtype], inputs: Int, w: Ptr[dtype], outputs: Int):
    """`finish[width](sums, m, column)` takes the sums of row m from that column on."""

    comptime COLUMNS = columns_of(M)

    def chunk(begin: Int, end: Int) {imm}:
        var memory = stack_allocation[2 * M * COLUMNS, F32, alignment=64]()
        var sums = memory.unsafe_origin_cast[MutAnyOrigin]()
        var totals = sums.unsafe_offset(M * COLUMNS)
        var last = min(end * UNIT, outputs)
        for first in range(begin * UNIT, last, COLUMNS):
            var n = min(COLUMNS, last - first)
            comptime for m in range(M):
                for j in range(n):
                    put[1](sums, m * COLUMNS + j, 0)
                    put[1](totals, m * COLUMNS + j, 0)
            var k = 0
            while k < inputs:
                var stop = min(inputs, k + TERMS)
                while k + DEEP <= stop:
                    add_terms[M, DEEP](
                        sums, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                    )
                    k += DEEP
                while k < stop:
                    add_terms[M, 1](
                        sums, x.unsafe_offset(k), inputs, w.unsafe_offset(k * outputs + first), outputs, n
                    )
                    k += 1
                comptime for m in range(M):
                    add_sums(totals.unsafe_offset(m * COLUMNS), sums.unsafe_offset(m * COLUMNS), n)
            comptime for m in range(M):
                var row = totals.unsafe_offset(m * COLUMNS)
                var j = 0
                while j + LANES <= n:
                    finish[LANES](row.unsafe_offset(j), m, first + j)
                    j += LANES
                while j < n:
                    finish[1](row.unsafe_offset(j), m, first + j)
                    j += 1

    split(chunk, ceildiv(outputs, UNIT), inputs * outputs)
