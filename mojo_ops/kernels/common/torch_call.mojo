"""A call of an op: its tensors and scalars, and checks of them with their error messages."""

from max.gpu.host import DeviceContext
from std.memory import Pointer, bitcast

from .torch_abi import Sizes, View, dtype_name
from .torch_message import Message

comptime MAX_TENSORS = 12


struct Call(Movable):
    """The tensors of a call: inputs, then outputs, in schema order. If an op that writes its arguments is
    called in place, these arguments are its outputs.
    """

    var op: StaticString
    var tensors: Array[View, MAX_TENSORS]
    var scalars: Array[UInt64, MAX_TENSORS]
    var inputs: Int
    var fresh: Bool  # outputs were allocated for this call, not given by the caller
    var name_of: def(Int) thin -> StaticString
    var kernel: Int  # 0 for the kernel of the op, then those in its PASSES
    var context: Int  # address of MAX's DeviceContext, for a call on a GPU

    @always_inline
    def __init__(
        out self, op: StaticString, inputs: Int, fresh: Bool, name_of: def(Int) thin -> StaticString
    ):
        self.op = op
        self.tensors = Array[View, MAX_TENSORS](uninitialized=True)
        self.scalars = Array[UInt64, MAX_TENSORS](uninitialized=True)
        self.inputs = inputs
        self.fresh = fresh
        self.name_of = name_of
        self.kernel = 0
        self.context = 0

    @always_inline
    def view(self, i: Int) -> ref[self.tensors] View:
        return Pointer(to=self.tensors).unsafe_bitcast[View]()[unsafe_offset=i]

    @always_inline
    def put(mut self, i: Int, view: View):
        Pointer(to=self.tensors).unsafe_bitcast[View]()[unsafe_offset=i] = view

    @always_inline
    def input(self, i: Int) -> ref[self.tensors] View:
        return self.view(i)

    @always_inline
    def output(self, i: Int) -> ref[self.tensors] View:
        return self.view(self.inputs + i)

    def real(self, i: Int) -> Float32:
        """Scalar `i`, of the schema's type float; scalars are counted separately from tensors."""
        return Float32(bitcast[DType.float64](self.scalars[i]))

    def integer(self, i: Int) -> Int:
        """Scalar `i`, of the schema's type int."""
        return Int(bitcast[DType.int64](self.scalars[i]))

    def boolean(self, i: Int) -> Bool:
        """Scalar `i`, of the schema's type bool."""
        return self.scalars[i] & 0xFF != 0

    def device(self) -> ref[MutAnyOrigin] DeviceContext:
        """The device context in which a GPU kernel is launched."""
        return Pointer[DeviceContext, MutAnyOrigin](unsafe_from_address=self.context)[]

    def refuse_call(self) -> Message:
        """The beginning of an error that is not about a tensor: `top_k: `."""
        var message = Message()
        message.write(self.op, ": ")
        return message^

    def refuse(self, tensor: Int) -> Message:
        """The beginning of an error about a tensor: `rms_norm: weight `."""
        var message = Message()
        message.write(self.op, ": ", self.name_of(tensor), " ")
        return message^

    def refuse_none(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.of_type = True
        message.write("is None, expected a tensor")
        return message^

    def refuse_shape(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.write("has shape ")
        var view = self.view(tensor)
        message.write_sizes(view.sizes_from(0), view.rank)
        message.write(", expected ")
        return message^

    def refuse_dtype(self, tensor: Int) -> Message:
        var message = self.refuse(tensor)
        message.of_type = True
        message.write("has dtype ", dtype_name(self.view(tensor).dtype), ", expected ")
        return message^

    # An optional tensor that is None passes each of the following checks.

    def require_dtype(self, tensor: Int, dtype: Int32) raises Message:
        if self.view(tensor).defined and self.view(tensor).dtype != dtype:
            var message = self.refuse_dtype(tensor)
            message.write(dtype_name(dtype))
            raise message^

    def require_device(self, tensor: Int, reference: Int) raises Message:
        """Raises if a tensor is not on the device of another tensor."""
        var view = self.view(tensor)
        var expected = self.view(reference)
        if view.defined and (view.device != expected.device or view.index != expected.index):
            var message = self.refuse(tensor)
            message.write("is on ")
            message.write_device(view)
            message.write(", expected ")
            message.write_device(expected)
            message.write(", the device of ", self.name_of(reference))
            raise message^

    def require_like(self, tensor: Int, reference: Int) raises Message:
        """Raises if a tensor does not have the device and dtype of another tensor."""
        self.require_device(tensor, reference)
        if self.view(tensor).defined and self.view(tensor).dtype != self.view(reference).dtype:
            var message = self.refuse_dtype(tensor)
            message.write(dtype_name(self.view(reference).dtype), ", the dtype of ", self.name_of(reference))
            raise message^

    def require_dimension(self, tensor: Int) raises Message:
        """Raises where a tensor has no dimension."""
        if self.view(tensor).defined and self.view(tensor).rank == 0:
            var message = self.refuse(tensor)
            message.write("has 0 dimensions, expected at least 1")
            raise message^

    def require_rank(self, tensor: Int, rank: Int, meaning: StaticString) raises Message:
        if self.view(tensor).defined and self.view(tensor).rank != rank:
            var message = self.refuse(tensor)
            message.write("has ", self.view(tensor).rank, " dimensions, expected ", rank, " (", meaning, ")")
            raise message^

    def require_sizes(self, tensor: Int, sizes: Sizes, rank: Int, meaning: StaticString) raises Message:
        if not self.view(tensor).defined:
            return
        var same = self.view(tensor).rank == rank
        for i in range(rank):
            same = same and self.view(tensor).size(i) == Int(sizes.unsafe_load(i))
        if not same:
            var message = self.refuse_shape(tensor)
            message.write_sizes(sizes, rank)
            message.write(", ", meaning)
            raise message^
