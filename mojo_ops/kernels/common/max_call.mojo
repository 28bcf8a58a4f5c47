"""A call by MAX, which hands over tensors and scalars as arguments of their own types, as a `Call`.

The bindings that MAX calls are written by the build (mojo_ops/bindings.py); each passes its arguments to this
module.
"""

from extensibility import ManagedTensorSlice
from max.gpu.host import DeviceContext
from std.memory import Pointer, bitcast

from .torch_abi import CPU, View, code_of
from .torch_call import MAX_TENSORS, Call
from .torch_op import TorchOp, name_of

comptime MAX_RANK = 8


struct MaxCall[Op: TorchOp, inputs: Int, outputs: Int]:
    """The arguments of one call, which must outlive it; inputs and outputs are counted as in `Call`."""

    var call: Call
    var sizes: Array[Int64, MAX_TENSORS * MAX_RANK]

    @always_inline
    def __init__(out self):
        self.call = Call(Self.Op.NAME, Self.inputs, False, name_of[Self.Op])
        self.sizes = Array[Int64, MAX_TENSORS * MAX_RANK](uninitialized=True)

    @always_inline
    def put(mut self, i: Int, tensor: ManagedTensorSlice):
        """Tensor `i`: inputs come first, then outputs."""
        comptime assert tensor.rank <= MAX_RANK
        var sizes = Pointer(to=self.sizes).unsafe_bitcast[Int64]().unsafe_offset(i * MAX_RANK)
        comptime for d in range(tensor.rank):
            sizes.unsafe_store(d, Int64(tensor.dim_size(d)))
        self.call.put(
            i,
            View(
                handle=0,
                data=Int(tensor.unsafe_ptr()),
                sizes=Int(sizes),
                rank=tensor.rank,
                numel=tensor.size(),
                dtype=code_of[tensor.dtype](),
                device=CPU,
                index=0,
                contiguous=True,
                defined=True,
            ),
        )

    @always_inline
    def put_optional(mut self, i: Int, tensor: ManagedTensorSlice):
        """An optional input, which is None if it has no elements."""
        if tensor.size():
            self.put(i, tensor)
        else:
            self.call.put(i, View())

    @always_inline
    def scalar(mut self, i: Int, value: Float32):
        self.call.scalars[i] = bitcast[DType.uint64](Float64(value))

    @always_inline
    def scalar(mut self, i: Int, value: Int64):
        self.call.scalars[i] = UInt64(value)

    @always_inline
    def run[dtype: DType, target: StaticString](mut self, ctx: DeviceContext) raises:
        """Runs the kernel, unless all outputs are empty."""
        var elements = 0
        comptime for i in range(Self.outputs):
            elements += self.call.output(i).numel
        if elements:
            self.call.context = Int(Pointer(to=ctx))
            Self.Op.run[dtype, target](self.call)
