"""The arguments of a call, at an address: what MAX hands to an op's binding, made of numbers.

A tensor is its address and one size a dimension, a scalar is a number; each takes eight bytes.
"""

from extensibility import InputTensor, StaticTensorSpec
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext
from std.memory import Pointer, bitcast
from std.utils import IndexList

comptime Output[dtype: DType, rank: Int] = MutableInputTensor[
    static_spec=StaticTensorSpec[dtype, rank, ...].get_unknown()
]
comptime Input[dtype: DType, rank: Int] = InputTensor[
    static_spec=StaticTensorSpec[dtype, rank, ...].get_unknown()
]


@fieldwise_init
struct Arguments(Movable):
    """Reads one argument after the other."""

    var next: Int

    def integer(mut self) -> Int64:
        self.next += 8
        return Pointer[Int64, MutAnyOrigin](unsafe_from_address=self.next - 8)[]

    def real(mut self) -> Float32:
        return bitcast[DType.float64](self.integer()).cast[DType.float32]()

    def pointer[dtype: DType](mut self) -> Pointer[Scalar[dtype], MutAnyOrigin]:
        return Pointer[Scalar[dtype], MutAnyOrigin](unsafe_from_address=Int(self.integer()))

    def sizes[rank: Int](mut self) -> IndexList[rank]:
        var sizes = IndexList[rank]()
        comptime for i in range(rank):
            sizes[i] = Int(self.integer())
        return sizes

    def output[dtype: DType, rank: Int](mut self) -> Output[dtype, rank]:
        var data = self.pointer[dtype]()
        return Output[dtype, rank](data, self.sizes[rank]())

    def input[dtype: DType, rank: Int](mut self) -> Input[dtype, rank]:
        var data = self.pointer[dtype]()
        return Input[dtype, rank](data, self.sizes[rank]())


def call[
    function: def(mut Arguments, DeviceContext) thin raises -> None
](arguments: Int, message: Int, room: Int) -> Int:
    """Calls an op and waits for it. After an error its text is at `message`, cut to `room` bytes with a zero at the end.

    Returns: 0, or 1 after an error.
    """
    try:
        with DeviceContext() as ctx:
            var values = Arguments(arguments)
            function(values, ctx)
            ctx.synchronize()
    except error:
        var text = String(error)
        var at = Pointer[UInt8, MutAnyOrigin](unsafe_from_address=message)
        var length = 0
        for byte in text.as_bytes():
            if length < room - 1:
                at.unsafe_store(length, byte)
                length += 1
        at.unsafe_store(length, 0)
        return 1
    return 0
