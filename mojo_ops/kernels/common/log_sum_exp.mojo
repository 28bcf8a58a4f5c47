"""Maximum and sum of exponentials of a row in one pass (Milakov and Gimelshein 2018,
https://arxiv.org/abs/1805.02867). Every lane keeps a running maximum and rescales its
sum when the maximum grows, at most once a block of vectors.
"""

from std.sys import size_of

from .exp import exp
from .larger import larger
from .vectors import CACHE_LINE, F32, LANES, Ptr, put, vector_loop

comptime LOWEST = Float32.MIN_FINITE
comptime INFINITY = Float32.MAX

# What a block has no registers for goes through memory: 16 of them with AVX2, 32 with AVX-512.
comptime BLOCK_VECTORS = 8 if LANES == 16 else 4
comptime SUM_LENGTH = 256  # blocks, after which sums begin anew: 4008 of them lost 1.3e-6

# A few long rows are cut into parts, so that all threads have work. The number of
# parts depends on the sizes only, so the result does not depend on the threads.
comptime ROW_PARTS = 16  # of all rows together
comptime ROW_PART = 1 << 14  # elements, at least


@always_inline
def parts_of_row(rows: Int, n: Int) -> Int:
    if rows < 1 or 2 * rows > ROW_PARTS or n < 2 * ROW_PART:
        return 1
    return min(ROW_PARTS // rows, n // ROW_PART)


@always_inline
def part_of_row(i: Int, parts: Int, n: Int) -> Int:
    """Where part i of a row of n elements begins, and where the one before it ends."""
    return n if i == parts else i * n // parts // (4 * LANES) * (4 * LANES)


struct RowSums(ImplicitlyCopyable, Movable):
    """The maximum, at least the lowest finite number; the sum of e^(v - max), which is 0 where all
    values are -inf and NaN where a value is NaN or +inf; optionally the sum of the values themselves.
    """

    var max: Float32
    var sum: Float32
    var total: Float32

    @always_inline
    def __init__(out self):
        self.max = LOWEST
        self.sum = 0
        self.total = 0

    @always_inline
    def __init__(out self, max: Float32, sum: Float32, total: Float32):
        self.max = max
        self.sum = sum
        self.total = total

    @always_inline
    def merge(mut self, other: RowSums):
        var top = larger(self.max, other.max)
        self.sum = self.sum * exp(self.max - top) + other.sum * exp(other.max - top)
        self.total += other.total
        self.max = top


@always_inline
def part_of_vector[
    Value: def[width: Int](Int) -> SIMD[F32, width]
](value: Value, i: Int, last: Int, rest: Float32) -> SIMD[F32, LANES]:
    """The elements from i on, fewer than a vector, with `rest` behind them."""
    var part = SIMD[F32, LANES](rest)
    for j in range(last - i):
        part[j] = value[1](i + j)[0]
    return part


@always_inline
def max_and_sum[
    total: Bool, Value: def[width: Int](Int) -> SIMD[F32, width]
](value: Value, first: Int, last: Int) -> RowSums:
    """Of `value(i)`, a vector of the row, for its elements first..last."""
    comptime BLOCK = BLOCK_VECTORS * LANES
    comptime Vector = SIMD[F32, LANES]
    var max = Vector(LOWEST)
    var sum = Vector(0)
    var sum_of_values = Vector(0)
    var max_before = max  # of the sums that have ended
    var sum_before = Vector(0)

    # `addends` are the values with 0 behind the row instead of -inf.
    @always_inline
    def add[
        vectors: Int
    ](v: Array[Vector, vectors], addends: Array[Vector, vectors]) {mut max, mut sum, mut sum_of_values}:
        var top = v[0]
        comptime for k in range(1, vectors):
            top = larger(v[k], top)
        top = larger(top, max)  # a NaN is passed over here and enters the sum
        var e = Array[Vector, vectors](fill=0)
        comptime for k in range(vectors):
            e[k] = exp(v[k] - top)
        sum = sum.fma(exp(max - top), tree_sum(e))
        max = top
        comptime if total:
            sum_of_values += tree_sum(addends)

    var i = first
    while i + BLOCK <= last:
        var end = min(last, i + SUM_LENGTH * BLOCK)
        while i + BLOCK <= end:
            var v = Array[Vector, BLOCK_VECTORS](fill=0)
            comptime for k in range(BLOCK_VECTORS):
                v[k] = value[LANES](i + k * LANES)
            add[BLOCK_VECTORS](v, v)
            i += BLOCK
        sum_before = sum_before.fma(exp(max_before - max), sum)
        max_before = max
        sum = 0
    while i + LANES <= last:
        var v = Array[Vector, 1](fill=value[LANES](i))
        add[1](v, v)
        i += LANES
    if i < last:
        var with_infinity = Array[Vector, 1](fill=part_of_vector(value, i, last, -INFINITY))
        var with_zero = Array[Vector, 1](fill=0)
        comptime if total:
            with_zero[0] = part_of_vector(value, i, last, 0)
        add[1](with_infinity, with_zero)
    var top = max.reduce_max()
    sum = sum_before.fma(exp(max_before - max), sum)
    return RowSums(top, (sum * exp(max - top)).reduce_add(), sum_of_values.reduce_add())


@always_inline
def tree_sum[vectors: Int, //](v: Array[SIMD[F32, LANES], vectors]) -> SIMD[F32, LANES]:
    """Pairwise sum: fewest roundings, and no long chain of dependent additions."""
    comptime if vectors == 8:
        return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    elif vectors == 4:
        return (v[0] + v[2]) + (v[1] + v[3])
    else:
        comptime assert vectors == 1
        return v[0]


@always_inline
def write_row[
    dtype: DType, //, Value: def[width: Int](Int) -> SIMD[F32, width]
](y: Ptr[dtype], value: Value, first: Int, last: Int, stream: Bool):
    """Writes `value(i)` to the elements first..last, past the cache if `stream`. The elements
    before the first boundary of a cache line are stored as usual."""

    @always_inline
    def body[width: Int, stream: Bool](i: Int) {var y, imm value}:
        put[width, stream=stream](y, i, value[width](i))

    var i = first
    if stream:
        var past_line = Int(y.unsafe_offset(first)) % CACHE_LINE
        i = min(last, first + (CACHE_LINE - past_line) % CACHE_LINE // size_of[dtype]())
        vector_loop(body, first, i)
    vector_loop(body, i, last, stream)
