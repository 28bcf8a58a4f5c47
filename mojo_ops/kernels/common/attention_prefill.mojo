"""Attention of many query rows over blocks of keys with the online softmax.

Dao et al., https://arxiv.org/abs/2205.14135, algorithm 1. The lanes of a vector
are query rows throughout. Maxima and sums of the softmax are then vertical
operations, and keys and values are broadcast one element at a time, so neither
is transposed.
"""

from std.memory import bitcast
from std.sys import llvm_intrinsic

from .attention_tiles import (
    INF,
    PAIR_PRODUCTS,
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
    transpose,
)
from .exp2 import exp2
from .larger import larger
from .parallel import split
from .vectors import F32, LANES, Ptr, down

comptime TILE = 8 if WIDE_FILE else 4
comptime WIDE = 3
comptime ROW = WIDE * LANES  # rows of a panel, side by side
comptime PANELS = 4  # number of panels that share a copy of a block of keys and values
comptime KEYS = 64  # keys in a block; 64 x 48 scores stay in the L1 cache


@always_inline
def add[pairs: Bool](sum: Vector, a: Float32, b: Vector) -> Vector:
    """Sum + a b, for float32 or for pairs of bfloat16 in 32 bits."""
    comptime if pairs:
        return rebind[Vector](
            llvm_intrinsic["llvm.x86.avx512bf16.dpbf16ps.512", SIMD[F32, 16], has_side_effect=False](
                rebind[SIMD[F32, 16]](sum),
                bitcast[DType.bfloat16, 32](SIMD[F32, 16](a)),
                bitcast[DType.bfloat16, 32](rebind[SIMD[F32, 16]](b)),
            )
        )
    else:
        return Vector(a).fma(b, sum)


@always_inline
def tile[
    pairs: Bool, vectors: Int, rescaled: Bool
](a: Raw[F32], row: Int, column: Int, b: Raw[F32], depth: Int, c: Raw[F32], rescale: Array[Vector, WIDE]):
    """Computes c[j][rows] = (c[j][rows] rescale[rows] +) sum over k of a(j, k) b[k][rows].

    For TILE values of j, with a(j, k) at a[j * row + k * column].
    """
    var sum = Array[Vector, TILE * vectors](fill=0)
    comptime if rescaled:
        comptime for j in range(TILE):
            comptime for v in range(vectors):
                sum[j * vectors + v] = c.unsafe_load[width=LANES](j * ROW + v * LANES) * rescale[v]
    for k in range(depth):
        var x = Array[Vector, vectors](fill=0)
        comptime for v in range(vectors):
            x[v] = b.unsafe_load[width=LANES](k * ROW + v * LANES)
        comptime for j in range(TILE):
            var y = a.unsafe_load(j * row + k * column)
            comptime for v in range(vectors):
                sum[j * vectors + v] = add[pairs](sum[j * vectors + v], y, x[v])
    comptime for j in range(TILE):
        comptime for v in range(vectors):
            c.unsafe_store(j * ROW + v * LANES, sum[j * vectors + v])


@fieldwise_init
struct Panel(ImplicitlyCopyable, Movable):
    """State of up to ROW rows between two blocks of keys."""

    var query: Raw[F32]  # [units][ROW]
    var output: Raw[F32]  # [dim rounded up to tiles][ROW]
    var maximum: Raw[F32]
    var sum: Raw[F32]
    var limit: Raw[DType.int32]
    var least: Int  # of the limits
    var most: Int
    var rows: Int


