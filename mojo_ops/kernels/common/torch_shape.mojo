"""The sizes of a tensor that has not been allocated yet."""

from std.memory import Pointer

from .torch_abi import Sizes, View

comptime MAX_DIMENSIONS = 64  # PyTorch's limit


struct Shape(Movable):
    """Sizes of an output."""

    var sizes: Array[Int64, MAX_DIMENSIONS]
    var rank: Int

    def __init__(out self, of: View, rank: Int):
        """The first `rank` dimensions of a tensor, which may have fewer if the arguments have not been
        checked."""
        self.sizes = Array[Int64, MAX_DIMENSIONS](uninitialized=True)
        self.rank = min(rank, of.rank)
        for i in range(self.rank):
            self.put(i, of.size(i))

    @always_inline
    def put(mut self, i: Int, size: Int):
        """Sets dimension `i`; does nothing for a negative one, of a tensor without dimensions."""
        if i < 0:
            return
        Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_store(i, Int64(size))

    @always_inline
    def address(mut self) -> Sizes:
        """MutAnyOrigin keeps this alive as long as the caller uses the pointer."""
        return Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()
