"""Attention of few query rows over a long cache, as in decoding.

It is bound by reading the cache. Each row of the cache is therefore read once for all heads of its group, and
the cache is split over threads (flash-decoding,
https://pytorch.org/blog/flash-decoding).
"""

from .attention_tiles import (
    INF,
    Raw,
    Sizes,
    Vector,
    WIDE_FILE,
    allocate,
    clear,
    floats,
    free,
    load_some,
    raw,
    store_some,
)
from .exp2 import exp2
from .larger import larger
from .parallel import split
from .stream import fetch
from .vectors import F32, LANES, Ptr

comptime ROWS = 8  # query rows of a key head; the prefill kernel computes more rows
comptime PIECE = 256  # maximum number of keys in a task
comptime STRETCH = 32  # keys between two updates of the softmax

# Keys of one head that are read before those of the next head. All heads of a key
# lie side by side, so small steps read memory in order.
comptime STEP = 16

# Sums that a register tile holds, leaving as many registers for operands.
comptime SUMS = 16 if WIDE_FILE else 8


@always_inline
def sums_of[count: Int](var v: Array[Vector, count]) -> Vector:
    """Lane i is the sum of vector i, for the first LANES vectors."""
    comptime STEPS = 4 if LANES == 16 else 3 if LANES == 8 else 2
    comptime for step in range(STEPS):
        comptime HALF = LANES >> (step + 1)
        comptime for i in range(HALF):
            var both = v[i].interleave(v[i + HALF])
            v[i] = rebind[Vector](both.slice[LANES]()) + rebind[Vector](both.slice[LANES, offset=LANES]())
    return v[0]


@always_inline
def score[
    dtype: DType, //, rows: Int, count: Int
](query: Raw[F32], row: Int, key: Raw[dtype], stride: Int, keys: Int, dim: Int, scores: Raw[F32]):
    """Computes scores[row * STRETCH + key] of `count` keys, of which `keys` exist."""
    var sum = Array[Vector, max(LANES, rows * count)](fill=0)
    var at = Array[Int, count](fill=0)
    comptime for j in range(count):
        at[j] = min(j, keys - 1) * stride
    var d = 0
    while d + LANES <= dim:
        comptime for j in range(count):
            var k = key.unsafe_offset(at[j] + d)
            fetch(k.unsafe_offset(STEP * stride))
            var x = floats[LANES](k, 0)
            comptime for r in range(rows):
                sum[r * count + j] = x.fma(query.unsafe_load[width=LANES](r * row + d), sum[r * count + j])
        d += LANES
    if d < dim:
        comptime for j in range(count):
            var x = load_some(key.unsafe_offset(at[j] + d), dim - d)
            comptime for r in range(rows):
                sum[r * count + j] = x.fma(query.unsafe_load[width=LANES](r * row + d), sum[r * count + j])
    comptime if rows * count <= LANES:
        var total = sums_of(sum^)
        comptime for r in range(rows):
            scores.unsafe_store(r * STRETCH, total.slice[count, offset=r * count]())
    else:
        comptime for r in range(rows):
            comptime for j in range(count):
                scores.unsafe_store(r * STRETCH + j, sum[r * count + j].reduce_add())


@always_inline
def gather[
    dtype: DType, //, rows: Int, vectors: Int
](weight: Raw[F32], value: Raw[dtype], stride: Int, keys: Int, output: Raw[F32], row: Int):
    """Adds to output row the sum over keys of weight[row][key] value[key], for `vectors` of dim."""
    var sum = Array[Vector, rows * vectors](fill=0)
    comptime for r in range(rows):
        comptime for v in range(vectors):
            sum[r * vectors + v] = output.unsafe_load[width=LANES](r * row + v * LANES)
    for j in range(keys):
        comptime for v in range(vectors):
            var at = value.unsafe_offset(j * stride + v * LANES)
            fetch(at.unsafe_offset(STEP * stride))
            var x = floats[LANES](at, 0)
            comptime for r in range(rows):
                sum[r * vectors + v] = x.fma(
                    Vector(weight.unsafe_load(r * STRETCH + j)), sum[r * vectors + v]
                )
    comptime for r in range(rows):
        comptime for v in range(vectors):
            output.unsafe_store(r * row + v * LANES, sum[r * vectors + v])


@always_inline
def pieces_of(length: Int) -> Int:
    return (length + PIECE - 1) // PIECE