struct Prefill[dtype: DType]:
    """Working memory of one thread: a block of keys and values, and its panels."""

    comptime PAIRS = Self.dtype == DType.bfloat16 and PAIR_PRODUCTS
    comptime UNIT = 2 if Self.PAIRS else 1  # elements in 32 bits

    var sizes: Sizes
    var query: Raw[Self.dtype]
    var key: Raw[Self.dtype]
    var value: Raw[Self.dtype]
    var out: Raw[Self.dtype]
    var units: Int  # of a row of keys
    var columns: Int  # of a row of values
    var memory: Raw[F32]
    var scores: Raw[F32]
    var keys: Raw[F32]
    var values: Raw[F32]
    var panels: Array[Panel, PANELS]

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
        self.units = (sizes.dim + Self.UNIT - 1) // Self.UNIT
        self.columns = (sizes.dim + TILE - 1) // TILE * TILE
        var query_room = (self.units + LANES) * ROW
        var panel_room = query_room + (self.columns + 3) * ROW
        var key_room = (KEYS * self.units + LANES) // LANES * LANES + LANES
        var value_room = KEYS * self.columns + LANES
        self.memory = allocate(PANELS * panel_room + KEYS * ROW + key_room + value_room)
        var at = self.memory
        self.panels = Array[Panel, PANELS](uninitialized=True)
        for i in range(PANELS):
            var output = at.unsafe_offset(query_room)
            var maximum = output.unsafe_offset(self.columns * ROW)
            self.panels[i] = Panel(
                at,
                output,
                maximum,
                maximum.unsafe_offset(ROW),
                maximum.unsafe_offset(2 * ROW).unsafe_bitcast[Int32](),
                0,
                0,
                0,
            )
            at = at.unsafe_offset(panel_room)
        self.scores = at
        self.keys = at.unsafe_offset(KEYS * ROW)
        self.values = self.keys.unsafe_offset(key_room)
        clear(self.keys, key_room + value_room)

    def release(self):
        free(self.memory)

    def run(mut self, b: Int, key_head: Int, first_panel: Int, count: Int):
        """Computes up to `count` panels of a key head."""
        var first = first_panel * ROW
        var length = self.sizes.length(b)
        var panels = 0
        var most = 0
        while panels < count and first + panels * ROW < self.sizes.rows():
            self.open(panels, b, key_head, first + panels * ROW, length)
            most = max(most, self.panels[panels].most)
            panels += 1
        for j in range(0, most, KEYS):
            var keys = min(KEYS, most - j)
            self.copy(b, key_head, j, keys)
            for i in range(panels):
                var panel = self.panels[i]
                if j >= panel.most:
                    continue
                if panel.rows > 2 * LANES:
                    self.attend[3](panel, j, keys)
                elif panel.rows > LANES:
                    self.attend[2](panel, j, keys)
                else:
                    self.attend[1](panel, j, keys)
        for i in range(panels):
            self.close(self.panels[i], b, key_head, first + i * ROW)

    def open(mut self, i: Int, b: Int, key_head: Int, row: Int, length: Int):
        var panel = self.panels[i]
        var rows = min(ROW, self.sizes.rows() - row)
        panel.rows = rows
        panel.least = self.sizes.limit(length, row)
        panel.most = self.sizes.limit(length, row + rows - 1)
        self.panels[i] = panel
        clear(panel.output, self.columns * ROW)
        for r in range(ROW):
            panel.maximum.unsafe_store(r, -INF)
            panel.sum.unsafe_store(r, Float32(0))
            panel.limit.unsafe_store(r, Int32(self.sizes.limit(length, row + min(r, rows - 1))))
        var block = Array[Vector, LANES](fill=0)
        var at = Raw[F32](unsafe_from_address=Int(Pointer(to=block)))
        for v in range((rows + LANES - 1) // LANES):
            for u in range(0, self.units, LANES):
                for r in range(LANES):
                    var x = Vector(0)
                    if v * LANES + r < rows:
                        var q = self.query.unsafe_offset(self.sizes.at(b, key_head, row + v * LANES + r))
                        x = self.load_units(q.unsafe_offset(u * Self.UNIT), self.sizes.dim - u * Self.UNIT)
                    at.unsafe_store(r * LANES, x)
                transpose(at)
                for r in range(LANES):
                    panel.query.unsafe_store(
                        (u + r) * ROW + v * LANES, at.unsafe_load[width=LANES](r * LANES)
                    )
        _ = block

    @always_inline
    def load_units(self, p: Raw[Self.dtype], n: Int) -> Vector:
        comptime if Self.PAIRS:
            if n >= 2 * LANES:
                return p.unsafe_bitcast[Float32]().unsafe_load[width=LANES, alignment=2](0)
            var x = SIMD[DType.uint32, LANES](0)
            var bits = p.unsafe_bitcast[UInt16]()
            for i in range(n):
                x[i // 2] |= bits.unsafe_load(i).cast[DType.uint32]() << UInt32(16 * (i % 2))
            return bitcast[F32, LANES](x)
        else:
            return load_some(p, n)

    def copy(self, b: Int, key_head: Int, first: Int, keys: Int):
        """Copies keys and values as units, one after the other, padded with zeros to a whole tile."""
        var dim = self.sizes.dim
        var stride = self.sizes.key_heads * dim
        var start = self.sizes.cache_at(b, first, key_head)
        var key = self.key.unsafe_offset(start)
        var value = self.value.unsafe_offset(start)
        var padded = (keys + TILE - 1) // TILE * TILE
        comptime if Self.PAIRS:
            for j in range(keys):
                self.copy_pairs(key.unsafe_offset(j * stride), self.keys.unsafe_offset(j * self.units))
            for j in range(0, keys, 2):
                self.join_rows(
                    value.unsafe_offset(j * stride),
                    value.unsafe_offset(min(j + 1, keys - 1) * stride),
                    self.values.unsafe_offset(j // 2 * self.columns),
                )
        else:
            for j in range(keys):
                widen(key.unsafe_offset(j * stride), self.keys.unsafe_offset(j * self.units), dim)
                widen(value.unsafe_offset(j * stride), self.values.unsafe_offset(j * self.columns), dim)
        clear(self.keys.unsafe_offset(keys * self.units), (padded - keys) * self.units)
        var rows = (keys + Self.UNIT - 1) // Self.UNIT
        clear(
            self.values.unsafe_offset(rows * self.columns),
            (padded // Self.UNIT - rows) * self.columns,
        )

    @always_inline
    def copy_pairs(self, p: Raw[Self.dtype], to: Raw[F32]):
        var source = p.unsafe_bitcast[UInt16]()
        var target = to.unsafe_bitcast[UInt16]()
        var i = 0
        while i + 2 * LANES <= self.sizes.dim:
            target.unsafe_store(i, source.unsafe_load[width=2 * LANES](i))
            i += 2 * LANES
        while i < self.sizes.dim:
            target.unsafe_store(i, source.unsafe_load(i))
            i += 1
        if i % 2:
            target.unsafe_store(i, UInt16(0))

    @always_inline
    def join_rows(self, even: Raw[Self.dtype], odd: Raw[Self.dtype], to: Raw[F32]):
        var low = even.unsafe_bitcast[UInt16]()
        var high = odd.unsafe_bitcast[UInt16]()
        var target = to.unsafe_bitcast[UInt32]()

        @always_inline
        def body[width: Int](i: Int) {var}:
            target.unsafe_store(
                i,
                low.unsafe_load[width=width](i).cast[DType.uint32]()
                | high.unsafe_load[width=width](i).cast[DType.uint32]() << 16,
            )

        var i = 0
        while i + LANES <= self.sizes.dim:
            body[LANES](i)
            i += LANES
        while i < self.sizes.dim:
            body[1](i)
            i += 1

    def attend[vectors: Int](self, panel: Panel, first: Int, block_keys: Int):
        var keys = (min(block_keys, panel.most - first) + TILE - 1) // TILE * TILE
        var rescale = Array[Vector, WIDE](fill=0)
        for j in range(0, keys, TILE):
            tile[Self.PAIRS, vectors, False](
                self.keys.unsafe_offset(j * self.units),
                self.units,
                1,
                panel.query,
                self.units,
                self.scores.unsafe_offset(j * ROW),
                rescale,
            )
        comptime for v in range(vectors):
            rescale[v] = self.soften(panel, v * LANES, first, keys)
        for d in range(0, self.columns, TILE):
            tile[Self.PAIRS, vectors, True](
                self.values.unsafe_offset(d),
                1,
                self.columns,
                self.scores,
                keys // Self.UNIT,
                panel.output.unsafe_offset(d * ROW),
                rescale,
            )

    @always_inline
    def soften(self, panel: Panel, lane: Int, first: Int, keys: Int) -> Vector:
        """Turns scores into weights exp2(score - maximum), in units.

        Returns the factor for the sums so far.
        """
        var s = self.scores.unsafe_offset(lane)
        var old = panel.maximum.unsafe_load[width=LANES](lane)
        var limit = panel.limit.unsafe_load[width=LANES](lane)
        var m = old
        for j in range(keys):
            var x = s.unsafe_load[width=LANES](j * ROW) * self.sizes.scale
            if first + j >= panel.least:
                x = SIMD[DType.int32, LANES](Int32(first + j)).lt(limit).select(x, Vector(-INF))
            s.unsafe_store(j * ROW, x)
            m = larger(x, m)  # ignores NaN, which returns with the weights
        var base = m.eq(-INF).select(Vector(0), m)
        var rescale = exp2(old - base)
        var sum = panel.sum.unsafe_load[width=LANES](lane) * rescale
        for j in range(0, keys, Self.UNIT):
            var p = exp2(s.unsafe_load[width=LANES](j * ROW) - base)
            sum += p
            comptime if Self.PAIRS:
                var q = exp2(s.unsafe_load[width=LANES]((j + 1) * ROW) - base)
                sum += q
                s.unsafe_store(j // 2 * ROW, pair(p, q))
            else:
                s.unsafe_store(j * ROW, p)
        panel.maximum.unsafe_store(lane, m)
        panel.sum.unsafe_store(lane, sum)
        return rescale

    def close(self, panel: Panel, b: Int, key_head: Int, row: Int):
        var block = Array[Vector, LANES](fill=0)
        var at = Raw[F32](unsafe_from_address=Int(Pointer(to=block)))
        for v in range((panel.rows + LANES - 1) // LANES):
            # Zero if there are no keys, and NaN if all scores are -inf, as in the formula.
            var m = panel.maximum.unsafe_load[width=LANES](v * LANES)
            var sum = panel.sum.unsafe_load[width=LANES](v * LANES)
            var inverse = m.eq(-INF).select(Vector(INF - INF), 1 / sum)
            var has_keys = panel.limit.unsafe_load[width=LANES](v * LANES).ne(0)
            for d in range(0, self.sizes.dim, LANES):
                for i in range(LANES):
                    var y = Vector(0)
                    if d + i < self.sizes.dim:
                        y = panel.output.unsafe_load[width=LANES]((d + i) * ROW + v * LANES) * inverse
                    at.unsafe_store(i * LANES, has_keys.select(y, Vector(0)))
                transpose(at)
                for r in range(min(LANES, panel.rows - v * LANES)):
                    store_some(
                        self.out.unsafe_offset(self.sizes.at(b, key_head, row + v * LANES + r) + d),
                        self.sizes.dim - d,
                        at.unsafe_load[width=LANES](r * LANES),
                    )
        _ = block


@always_inline
def pair(low: Vector, high: Vector) -> Vector:
    """Rounds both to bfloat16 and packs them into 32 bits."""
    var a = bitcast[DType.uint16, LANES](down[DType.bfloat16](low)).cast[DType.uint32]()
    var b = bitcast[DType.uint16, LANES](down[DType.bfloat16](high)).cast[DType.uint32]()
    return bitcast[F32, LANES](a | b << 16)


@always_inline
def widen[dtype: DType, //](p: Raw[dtype], to: Raw[F32], n: Int):
    var i = 0
    while i + LANES <= n:
        to.unsafe_store(i, floats[LANES](p, i))
        i += LANES
    while i < n:
        to.unsafe_store(i, floats[1](p, i))
        i += 1


def prefill[
    dtype: DType, //
](sizes: Sizes, query: Ptr[dtype], key: Ptr[dtype], value: Ptr[dtype], out_: Ptr[dtype]):
    var panels = (sizes.rows() + ROW - 1) // ROW
    var heads = sizes.batch * sizes.key_heads
    var panels_per_block = min(max(heads * panels // 64, 1), PANELS)
    var blocks = (panels + panels_per_block - 1) // panels_per_block

    var q = raw(query)
    var k = raw(key)
    var v = raw(value)
    var o = raw(out_)

    def chunk(first: Int, last: Int) {var}:
        var work = Prefill[dtype](sizes, q, k, v, o)
        for i in range(first, last):
            # Later causal blocks cost more, so early and late blocks alternate.
            var head = i // blocks
            var turn = i % blocks
            var block = blocks - 1 - turn // 2 if turn % 2 else turn // 2
            work.run(
                head // sizes.key_heads, head % sizes.key_heads, block * panels_per_block, panels_per_block
            )
        work.release()

    # One product is a sixty-fourth of the work per element that `split` counts in.
    split(chunk, heads * blocks, heads * sizes.rows() * sizes.keys * sizes.dim // 64)
