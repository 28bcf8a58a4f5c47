"""Sizes of a tensor that is still to be made."""

from std.memory import Pointer

from .torch_abi import Sizes, View

comptime MAX_DIMENSIONS = 64  # PyTorch's own bound


struct Shape(Movable):
    """Sizes of an output."""

    var sizes: Array[Int64, MAX_DIMENSIONS]
    var rank: Int

    def __init__(out self, of: View, rank: Int):
        """The first `rank` dimensions of a tensor, which may have fewer if its arguments were not checked."""
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
        """For as long as the caller uses it: MutAnyOrigin keeps this alive."""
        return Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_origin_cast[MutAnyOrigin]()
