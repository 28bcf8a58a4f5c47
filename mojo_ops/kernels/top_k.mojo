"""Op top_k: the k largest elements of the last dimension and their indices, in
descending order, of equal ones the lower index first; NaN is larger than every number.

On the CPU a row is read once, in blocks. Of each block only the maximum of each lane
is kept. The k-th largest of these maxima is a lower bound that at least k elements
reach. Only blocks that reach it are read again; their candidates, hardly more than k,
are ranked by counting.
"""

from max.gpu.host.info import is_gpu
from std.bit import count_trailing_zeros
from std.memory import stack_allocation

from .common.keys import (
    COMPRESS,
    HIGHEST,
    I32,
    Int32s,
    Keys,
    LOWEST,
    Mask,
    any,
    compress,
    count,
    keys_of,
    lane_numbers,
)
from .common.larger import larger
from .common.parallel import SERIAL_BELOW, WITHOUT_MAX, split
from .common.gpu_top_k import top_k_gpu
from .common.torch_abi import INT64
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, FLOATS, LANES, Ptr, up

comptime MAX_K = 256
comptime ROOM = 1024  # candidates
comptime VECTORS = 8  # of a block, of which one maximum is kept, in rows of more than one chunk
comptime CHUNK = 256  # blocks that are scanned together: 16 kB of maxima with AVX-512
comptime MEMORY = 3 * (ROOM + LANES) + 2 * MAX_K + LANES  # of Candidates
comptime BOUND_BITS = 20  # leading bits of the bound that are computed

comptime PARTS = 16  # of all rows together, where they are few
comptime PART = 1 << 14  # elements, at least, and
comptime PART_PER_K = 64

# Cost model of a task, in elements: each row on top of its elements, and each of the k results.
comptime ROW_COST = 512
comptime K_COST = 128


@always_inline
def kth_largest(keys: Int32s, vectors: Int, k: Int, bits: Int) -> Int32:
    """A lower bound of the k-th largest key: its leading bits, the rest zero."""
    var prefix = UInt32(0)
    var bit = UInt32(1) << 31
    for _ in range(bits):
        var threshold = Keys(Int32((prefix | bit) ^ 0x80000000) - 1)
        var n = 0
        for v in range(vectors):
            n += count(keys.unsafe_load[width=LANES](v * LANES).gt(threshold))
        if n >= k:
            prefix |= bit
        bit >>= 1
    return Int32(prefix ^ 0x80000000)


@always_inline
def kth_largest_lane(keys: Keys, k: Int) -> Int32:
    """The exact k-th largest of one vector: each lane counts the lanes above it."""
    var predecessors = Keys(0)
    comptime for j in range(LANES):
        predecessors = Keys(keys[j]).gt(keys).select(predecessors + 1, predecessors)
    return Keys(Int32(k)).gt(predecessors).select(keys, Keys(HIGHEST)).reduce_min()


