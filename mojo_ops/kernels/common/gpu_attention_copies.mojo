"""Copies between global and shared memory for the tensor-core kernel, 16 bytes at a time.

Rows in shared memory lie 16 bytes further apart than they are long. The distance is
then an odd multiple of 16 bytes, so that the eight rows that ldmatrix reads at once
come from all 32 banks. Unlike an XOR swizzle, this leaves every address of a tile a
constant away from the first.
"""

from max.gpu.memory import async_copy
from std.memory import AddressSpace, Pointer

from .vectors import Ptr

comptime CHUNK = 8  # elements of 16 bits in 16 bytes
comptime PADDING = CHUNK
comptime Shared[dtype: DType] = Pointer[Scalar[dtype], MutUntrackedOrigin, address_space=AddressSpace.SHARED]


struct RowWalk(ImplicitlyCopyable, Movable):
    """Query and head within the group of a row; steps through rows without a division for each."""

    var query: UInt32
    var head: UInt32

    @always_inline
    def __init__(out self, row: Int, group: UInt32):
        self.query = UInt32(row) // group
        self.head = UInt32(row) % group

    @always_inline
    def advance(mut self, step: Self, group: UInt32):
        self.query += step.query
        self.head += step.head
        if self.head >= group:
            self.head -= group
            self.query += 1

    @always_inline
    def offset(self, heads: Int, dim: Int) -> Int:
        """Elements from the first head of the first query to this row."""
        return (Int(self.query) * heads + Int(self.head)) * dim


@always_inline
def copy_chunk[dtype: DType, //](source: Ptr[dtype], to: Shared[dtype], valid: Bool):
    """Starts the copy of 16 bytes to shared memory, or of zeros; `source` is not read then."""
    async_copy[16, fill=Scalar[dtype](0)](
        source.unsafe_address_space_cast[AddressSpace.GLOBAL](), to, Int32(16) if valid else Int32(0)
    )


struct Share[padded: Int, threads: Int](ImplicitlyCopyable, Movable):
    """The chunks of a tile that one thread copies: `EACH` in every `ROWS`-th row.

    Eight lanes read 128 bytes of a row, a cache line. With rows of 192 bytes four lanes read 64.
    """

    comptime CHUNKS = Self.padded // CHUNK
    comptime LANES = 8 if Self.CHUNKS % 8 == 0 else 4
    comptime EACH = Self.CHUNKS // Self.LANES
    comptime ROWS = Self.threads // Self.LANES
    comptime STRIDE = Self.padded + PADDING

    var row: Int
    var column: Int

    @always_inline
    def __init__(out self, thread: Int):
        self.column = thread % Self.LANES * CHUNK
        self.row = thread // Self.LANES
        comptime if Self.LANES == 4:
            # The two rows that eight lanes write lie four apart and so in different banks.
            self.row = self.row // 8 * 8 + self.row % 2 * 4 + self.row // 2 % 4

    @always_inline
    def offset(self) -> Int:
        """Elements from the first of a tile in shared memory to the first of this thread."""
        return self.row * Self.STRIDE + self.column

    @always_inline
    def copy[
        dtype: DType, //, rows: Int
    ](self, mut source: Ptr[dtype], step: Int, to: Shared[dtype], valid_rows: Int32, dim: Int):
        """Starts the copies of this thread's part of `rows` rows, zeros behind `valid_rows` and `dim`.

        `source` moves on by `step` elements for each `ROWS` rows, to the next tile.
        """
        comptime for i in range(rows // Self.ROWS):
            comptime for j in range(Self.EACH):
                comptime c = j * Self.LANES * CHUNK
                copy_chunk(
                    source.unsafe_offset(c),
                    to.unsafe_offset(i * Self.ROWS * Self.STRIDE + c),
                    Int32(i * Self.ROWS) < valid_rows and self.column + c < dim,
                )
            source = source.unsafe_offset(step)

    @always_inline
    def copy_queries[
        dtype: DType, //, rows: Int
    ](
        self,
        source: Ptr[dtype],
        to: Shared[dtype],
        first: Int,
        last: Int,
        heads: Int,
        group: UInt32,
        dim: Int,
    ):
        """Starts the copies of this thread's part of the rows from `first` to `last` of one key head."""
        var walk = RowWalk(first + self.row, group)
        var step = RowWalk(Self.ROWS, group)
        comptime for i in range(rows // Self.ROWS):
            comptime for j in range(Self.EACH):
                comptime c = j * Self.LANES * CHUNK
                copy_chunk(
                    source.unsafe_offset(walk.offset(heads, dim) + self.column + c),
                    to.unsafe_offset(self.offset() + i * Self.ROWS * Self.STRIDE + c),
                    first + self.row + i * Self.ROWS < last and self.column + c < dim,
                )
            walk.advance(step, group)

    @always_inline
    def negate[dtype: DType, //, rows: Int](self, tile: Shared[dtype]):
        """Negates what this thread has copied, once it has arrived."""
        comptime for i in range(rows // Self.ROWS):
            comptime for j in range(Self.EACH):
                var at = self.offset() + i * Self.ROWS * Self.STRIDE + j * Self.LANES * CHUNK
                tile.unsafe_store[alignment=16](at, -tile.unsafe_load[width=CHUNK, alignment=16](at))

    @always_inline
    def store_rows[
        dtype: DType, //, rows: Int
    ](self, tile: Shared[dtype], to: Ptr[dtype], first: Int, last: Int, heads: Int, group: UInt32, dim: Int):
        """Stores this thread's part of the rows from `first` to `last` of one key head."""
        var walk = RowWalk(first + self.row, group)
        var step = RowWalk(Self.ROWS, group)
        comptime for i in range(rows // Self.ROWS):
            comptime for j in range(Self.EACH):
                comptime c = j * Self.LANES * CHUNK
                if first + self.row + i * Self.ROWS < last and self.column + c < dim:
                    to.unsafe_store[alignment=16](
                        walk.offset(heads, dim) + self.column + c,
                        tile.unsafe_load[width=CHUNK, alignment=16](
                            self.offset() + i * Self.ROWS * Self.STRIDE + c
                        ),
                    )
            walk.advance(step, group)
