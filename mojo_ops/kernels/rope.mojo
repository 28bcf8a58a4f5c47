"""Op rope: y = x * cos + rotate_half(x) * sin, for query and key in one pass.

Su et al., https://arxiv.org/abs/2104.09864. For each pair (i, j) of a head:

    y[i] = x[i] * cos[i] - x[j] * sin[i]
    y[j] = x[j] * cos[j] + x[i] * sin[j]

The pairs are (i, i + D / 2) as in Llama, or (2i, 2i + 1) as in GPT-J.
"""

from max.gpu import block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu
from std.memory import Pointer
from std.sys import align_of
from std.utils import IndexList

from .common.gpu import BLOCK, aligned, gpu_width
from .common.parallel import split
from .common.stream import streams
from .common.torch_abi import INT64
from .common.torch_op import Call, Message, Shape, TorchOp
from .common.vectors import F32, FLOATS, LANES, Ptr, UNROLLED, put, up


@fieldwise_init
struct Sizes(ImplicitlyCopyable, Movable):
    """The sizes of query [batch, sequence, heads, head] and key [.., key_heads, head]."""

    var tokens: Int  # batch * sequence
    var sequence: Int
    var heads: Int
    var key_heads: Int
    var head: Int
    var positions: Int  # address of an int64 a token, its row of the tables, or 0
    var shared: Bool  # whether the batch shares one sequence of positions
    var rows: Int  # of the tables

    @always_inline
    def angle(self, token: Int) -> Int:
        """Offset of the angles of a token; clamped to the tables, since a GPU kernel
        cannot raise. On the CPU positions are checked before."""
        var row = token % self.sequence
        if self.positions:
            var at = Pointer[Int64, MutAnyOrigin](unsafe_from_address=self.positions)
            row = Int(at.unsafe_load(row if self.shared else token))
            row = max(0, min(row, self.rows - 1))
        return row * self.head


@always_inline
def rotate_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], x: Ptr[dtype], cos: Ptr[dtype], sin: Ptr[dtype], half: Int, j: Int):
    var low = up[width, alignment](x, j)
    var high = up[width, alignment](x, j + half)
    var new_low = low * up[width, alignment](cos, j)
    new_low -= high * up[width, alignment](sin, j)
    var new_high = high * up[width, alignment](cos, j + half)
    new_high += low * up[width, alignment](sin, j + half)
    put[width, alignment, stream](y, j, new_low)
    put[width, alignment, stream](y, j + half, new_high)


def partners[width: Int]() -> IndexList[width]:
    """Lane numbers that swap the elements of each pair."""
    var picks = IndexList[width](0)
    for i in range(width):
        picks[i] = i ^ 1
    return picks


@always_inline
def signs[width: Int]() -> SIMD[F32, width]:
    """The sign of the sine for each element of a pair."""
    var v = SIMD[F32, width](1)
    comptime for i in range(0, width, 2):
        v[i] = -1
    return v


@always_inline
def rotate_pairs_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], x: Ptr[dtype], cos: Ptr[dtype], sin: Ptr[dtype], j: Int):
    """Rotates `width` neighbouring elements, which are whole pairs."""
    var v = up[width, alignment](x, j)
    var crossed = v.shuffle[mask=partners[width]()]() * (signs[width]() * up[width, alignment](sin, j))
    put[width, alignment, stream](y, j, v * up[width, alignment](cos, j) + crossed)


@always_inline
def rotate_heads_interleaved[
    dtype: DType, //, stream: Bool
](y: Ptr[dtype], x: Ptr[dtype], cos: Ptr[dtype], sin: Ptr[dtype], heads: Int, head: Int):
    for i in range(heads):
        var xh = x.unsafe_offset(i * head)
        var yh = y.unsafe_offset(i * head)
        var j = 0
        comptime if stream:
            while j + UNROLLED <= head:
                rotate_pairs_at[UNROLLED, stream=True](yh, xh, cos, sin, j)
                j += UNROLLED
        while j + LANES <= head:
            rotate_pairs_at[LANES](yh, xh, cos, sin, j)
            j += LANES
        while j < head:
            rotate_pairs_at[2](yh, xh, cos, sin, j)
            j += 2


