"""Sums over the rows of a matrix, for the gradients of a norm's weight and bias.

The rows are divided into parts, whose number depends only on the sizes. Each part has its own float32 sums,
which are added in a fixed order, so the result is the same in every run and for any number of threads.
"""

from std.ffi import external_call
from std.sys import size_of

from .parallel import split
from .torch_call import Call
from .torch_message import Message
from .vectors import CACHE_LINE, F32, LANES, Ptr, put, up

comptime Addresses[count: Int] = Array[Int, count]

comptime PART_ROWS = 16  # smallest number of rows in a part, which writes and reads its sums once
comptime MANY_PARTS = 128  # enough for all threads: with more rows, parts get longer,
comptime MOST_ROWS = 512  # but no longer than this, which bounds the rounding error
# Rows for which a sum is loaded and stored once; four rows 4096 bytes apart would evict each other from
# the L1 cache.
comptime BLOCK_ROWS = 2
comptime LINE = CACHE_LINE // 4  # floats


@always_inline
def padded(d: Int) -> Int:
    """Distance between the sums of a part, a multiple of the cache line."""
    return (d + LINE - 1) // LINE * LINE


@always_inline
def along_columns[
    Body: def[width: Int, stream: Bool](Int) -> None, //, step: Int
](body: Body, first: Int, last: Int, stream: Bool = False):
    """Loops over columns in steps of `step`, then in vectors, then one by one."""
    var i = first
    if stream:
        while i + step <= last:
            body[step, True](i)
            i += step
    while i + step <= last:
        body[step, False](i)
        i += step
    while i + LANES <= last:
        body[LANES, False](i)
        i += LANES
    while i < last:
        body[1, False](i)
        i += 1


@always_inline
def along_lines[
    Body: def[width: Int, stream: Bool](Int) -> None, //, dtype: DType
](body: Body, d: Int, stream: Bool):
    """Loops over columns in steps of a cache line of `dtype`.

    Several rows streamed side by side must each be written a whole line at a time
    (cpp_ext/docs/measurements.md, “Stores past the cache”)."""
    along_columns[CACHE_LINE // size_of[dtype]()](body, 0, d, stream)


@always_inline
def sum_of_rows[width: Int, rows: Int, //](v: Array[SIMD[F32, width], rows]) -> SIMD[F32, width]:
    """Adds rows in pairs, because adding them one by one would round twice as often."""
    comptime if rows == BLOCK_ROWS:
        return v[0] + v[1]
    else:
        comptime assert rows == 1
        return v[0]


@always_inline
def sum_over_rows[
    dtype: DType, count: Int, Rows: def[rows: Int](Int, Ptr[F32]) -> None
](do_rows: Rows, gradients: Addresses[count], rows: Int, d: Int):
    """`do_rows[n](row, sums)` processes n rows (BLOCK_ROWS or 1) starting at `row` and adds their terms to
    `count` arrays of sums, which are `padded(d)` elements apart.

    `gradients`: addresses where the sums over all rows are written.
    """
    if d == 0:
        return
    var parts = max(1, min(rows // PART_ROWS, MANY_PARTS), (rows + MOST_ROWS - 1) // MOST_ROWS)
    var stride = padded(d)
    # From the C library, since Mojo's allocator needs a run-time library.
    var address = external_call["aligned_alloc", Int](CACHE_LINE, parts * count * stride * 4)
    var all = Ptr[F32](unsafe_from_address=address)

    def some_parts(first: Int, last: Int) {imm do_rows, var all, var stride, var parts, var rows}:
        for part in range(first, last):
            var sums = all.unsafe_offset(part * count * stride)
            for i in range(0, count * stride, LINE):
                sums.unsafe_store(i, SIMD[F32, LINE](0))
            var row = part * rows // parts
            var end = (part + 1) * rows // parts
            while row + BLOCK_ROWS <= end:
                do_rows[BLOCK_ROWS](row, sums)
                row += BLOCK_ROWS
            while row < end:
                do_rows[1](row, sums)
                row += 1

    split(some_parts, parts, rows * d)

    def some_columns(first: Int, last: Int) {imm gradients, var all, var stride, var parts, var d}:
        comptime for s in range(count):
            var out = Ptr[dtype](unsafe_from_address=gradients[s])

            @always_inline
            def body[width: Int, stream: Bool](i: Int) {var}:
                var total = SIMD[F32, width](0)
                var part = 0
                while part < parts:
                    var end = min(part + MANY_PARTS, parts)
                    var sum = Array[SIMD[F32, width], 4](fill=0)
                    while part + 4 <= end:
                        comptime for k in range(4):
                            sum[k] += up[width](all, ((part + k) * count + s) * stride + i)
                        part += 4
                    while part < end:
                        sum[0] += up[width](all, (part * count + s) * stride + i)
                        part += 1
                    total += (sum[0] + sum[1]) + (sum[2] + sum[3])
                put[width](out, i, total)

            along_columns[LANES](body, first * LINE, min(last * LINE, d))

    split(some_columns, stride // LINE, parts * count * d)
    external_call["free", NoneType](address)


def check_gradient(call: Call) raises Message:
    """Raises unless the arguments are grad, x and weight of a norm."""
    call.require_like(1, 0)
    call.require_like(2, 0)
    var x = call.input(1)
    call.require_dimension(1)
    call.require_sizes(2, x.sizes_from(x.rank - 1), 1, "the last dimension of x")
    call.require_sizes(0, x.sizes_from(0), x.rank, "the shape of x")
