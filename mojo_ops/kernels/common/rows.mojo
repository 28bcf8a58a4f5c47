"""Sums over a row, and its mean and variance in one pass."""

from std.math import sqrt
from std.sys import is_gpu

from .stream import fetch_along
from .vectors import F32, LANES, Ptr, UNROLLED, up

comptime Sums[width: Int, count: Int] = Array[SIMD[F32, width], count]

# Terms per lane after which a sum restarts, so that the rounding error does not
# grow with the length of the row.
comptime STEPS = 32

comptime WIDE = F32 if is_gpu() else DType.float64  # for operations that run once per row


@always_inline
def folded(v: SIMD[F32, UNROLLED]) -> SIMD[F32, LANES]:
    var low = v.slice[LANES, offset=0]() + v.slice[LANES, offset=LANES]()
    var high = v.slice[LANES, offset=2 * LANES]() + v.slice[LANES, offset=3 * LANES]()
    return low + high


@always_inline
def sums_of_row[
    count: Int, Add: def[width: Int](Int, mut Sums[width, count]) -> None
](add: Add, d: Int) -> Array[Float32, count]:
    """`add(i, sums)` adds to `count` sums the terms of the elements from i on."""
    var total = Sums[LANES, count](fill=0)
    var i = 0
    while i + UNROLLED <= d:
        var wide = Sums[UNROLLED, count](fill=0)
        var last = min(d, i + STEPS * UNROLLED)
        while i + UNROLLED <= last:
            add[UNROLLED](i, wide)
            i += UNROLLED
        comptime for s in range(count):
            total[s] += folded(wide[s])
    while i + LANES <= d:
        add[LANES](i, total)
        i += LANES
    var rest = Sums[1, count](fill=0)
    while i < d:
        add[1](i, rest)
        i += 1
    var result = Array[Float32, count](fill=0)
    comptime for s in range(count):
        result[s] = total[s].reduce_add() + rest[s][0]
    return result^


@fieldwise_init
struct Moments(ImplicitlyCopyable, Movable):
    """The normalised row is (x - shift) * scale + offset.

    Folding the mean into the offset, as in x * scale + offset, would lose digits in a row whose mean is much
    larger than its deviation.
    """

    var shift: Float32
    var scale: Float32
    var offset: Float32

    @always_inline
    def __init__(out self, shift: Float32, sum: Float32, squares: Float32, d: Int, eps: Float32):
        """Computes the moments from the sums of x - shift and of its square over the row."""
        self.shift = shift
        self.scale = Float32(1 / sqrt(variance_of(sum, squares, d) + eps.cast[WIDE]()))
        self.offset = -(sum / Float32(d)) * self.scale

    @always_inline
    def normalised[width: Int, //](self, v: SIMD[F32, width]) -> SIMD[F32, width]:
        return (v - self.shift).fma(SIMD[F32, width](self.scale), SIMD[F32, width](self.offset))


@always_inline
def variance_of(sum: Float32, squares: Float32, d: Int) -> Scalar[WIDE]:
    var distance = (sum / Float32(d)).cast[WIDE]()
    var variance = squares.cast[WIDE]() / Scalar[WIDE](d) - distance * distance
    return 0 if variance < 0 else variance  # NaN stays


@always_inline
def mean_of_first[dtype: DType, //](x: Ptr[dtype], d: Int) -> Float32:
    """The mean of the first vector of a row."""
    if d >= LANES:
        return up[LANES](x, 0).reduce_add() / Float32(LANES)
    var sum = Float32(0)
    for i in range(d):
        sum += up[1](x, i)[0]
    return sum / Float32(d)


@always_inline
def moments_of[
    dtype: DType,
    //,
    count: Int,
    Add: def[width: Int](Int, SIMD[F32, width], mut Sums[width, count]) -> None,
](x: Ptr[dtype], d: Int, eps: Float32, mut sums: Array[Float32, count], add: Add) -> Moments:
    """Moments of x, and more sums over the row: `add(i, x - shift, sums)` adds
    their terms to sums[2], sums[3], ...

    The squares are those of x - shift (Chan, Golub and LeVeque 1983, equation
    1.5a), where shift is the mean of the row's first vector. If that is further
    from the mean than the deviation, a second pass with a better shift keeps the
    sums from cancelling.
    """
    var shift = mean_of_first(x, d)
    for attempt in range(2):

        @always_inline
        def terms[width: Int](i: Int, mut sums: Sums[width, count]) {var x, var shift, imm add}:
            var v = up[width](x, i) - shift
            sums[0] += v
            sums[1] = v.fma(v, sums[1])
            add[width](i, v, sums)

        sums = sums_of_row[count](terms, d)
        var distance = sums[0] / Float32(d)
        var away = distance.cast[WIDE]() * distance.cast[WIDE]()
        if attempt == 1 or not away > variance_of(sums[0], sums[1], d):
            break
        shift += distance
    return Moments(shift, sums[0], sums[1], d, eps)


@always_inline
def moments_of[dtype: DType, //, past_cache: Bool](x: Ptr[dtype], d: Int, eps: Float32) -> Moments:
    """`past_cache`: the output of the row is written past the cache."""

    @always_inline
    def nothing_more[width: Int](i: Int, v: SIMD[F32, width], mut sums: Sums[width, 2]) {var}:
        comptime if past_cache:
            fetch_along[width](x, i)

    var sums = Array[Float32, 2](fill=0)
    return moments_of[2](x, d, eps, sums, nothing_more)