@always_inline
def rotate_heads[
    dtype: DType, //, stream: Bool
](y: Ptr[dtype], x: Ptr[dtype], cos: Ptr[dtype], sin: Ptr[dtype], heads: Int, head: Int):
    """Rotates the heads of one token, which share its angles. `vector_loop` is not used:
    half a head is two vectors in small models, where its tests cost a fifth of the time."""
    var half = head // 2
    for i in range(heads):
        var xh = x.unsafe_offset(i * head)
        var yh = y.unsafe_offset(i * head)
        var j = 0
        comptime if stream:
            while j + UNROLLED <= half:
                rotate_at[UNROLLED, stream=True](yh, xh, cos, sin, half, j)
                j += UNROLLED
        while j + LANES <= half:
            rotate_at[LANES](yh, xh, cos, sin, half, j)
            j += LANES
        while j < half:
            rotate_at[1](yh, xh, cos, sin, half, j)
            j += 1


@always_inline
def rotate_token[
    dtype: DType, //, stream: Bool
](y: Ptr[dtype], x: Ptr[dtype], cos: Ptr[dtype], sin: Ptr[dtype], heads: Int, head: Int, interleaved: Bool):
    if interleaved:
        rotate_heads_interleaved[stream](y, x, cos, sin, heads, head)
    else:
        rotate_heads[stream](y, x, cos, sin, heads, head)


