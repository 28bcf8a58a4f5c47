"""Shared by the ops that divide a row by the root of its mean square."""

from std.sys import align_of

from .vectors import F32, LANES, Ptr, UNROLLED, put, up


@always_inline
def sum_of_squares[Row: def[width: Int](Int) -> SIMD[F32, width]](row: Row, d: Int) -> Float32:
    """`row(i)` gives the elements from i on; it is asked for each of them once."""
    var wide = SIMD[F32, UNROLLED](0)
    var i = 0
    while i + UNROLLED <= d:
        var v = row[UNROLLED](i)
        wide = v.fma(v, wide)
        i += UNROLLED
    var narrow = SIMD[F32, LANES](0)
    while i + LANES <= d:
        var v = row[LANES](i)
        narrow = v.fma(v, narrow)
        i += LANES
    var total = wide.reduce_add() + narrow.reduce_add()
    while i < d:
        var v = row[1](i)[0]
        total += v * v
        i += 1
    return total


@always_inline
def scale_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], x: Ptr[dtype], w: Ptr[dtype], scale: Float32, i: Int):
    var v = up[width, alignment](x, i) * scale * up[width, alignment](w, i)
    put[width, alignment, stream](y, i, v)
