"""Sizes, visibility of keys, register tiles and scratch memory for the attention kernels."""

from std.ffi import external_call
from std.memory import Pointer
from std.sys.info import CompilationTarget

from .vectors import F32, LANES, Ptr, down

comptime Raw[dtype: DType] = Pointer[Scalar[dtype], MutUntrackedOrigin]  # the type of fields
comptime Vector = SIMD[F32, LANES]
comptime INF = Float32.MAX * 2
comptime LOG2E = Float32(1.44269504)  # scores are scaled by it: exponentials are powers of two

# Registers for sums: 32 vector registers hold 24 of them, 3 vectors and a broadcast, 16 hold 12.
comptime WIDE_FILE = CompilationTarget.has_avx512f() or not CompilationTarget.is_x86()

# Pairs of bfloat16 multiplied exactly and added in float32, at twice the rate of float32.
comptime PAIR_PRODUCTS = LANES == 16 and CompilationTarget._has_feature["avx512bf16"]()


@fieldwise_init
struct Sizes(ImplicitlyCopyable, Movable):
    """The sizes of query [batch, queries, heads, dim], key and value [batch, keys, key_heads, dim]."""

    var batch: Int
    var queries: Int
    var keys: Int
    var heads: Int
    var key_heads: Int
    var dim: Int
    var lengths: Int  # address of int64[batch]; 0: all keys are valid
    var scale: Float32  # of the scores, times log2(e)
    var causal: Bool

    @always_inline
    def group(self) -> Int:
        return self.heads // self.key_heads

    @always_inline
    def rows(self) -> Int:
        """The number of query rows of a key head: the queries times the heads of the group."""
        return self.queries * self.group()

    @always_inline
    def length(self, b: Int) -> Int:
        if self.lengths == 0:
            return self.keys
        return Int(Raw[DType.int64](unsafe_from_address=self.lengths).unsafe_load(b))

    @always_inline
    def limit(self, length: Int, row: Int) -> Int:
        """The first key that the row does not see."""
        return max(0, length - self.queries + 1 + row // self.group()) if self.causal else length

    @always_inline
    def at(self, b: Int, key_head: Int, row: Int) -> Int:
        """The offset of a row of a key head in query and output."""
        var group = self.group()
        return ((b * self.queries + row // group) * self.heads + key_head * group + row % group) * self.dim

    @always_inline
    def cache_at(self, b: Int, key: Int, key_head: Int) -> Int:
        return ((b * self.keys + key) * self.key_heads + key_head) * self.dim


@always_inline
def raw[dtype: DType, //](p: Ptr[dtype]) -> Raw[dtype]:
    return p.unsafe_origin_cast[MutUntrackedOrigin]()


@always_inline
def floats[dtype: DType, //, width: Int](p: Raw[dtype], i: Int) -> SIMD[F32, width]:
    return p.unsafe_load[width=width](i).cast[F32]()


@always_inline
def load_some[dtype: DType, //](p: Raw[dtype], n: Int) -> Vector:
    """Loads the first `n` of LANES elements; the others are zero."""
    if n >= LANES:
        return floats[LANES](p, 0)
    var v = Vector(0)
    for i in range(n):
        v[i] = floats[1](p, i)[0]
    return v


@always_inline
def store_some[dtype: DType, //](p: Raw[dtype], n: Int, v: Vector):
    if n >= LANES:
        p.unsafe_store(0, down[dtype](v))
        return
    for i in range(n):
        p.unsafe_store(i, down[dtype](SIMD[F32, 1](v[i])))


@always_inline
def transpose(p: Raw[F32]):
    """Swaps p[i][j] and p[j][i] of LANES vectors in place; any 32-bit values."""
    var v = Array[Vector, LANES](fill=0)
    comptime for i in range(LANES):
        v[i] = p.unsafe_load[width=LANES](i * LANES)
    comptime HALF = LANES // 2
    comptime STEPS = 4 if LANES == 16 else 3 if LANES == 8 else 2
    comptime for _ in range(STEPS):
        var w = v.copy()
        comptime for i in range(HALF):
            var both = w[i].interleave(w[i + HALF])
            v[2 * i] = rebind[Vector](both.slice[LANES]())
            v[2 * i + 1] = rebind[Vector](both.slice[LANES, offset=LANES]())
    comptime for i in range(LANES):
        p.unsafe_store(i * LANES, v[i])


@always_inline
def allocate(floats: Int) -> Raw[F32]:
    """Memory aligned to a cache line, from the C library: Mojo's allocator needs a run-time library."""
    var bytes = (4 * floats + 63) // 64 * 64
    return Raw[F32](unsafe_from_address=external_call["aligned_alloc", Int](64, bytes))


@always_inline
def free(p: Raw[F32]):
    # An address, as in row_gradients: MAX compiles all ops as one module, where `free` may have one signature.
    external_call["free", NoneType](Int(p))


@always_inline
def clear(p: Raw[F32], floats: Int):
    for i in range(floats):
        p.unsafe_store(i, Float32(0))