def rope_cpu[
    dtype: DType, //
](
    query_out: Ptr[dtype],
    key_out: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    cos: Ptr[dtype],
    sin: Ptr[dtype],
    sizes: Sizes,
    interleaved: Bool,
    fresh: Bool,
):
    var d = sizes.head
    var query_row = sizes.heads * d
    var key_row = sizes.key_heads * d
    var elements = sizes.tokens * (query_row + key_row)
    var past_cache = streams(query_out, elements, d // 2, fresh) and streams(key_out, elements, d // 2, fresh)

    @always_inline
    def turn[stream: Bool](first: Int, last: Int) {var}:
        for token in range(first, last):
            var angle = sizes.angle(token)
            var q = token * query_row
            var k = token * key_row
            var c = cos.unsafe_offset(angle)
            var s = sin.unsafe_offset(angle)
            rotate_token[stream](
                query_out.unsafe_offset(q), query.unsafe_offset(q), c, s, sizes.heads, d, interleaved
            )
            rotate_token[stream](
                key_out.unsafe_offset(k), key.unsafe_offset(k), c, s, sizes.key_heads, d, interleaved
            )

    def chunk(first: Int, last: Int) {var}:
        if past_cache:
            turn[True](first, last)
        else:
            turn[False](first, last)

    split(chunk, sizes.tokens, elements)


def rope_kernel[
    dtype: DType, width: Int, interleaved: Bool
](
    query_out: Ptr[dtype],
    key_out: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    cos: Ptr[dtype],
    sin: Ptr[dtype],
    positions: Ptr[DType.int64],
    sequence: Int64,
    rows: Int64,
    heads: Int32,
    key_heads: Int32,
    head: Int32,
):
    """One block per token; `head / 2` is a multiple of `width`; `rows` is 0 without positions. A thread rotates a
    vector of pairs, or one of each half of a head, so that the threads of a warp read neighbouring vectors.
    """
    comptime alignment = width * align_of[dtype]()
    comptime STEP = max(width, 2) if interleaved else width
    var token = Int(block_idx.x)
    var d = Int(head)
    var angle = token % Int(sequence) * d
    if rows:
        angle = max(0, min(Int(positions.unsafe_load(token)), Int(rows) - 1)) * d
    var vectors = (head if interleaved else head // 2) // Int32(STEP)  # of a head
    for i in range(Int32(thread_idx.x), (heads + key_heads) * vectors, Int32(BLOCK)):
        var h = i // vectors
        var j = Int(i % vectors) * STEP
        var y = query_out
        var x = query
        var row = token * Int(heads) + Int(h)
        if h >= heads:
            y = key_out
            x = key
            row = token * Int(key_heads) + Int(h - heads)
        y = y.unsafe_offset(row * d)
        x = x.unsafe_offset(row * d)
        var c = cos.unsafe_offset(angle)
        var s = sin.unsafe_offset(angle)
        comptime if interleaved:
            rotate_pairs_at[STEP, alignment](y, x, c, s, j)
        else:
            rotate_at[STEP, alignment](y, x, c, s, d // 2, j)


def rope_gpu[
    dtype: DType, //
](
    query_out: Ptr[dtype],
    key_out: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    cos: Ptr[dtype],
    sin: Ptr[dtype],
    sizes: Sizes,
    interleaved: Bool,
    ctx: DeviceContext,
) raises:
    @always_inline
    def launch[width: Int, pairs: Bool]() raises {var, imm ctx}:
        ctx.enqueue_function[rope_kernel[dtype, width, pairs]](
            query_out,
            key_out,
            query,
            key,
            cos,
            sin,
            Ptr[DType.int64](unsafe_from_address=sizes.positions),
            Int64(sizes.sequence),
            Int64(sizes.rows if sizes.positions else 0),
            Int32(sizes.heads),
            Int32(sizes.key_heads),
            Int32(sizes.head),
            grid_dim=sizes.tokens,
            block_dim=BLOCK,
        )

    comptime WIDTH = gpu_width[dtype]()
    if (
        sizes.head % (2 * WIDTH) == 0
        and aligned(query_out)
        and aligned(key_out)
        and aligned(query)
        and aligned(key)
        and aligned(cos)
        and aligned(sin)
    ):
        if interleaved:
            launch[WIDTH, True]()
        else:
            launch[WIDTH, False]()
    elif interleaved:
        launch[1, True]()
    else:
        launch[1, False]()


# ---- binding ----


def check_positions(call: Call) raises Message:
    call.require_device(4, 0)
    call.require_dtype(4, INT64)
    var query = call.input(0)
    var positions = call.input(4)
    var same = (positions.rank == 1 and positions.size(0) == query.size(1)) or (
        positions.rank == 2 and positions.size(0) == query.size(0) and positions.size(1) == query.size(1)
    )
    if not same:
        var message = call.refuse_shape(4)
        message.write("[", query.size(0), ", ", query.size(1), "] or [", query.size(1), "]")
        message.write(", batch and sequence of query")
        raise message^
    call.require_rank(2, 2, "positions, head dimension")
    if not positions.has_values():
        return
    var strides = positions.strides()
    for i in range(positions.numel):
        var inner = positions.size(positions.rank - 1)
        var at = i % inner * Int(strides.unsafe_load(positions.rank - 1))
        if positions.rank == 2:
            at += i // inner * Int(strides.unsafe_load(0))
        var row = Int(positions.pointer[DType.int64]().unsafe_load(at))
        if row < 0 or row >= call.input(2).size(0):
            var message = call.refuse(4)
            message.write("holds ", row, " at element ", i, ", expected 0 to ", call.input(2).size(0) - 1)
            message.write(", the rows of cos")
            raise message^


struct Op(TorchOp):
    comptime NAME: StaticString = "rope"
    comptime INPUTS: List[StaticString] = ["query", "key", "cos", "sin", "positions"]
    comptime OPTIONAL: List[StaticString] = ["positions"]
    comptime OUTPUTS: List[StaticString] = ["query_out", "key_out"]
    comptime SCALARS = 1
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        call.require_rank(0, 4, "B, S, N, D")
        var query = call.input(0)
        if query.size(3) % 2:
            var message = call.refuse(0)
            message.write("has head dimension ", query.size(3), ", expected an even number")
            raise message^
        call.require_like(1, 0)
        call.require_rank(1, 4, "B, S, N, D")
        var key = call.input(1)
        if key.size(0) != query.size(0) or key.size(1) != query.size(1) or key.size(3) != query.size(3):
            var message = call.refuse_shape(1)
            message.write("[", query.size(0), ", ", query.size(1), ", N, ", query.size(3), "], as query")
            raise message^
        call.require_like(2, 0)
        var angles = Shape(query, 2)
        angles.put(0, query.size(1))
        angles.put(1, query.size(3))
        var meaning: StaticString = "sequence and head dimension of query"
        if call.input(4).defined:
            check_positions(call)
            angles.put(0, call.input(2).size(0))
            meaning = "rows of cos and head dimension of query"
        for table in range(2, 4):
            call.require_like(table, 0)
            call.require_sizes(table, angles.address(), 2, meaning)

    @staticmethod
    def shape(call: Call, output: Int) -> Shape:
        return Shape(call.input(output), 4)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of key" if output else "the shape of query"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var query_out = call.output(0).pointer[dtype]()
        var key_out = call.output(1).pointer[dtype]()
        var query = call.input(0).pointer[dtype]()
        var key = call.input(1).pointer[dtype]()
        var cos = call.input(2).pointer[dtype]()
        var sin = call.input(3).pointer[dtype]()
        var sizes = Sizes(
            tokens=call.input(0).size(0) * call.input(0).size(1),
            sequence=call.input(0).size(1),
            heads=call.input(0).size(2),
            key_heads=call.input(1).size(2),
            head=call.input(0).size(3),
            positions=call.input(4).data,
            shared=call.input(4).rank == 1,
            rows=call.input(2).size(0),
        )
        var interleaved = call.boolean(0)
        comptime if is_gpu[target]():
            rope_gpu(query_out, key_out, query, key, cos, sin, sizes, interleaved, call.device())
        else:
            rope_cpu(query_out, key_out, query, key, cos, sin, sizes, interleaved, call.fresh)
