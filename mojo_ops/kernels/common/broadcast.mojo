"""Offsets of the rows of a broadcast tensor, by the rows of the tensor that it is broadcast to."""

from std.memory import Pointer

from .torch_abi import View
from .torch_shape import MAX_DIMENSIONS


def broadcasts(view: View, to: View) -> Bool:
    """By PyTorch's rules: dimensions count from the last, each is 1, missing, or that of `to`."""
    if view.rank > to.rank:
        return False
    for i in range(1, view.rank + 1):
        var size = view.size(view.rank - i)
        if size != 1 and size != to.size(to.rank - i):
            return False
    return True


struct BroadcastRows(Movable):
    """Both tensors are contiguous. Neighbouring dimensions with a common step are merged."""

    var rank: Int
    var step: Int
    var sizes: Array[Int, MAX_DIMENSIONS]
    var strides: Array[Int, MAX_DIMENSIONS]

    @always_inline
    def __init__(out self, columns: Int):
        """`columns`: the last dimension of the broadcast tensor; `add` takes the others, from the last on."""
        self.rank = 0
        self.step = columns
        self.sizes = Array[Int, MAX_DIMENSIONS](uninitialized=True)
        self.strides = Array[Int, MAX_DIMENSIONS](uninitialized=True)

    def __init__(out self, view: View, to: View):
        self = BroadcastRows(view.size(view.rank - 1) if view.rank else 1)
        for i in range(2, to.rank + 1):
            self.add(view.size(view.rank - i) if i <= view.rank else 1, to.size(to.rank - i))

    @always_inline
    def size(self, i: Int) -> Int:
        return Pointer(to=self.sizes).unsafe_bitcast[Int]().unsafe_load(i)

    @always_inline
    def stride(self, i: Int) -> Int:
        return Pointer(to=self.strides).unsafe_bitcast[Int]().unsafe_load(i)

    def add(mut self, view_size: Int, to_size: Int):
        """A dimension of the broadcast tensor, and that of the other one."""
        if to_size == 1:
            return
        var row_stride = 0 if view_size == 1 else self.step
        self.step *= view_size
        var sizes = Pointer(to=self.sizes).unsafe_bitcast[Int]()
        var last = self.rank - 1
        if self.rank > 0 and row_stride == self.size(last) * self.stride(last):
            sizes.unsafe_store(last, self.size(last) * to_size)
        else:
            sizes.unsafe_store(self.rank, to_size)
            Pointer(to=self.strides).unsafe_bitcast[Int]().unsafe_store(self.rank, row_stride)
            self.rank += 1

    @always_inline
    def offset(self, row: Int) -> Int:
        """Offset, in elements, of the row that corresponds to `row` of the other tensor."""
        var at = 0
        var remaining = row
        for i in range(self.rank - 1):
            at += remaining % self.size(i) * self.stride(i)
            remaining = remaining // self.size(i)
        return at + remaining * self.stride(self.rank - 1) if self.rank else 0