struct Decode[dtype: DType](ImplicitlyCopyable, Movable):
    """The pieces of the cache and their results, and functions that combine them."""

    var sizes: Sizes
    var query: Raw[Self.dtype]
    var key: Raw[Self.dtype]
    var value: Raw[Self.dtype]
    var out: Raw[Self.dtype]
    var padded: Int  # dim, up to whole vectors
    var rows: Int  # of all key heads
    var pieces: Int
    var parts: Raw[F32]  # for each piece: output [rows][padded], maximum [rows], sum [rows]

    def __init__(
        out self,
        sizes: Sizes,
        query: Raw[Self.dtype],
        key: Raw[Self.dtype],
        value: Raw[Self.dtype],
        out_: Raw[Self.dtype],
    ):
        self.sizes = sizes
        self.query = query
        self.key = key
        self.value = value
        self.out = out_
        self.padded = (sizes.dim + LANES - 1) // LANES * LANES
        self.rows = sizes.key_heads * sizes.rows()
        self.pieces = 0
        for b in range(sizes.batch):
            self.pieces += pieces_of(sizes.length(b))
        self.parts = allocate(self.pieces * self.rows * (self.padded + 2))

    def release(self):
        free(self.parts)

    @always_inline
    def part(self, piece: Int) -> Raw[F32]:
        return self.parts.unsafe_offset(piece * self.rows * (self.padded + 2))

    @always_inline
    def maximum(self, piece: Int) -> Raw[F32]:
        return self.part(piece).unsafe_offset(self.rows * self.padded)

    @always_inline
    def sum(self, piece: Int) -> Raw[F32]:
        return self.part(piece).unsafe_offset(self.rows * (self.padded + 1))

    def run(self, first: Int, last: Int):
        """Computes the pieces [first, last) of all sequences."""
        var query = allocate(self.rows * (self.padded + STRETCH) + LANES)
        var scores = query.unsafe_offset(self.rows * self.padded)
        var b = 0
        var start = 0  # piece at which sequence b begins
        var loaded = -1
        for i in range(first, last):
            while start + pieces_of(self.sizes.length(b)) <= i:
                start += pieces_of(self.sizes.length(b))
                b += 1
            if loaded != b:
                self.load_queries(query, b)
                loaded = b
            comptime for rows in range(1, ROWS + 1):
                if self.sizes.rows() == rows:
                    self.read_piece[rows](query, scores, b, i - start, i)
        free(query)

    def load_queries(self, to: Raw[F32], b: Int):
        var rows = self.sizes.rows()
        for row in range(self.rows):
            var q = self.query.unsafe_offset(self.sizes.at(b, row // rows, row % rows))
            for d in range(0, self.sizes.dim, LANES):
                to.unsafe_store(
                    row * self.padded + d,
                    load_some(q.unsafe_offset(d), self.sizes.dim - d) * self.sizes.scale,
                )

    def read_piece[rows: Int](self, query: Raw[F32], scores: Raw[F32], b: Int, piece: Int, slot: Int):
        var length = self.sizes.length(b)
        var pieces = pieces_of(length)
        var size = ((length + pieces - 1) // pieces + STRETCH - 1) // STRETCH * STRETCH
        var end = min((piece + 1) * size, length)
        var output = self.part(slot)
        clear(output, self.rows * (self.padded + 2))
        for row in range(self.rows):
            self.maximum(slot).unsafe_store(row, -INF)
        for t in range(piece * size, end, STRETCH):
            var keys = min(STRETCH, end - t)
            for j in range(0, keys, STEP):
                for head in range(self.sizes.key_heads):
                    self.read_keys[rows](
                        query.unsafe_offset(head * rows * self.padded),
                        self.key.unsafe_offset(self.sizes.cache_at(b, t + j, head)),
                        min(STEP, keys - j),
                        scores.unsafe_offset(head * rows * STRETCH + j),
                    )
            for row in range(self.rows):
                var valid = min(keys, self.sizes.limit(length, row % rows) - t)
                self.soften(scores.unsafe_offset(row * STRETCH), valid, row, slot)
            for j in range(0, keys, STEP):
                for head in range(self.sizes.key_heads):
                    self.read_values[rows](
                        scores.unsafe_offset(head * rows * STRETCH + j),
                        self.value.unsafe_offset(self.sizes.cache_at(b, t + j, head)),
                        min(STEP, keys - j),
                        output.unsafe_offset(head * rows * self.padded),
                    )

    @always_inline
    def read_keys[rows: Int](self, query: Raw[F32], key: Raw[Self.dtype], keys: Int, scores: Raw[F32]):
        comptime COUNT = SUMS // 8 if rows > 4 else SUMS // 4 if rows > 2 else SUMS // rows
        var stride = self.sizes.key_heads * self.sizes.dim
        for j in range(0, keys, COUNT):
            score[rows, COUNT](
                query,
                self.padded,
                key.unsafe_offset(j * stride),
                stride,
                keys - j,
                self.sizes.dim,
                scores.unsafe_offset(j),
            )

    @always_inline
    def read_values[rows: Int](self, weight: Raw[F32], value: Raw[Self.dtype], keys: Int, output: Raw[F32]):
        comptime VECTORS = SUMS // 8 if rows > 4 else SUMS // 4
        var dim = self.sizes.dim
        var stride = self.sizes.key_heads * dim
        var d = 0
        while d + VECTORS * LANES <= dim:
            gather[rows, VECTORS](
                weight, value.unsafe_offset(d), stride, keys, output.unsafe_offset(d), self.padded
            )
            d += VECTORS * LANES
        while d + LANES <= dim:
            gather[rows, 1](
                weight, value.unsafe_offset(d), stride, keys, output.unsafe_offset(d), self.padded
            )
            d += LANES
        if d < dim:
            for j in range(keys):
                var x = load_some(value.unsafe_offset(j * stride + d), dim - d)
                comptime for r in range(rows):
                    var at = output.unsafe_offset(r * self.padded + d)
                    var w = Vector(weight.unsafe_load(r * STRETCH + j))
                    at.unsafe_store(0, x.fma(w, at.unsafe_load[width=LANES](0)))

    @always_inline
    def soften(self, s: Raw[F32], valid: Int, row: Int, slot: Int):
        """Turns the scores of a row, which sees the first `valid` keys, into weights.

        Scales the sums so far to the new maximum.
        """
        if valid <= 0:
            clear(s, STRETCH)
            return
        for j in range(valid, STRETCH):
            s.unsafe_store(j, -INF)
        var m = Vector(-INF)
        comptime for j in range(STRETCH // LANES):
            m = larger(s.unsafe_load[width=LANES](j * LANES), m)
        var maximum = self.maximum(slot).unsafe_offset(row)
        var total = self.sum(slot).unsafe_offset(row)
        var old = maximum.unsafe_load(0)
        var top = max(old, m.reduce_max())
        var base = Float32(0) if top == -INF else top
        var sum = Vector(0)
        comptime for j in range(STRETCH // LANES):
            var p = exp2(s.unsafe_load[width=LANES](j * LANES) - base)
            s.unsafe_store(j * LANES, p)
            sum += p
        if top != old:
            var rescale = exp2(Vector(old - base))
            maximum.unsafe_store(0, top)
            total.unsafe_store(0, total.unsafe_load(0) * rescale[0])
            var output = self.part(slot).unsafe_offset(row * self.padded)
            for d in range(0, self.padded, LANES):
                output.unsafe_store(d, output.unsafe_load[width=LANES](d) * rescale)
        total.unsafe_store(0, total.unsafe_load(0) + sum.reduce_add())

    def join(self, b: Int):
        """Combines the pieces of a sequence."""
        var length = self.sizes.length(b)
        var pieces = pieces_of(length)
        var start = 0
        for i in range(b):
            start += pieces_of(self.sizes.length(i))
        var factor = allocate(pieces + 1)
        var rows = self.sizes.rows()
        for row in range(self.rows):
            var out_ = self.out.unsafe_offset(self.sizes.at(b, row // rows, row % rows))
            var m = -INF
            for i in range(pieces):
                m = max(m, self.maximum(start + i).unsafe_load(row))
            # Zero if there are no keys, and NaN if all scores are -inf, as in the formula.
            var none = self.sizes.limit(length, row % rows) == 0
            var base = Float32(0) if none and m == -INF else m
            var sum = Float32(0)
            for i in range(pieces):
                var f = exp2(Vector(self.maximum(start + i).unsafe_load(row) - base))[0]
                factor.unsafe_store(i, f)
                sum += self.sum(start + i).unsafe_load(row) * f
            for d in range(0, self.sizes.dim, LANES):
                var y = Vector(0)
                for i in range(pieces):
                    var part = self.part(start + i).unsafe_load[width=LANES](row * self.padded + d)
                    y = part.fma(Vector(factor.unsafe_load(i)), y)
                store_some(out_.unsafe_offset(d), self.sizes.dim - d, Vector(0) if none else y / sum)
        free(factor)


def decode[
    dtype: DType, //
](sizes: Sizes, query: Ptr[dtype], key: Ptr[dtype], value: Ptr[dtype], out_: Ptr[dtype]):
    var work = Decode[dtype](sizes, raw(query), raw(key), raw(value), raw(out_))
    var rows = work.rows * work.padded

    def read(first: Int, last: Int) {var}:
        work.run(first, last)

    def join(first: Int, last: Int) {var}:
        for b in range(first, last):
            work.join(b)

    split(read, work.pieces, work.pieces * PIECE * sizes.key_heads * sizes.dim * 2)
    split(join, sizes.batch, work.pieces * rows)
    work.release()