struct Candidates:
    """Candidates for the k largest, in the order of their indices."""

    var k: Int
    var count: Int
    var bound: Int32  # at least k elements are above it, so elements up to it cannot be results
    var key: Int32s  # [ROOM + LANES], as are index and sorted
    var index: Int32s
    var sorted: Int32s
    var groups: Int32s

    @always_inline
    def __init__(out self, memory: Int32s, k: Int):
        self.k = k
        self.count = 0
        self.bound = LOWEST
        self.key = memory
        self.index = memory.unsafe_offset(ROOM + LANES)
        self.sorted = memory.unsafe_offset(2 * (ROOM + LANES))
        self.groups = memory.unsafe_offset(3 * (ROOM + LANES))

    @always_inline
    def add(mut self, keys: Keys, indices: Keys, mask: Mask):
        compress(self.key.unsafe_offset(self.count), keys, mask)
        compress(self.index.unsafe_offset(self.count), indices, mask)
        self.count += count(mask)
        if self.count > ROOM - LANES:
            self.prune()

    @always_inline
    def add_block[dtype: DType, //](mut self, x: Ptr[dtype], first: Int):
        """Adds the candidates of a whole block at x, whose first index is `first`.

        The block is compared as a whole first, so only vectors with candidates cost
        a branch that depends on the values.
        """
        if self.count > ROOM - VECTORS * LANES:
            self.prune()
        var least = Keys(self.bound)
        var keys = Array[Keys, VECTORS](fill=0)
        var hit = UInt32(0)
        comptime for v in range(VECTORS):
            keys[v] = keys_of(up[LANES](x, v * LANES))
            if any(keys[v].gt(least)):
                hit |= UInt32(1) << UInt32(v)
        var to = self.count
        while hit != 0:
            var v = Int(count_trailing_zeros(hit))
            var mask = keys[v].gt(least)
            compress(self.key.unsafe_offset(to), keys[v], mask)
            compress(self.index.unsafe_offset(to), lane_numbers() + Int32(first + v * LANES), mask)
            to += count(mask)
            hit &= hit - 1
        self.count = to

    @always_inline
    def add_all(mut self, keys: Int32s, vectors: Int, first: Int):
        """Adds candidates if there is room for all elements, without branches that depend on the values."""
        var to = self.count
        var indices = lane_numbers() + Int32(first)
        for v in range(vectors):
            var vector = keys.unsafe_load[width=LANES](v * LANES)
            var mask = vector.gt(Keys(self.bound))
            compress(self.key.unsafe_offset(to), vector, mask)
            compress(self.index.unsafe_offset(to), indices, mask)
            to += count(mask)
            indices += Int32(LANES)
        self.count = to

    @always_inline
    def pad(self) -> Int:
        """Fills the last vector with a value below every key."""
        self.key.unsafe_store(self.count, Keys(LOWEST + 1))
        return (self.count + LANES - 1) // LANES

    @no_inline
    def prune(mut self):
        """Keeps k candidates. Among those equal to the k-th the first ones stay."""
        if self.count <= self.k:
            return
        var vectors = self.pad()
        var kth = kth_largest(self.key, vectors, self.k, 32)
        var greater = 0
        for v in range(vectors):
            greater += count(self.key.unsafe_load[width=LANES](v * LANES).gt(Keys(kth)))
        var equals = self.k - greater
        var survivors = 0
        for v in range(vectors):
            var keys = self.key.unsafe_load[width=LANES](v * LANES)
            var indices = self.index.unsafe_load[width=LANES](v * LANES)
            var mask = keys.gt(Keys(kth))
            var equal = keys.eq(Keys(kth))
            comptime for lane in range(LANES):
                if equal[lane] and equals > 0:
                    mask[lane] = True
                    equals -= 1
            compress(self.key.unsafe_offset(survivors), keys, mask)
            compress(self.index.unsafe_offset(survivors), indices, mask)
            survivors += count(mask)
        self.count = self.k
        self.bound = kth

    @always_inline
    def sort(mut self) -> Int32s:
        """The indices in descending order, at least k.

        The rank of a candidate is the number of those before it. Counts whole
        vectors: a loop up to `count` would end in a branch misprediction.
        """
        if self.count > self.k + self.k // 8 + LANES:
            self.prune()
        var vectors = self.pad()
        var lanes = lane_numbers()
        for v in range(vectors):
            var vector_keys = self.key.unsafe_offset(v * LANES)
            var keys = vector_keys.unsafe_load[width=LANES](0)
            var equal_too = keys - 1
            var predecessors = Keys(0)
            for j in range(v * LANES):
                predecessors = (
                    Keys(self.key.unsafe_load(j)).gt(equal_too).select(predecessors + 1, predecessors)
                )
            comptime for j in range(LANES):
                var bar = lanes.gt(Keys(Int32(j))).select(equal_too, keys)
                predecessors = Keys(vector_keys.unsafe_load(j)).gt(bar).select(predecessors + 1, predecessors)
            for j in range((v + 1) * LANES, vectors * LANES):
                predecessors = Keys(self.key.unsafe_load(j)).gt(keys).select(predecessors + 1, predecessors)
            comptime for j in range(LANES):
                self.sorted.unsafe_store(Int(predecessors[j]), self.index.unsafe_load(v * LANES + j))
        return self.sorted


@always_inline
def keys_at[dtype: DType, //](x: Ptr[dtype], i: Int, n: Int) -> Keys:
    """The keys of a vector of the row; lanes past its end get a value below every key."""
    if i + LANES <= n:
        return keys_of(up[LANES](x, i))
    var part = SIMD[F32, LANES](0)
    for j in range(n - i):
        part[j] = up[1](x, i + j)[0]
    return lane_numbers().lt(Keys(Int32(n - i))).select(keys_of(part), Keys(LOWEST))


@always_inline
def block_maxima[dtype: DType, //](x: Ptr[dtype]) -> Keys:
    """The largest element of each lane of a block."""
    # Neighbours first: the lines are then read in their order, which LLVM otherwise changes (1.25 times as long).
    var top = Array[SIMD[F32, LANES], VECTORS](fill=0)
    comptime for i in range(VECTORS):
        top[i] = up[LANES](x, i * LANES)
    var sums = top.copy()
    comptime for level in range(3):
        comptime for i in range(VECTORS >> (level + 1)):
            top[i] = larger(top[2 * i], top[2 * i + 1])
            sums[i] = sums[2 * i] + sums[2 * i + 1]
    # A NaN, which larger() may drop, shows in the sum. So do infinities of both signs, hence another look.
    # Not ne(), which is False for NaN in Mojo 1.2.
    if any(~sums[0].eq(sums[0])):
        var keys = keys_of(up[LANES](x, 0))
        for i in range(1, VECTORS):
            keys = larger(keys, keys_of(up[LANES](x, i * LANES)))
        return keys
    return keys_of(top[0])


@always_inline
def bound_of(maxima: Int32s, vectors: Int, k: Int, groups: Int32s) -> Int32:
    """A bound with at least k elements above it: each group of blocks has an element
    as large as its maximum."""
    var n = min(vectors, (2 * k + LANES - 1) // LANES)
    var kth: Int32
    if n == 1:
        var group = maxima.unsafe_load[width=LANES](0)
        for v in range(1, vectors):
            group = larger(group, maxima.unsafe_load[width=LANES](v * LANES))
        kth = kth_largest_lane(group, k)
    else:
        for i in range(n):
            var group = maxima.unsafe_load[width=LANES](i * LANES)
            for v in range(i + n, vectors, n):
                group = larger(group, maxima.unsafe_load[width=LANES](v * LANES))
            groups.unsafe_store(i * LANES, group)
        kth = kth_largest(groups, n, k, BOUND_BITS)
    return kth if kth == LOWEST else kth - 1


@always_inline
def scan_short[dtype: DType, //](x: Ptr[dtype], n: Int, first: Int, keys: Int32s, mut candidates: Candidates):
    """A row, or a part of it, of at most a chunk of vectors."""
    var vectors = (n + LANES - 1) // LANES
    for v in range(n // LANES):
        keys.unsafe_store(v * LANES, keys_of(up[LANES](x, v * LANES)))
    if n % LANES:
        keys.unsafe_store((vectors - 1) * LANES, keys_at(x, (vectors - 1) * LANES, n))
    if vectors * LANES >= 2 * candidates.k:
        candidates.bound = max(candidates.bound, bound_of(keys, vectors, candidates.k, candidates.groups))
    comptime if COMPRESS:
        if candidates.count + vectors * LANES <= ROOM:
            candidates.add_all(keys, vectors, first)
            return
    for v in range(vectors):
        var vector = keys.unsafe_load[width=LANES](v * LANES)
        var mask = vector.gt(Keys(candidates.bound))
        if any(mask):
            candidates.add(vector, lane_numbers() + Int32(first + v * LANES), mask)


@always_inline
def scan[dtype: DType, //](x: Ptr[dtype], n: Int, first: Int, maxima: Int32s, mut candidates: Candidates):
    """Adds the elements of a row, or of a part of it that begins at `first`."""
    comptime BLOCK_SIZE = VECTORS * LANES
    var begin = 0
    while n - begin > CHUNK * LANES:
        var blocks = min(CHUNK, (n - begin) // BLOCK_SIZE)
        for b in range(blocks):
            maxima.unsafe_store(b * LANES, block_maxima(x.unsafe_offset(begin + b * BLOCK_SIZE)))
        candidates.prune()
        var hits = 0
        for b in range(blocks):
            hits += count(maxima.unsafe_load[width=LANES](b * LANES).gt(Keys(candidates.bound)))
        if candidates.count < candidates.k or hits > 2 * candidates.k:
            candidates.bound = max(
                candidates.bound, bound_of(maxima, blocks, candidates.k, candidates.groups)
            )
        for b in range(blocks):
            if any(maxima.unsafe_load[width=LANES](b * LANES).gt(Keys(candidates.bound))):
                var at = begin + b * BLOCK_SIZE
                candidates.add_block(x.unsafe_offset(at), first + at)
        begin += blocks * BLOCK_SIZE
    if begin > 0:
        candidates.prune()
    if begin < n:
        scan_short(x.unsafe_offset(begin), n - begin, first + begin, maxima, candidates)


@always_inline
def write[
    dtype: DType, //
](x: Ptr[dtype], mut candidates: Candidates, values: Ptr[dtype], indices: Ptr[DType.int64]):
    var sorted = candidates.sort()
    for i in range(candidates.k):
        var index = Int(UInt32(sorted.unsafe_load(i)))
        indices.unsafe_store(i, Int64(index))
        values.unsafe_store(i, x.unsafe_load(index))


def top_k_in_parts[
    dtype: DType, //
](values: Ptr[dtype], indices: Ptr[DType.int64], x: Ptr[dtype], rows: Int, n: Int, k: Int, parts: Int):
    """A few long rows: each is split over threads, and the results of the parts are candidates again."""
    comptime STRIDE = MAX_K + LANES
    var part_keys = stack_allocation[PARTS * STRIDE, I32]()
    var part_indices = stack_allocation[PARTS * STRIDE, I32]()

    def chunk(begin: Int, end: Int) {var}:
        var memory = stack_allocation[MEMORY, I32, alignment=64]()
        var maxima = stack_allocation[CHUNK * LANES, I32, alignment=64]()
        for i in range(begin, end):
            var row = i // parts
            var first = i % parts * n // parts
            var last = (i % parts + 1) * n // parts
            var candidates = Candidates(memory, k)
            scan(x.unsafe_offset(row * n + first), last - first, first, maxima, candidates)
            candidates.prune()
            for j in range(k):
                part_keys.unsafe_store(i * STRIDE + j, candidates.key.unsafe_load(j))
                part_indices.unsafe_store(i * STRIDE + j, candidates.index.unsafe_load(j))

    split(chunk, rows * parts, rows * n)
    var memory = stack_allocation[MEMORY, I32, alignment=64]()
    for row in range(rows):
        var candidates = Candidates(memory, k)
        for part in range(row * parts, (row + 1) * parts):
            for i in range(0, k, LANES):
                var keys = part_keys.unsafe_load[width=LANES](part * STRIDE + i)
                var mask = keys.gt(Keys(candidates.bound)) & lane_numbers().lt(Keys(Int32(k - i)))
                if any(mask):
                    candidates.add(keys, part_indices.unsafe_load[width=LANES](part * STRIDE + i), mask)
        write(
            x.unsafe_offset(row * n),
            candidates,
            values.unsafe_offset(row * k),
            indices.unsafe_offset(row * k),
        )


def top_k_cpu[
    dtype: DType, //
](values: Ptr[dtype], indices: Ptr[DType.int64], x: Ptr[dtype], rows: Int, n: Int, k: Int):
    var part = PART + PART_PER_K * k
    var parted = 2 * rows <= PARTS and n >= 2 * part
    comptime if not WITHOUT_MAX:
        parted = parted and rows * n >= SERIAL_BELOW
    if parted:
        top_k_in_parts(values, indices, x, rows, n, k, min(PARTS // rows, n // part))
        return

    def chunk(begin: Int, end: Int) {var}:
        var memory = stack_allocation[MEMORY, I32, alignment=64]()
        var maxima = stack_allocation[CHUNK * LANES, I32, alignment=64]()
        for row in range(begin, end):
            var candidates = Candidates(memory, k)
            scan(x.unsafe_offset(row * n), n, 0, maxima, candidates)
            write(
                x.unsafe_offset(row * n),
                candidates,
                values.unsafe_offset(row * k),
                indices.unsafe_offset(row * k),
            )

    split(chunk, rows, rows * (n + ROW_COST + K_COST * k))


# ---- binding ----


struct Op(TorchOp):
    comptime NAME: StaticString = "top_k"
    comptime INPUTS: List[StaticString] = ["x"]
    comptime OUTPUTS: List[StaticString] = ["values", "indices"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        var x = call.input(0)
        call.require_dimension(0)
        var k = call.integer(0)
        var n = x.size(x.rank - 1)
        if k < 1 or k > MAX_K or k > n:
            var message = call.refuse_call()
            message.write("k is ", k, ", expected 1 to ", MAX_K, " and at most ")
            message.write(n, ", the last dimension of x")
            raise message^
        if n > Int(UInt32.MAX):
            var message = call.refuse_shape(0)
            message.write("a last dimension below 2^32")
            raise message^

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        var x = call.input(0)
        var shape = Shape(x, x.rank)
        shape.put(x.rank - 1, call.integer(0))
        return shape^

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of x with k as its last dimension"

    @staticmethod
    def output_dtype(call: Call, output: Int) -> Int32:
        return INT64 if output else call.input(0).dtype

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var values = call.output(0).pointer[dtype]()
        var indices = call.output(1).pointer[DType.int64]()
        var x = call.input(0).pointer[dtype]()
        var n = call.input(0).size(call.input(0).rank - 1)
        var rows = call.input(0).numel // n
        var k = call.integer(0)
        comptime if is_gpu[target]():
            top_k_gpu(values, indices, x, rows, n, k, call.device())
        else:
            top_k_cpu(values, indices, x, rows, n, k)
