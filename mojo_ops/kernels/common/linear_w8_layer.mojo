"""The operands of op linear_w8, for its CPU and its GPU half; see linear_w8.mojo."""

from std.memory import Pointer

from .vectors import F32, Ptr, put, up

comptime I8 = DType.int8


@always_inline
def any[dtype: DType, //](p: Raw[dtype]) -> Ptr[dtype]:
    return p.unsafe_origin_cast[MutAnyOrigin]()


comptime Raw[dtype: DType] = Pointer[Scalar[dtype], MutUntrackedOrigin]


struct Layer[dtype: DType](ImplicitlyCopyable, Movable):
    """A layer and its operands, which outlive it.

    y is [batch, outputs], x [batch, inputs], weight [outputs, inputs], scales and bias
    [outputs]; bias is used where `has_bias`.
    """

    var y: Raw[Self.dtype]
    var x: Raw[Self.dtype]
    var weight: Raw[I8]
    var scales: Raw[Self.dtype]
    var bias: Raw[Self.dtype]
    var has_bias: Bool
    var batch: Int
    var inputs: Int
    var outputs: Int

    @always_inline
    def __init__(
        out self,
        y: Ptr[Self.dtype],
        x: Ptr[Self.dtype],
        weight: Ptr[I8],
        scales: Ptr[Self.dtype],
        bias: Ptr[Self.dtype],
        has_bias: Bool,
        batch: Int,
        inputs: Int,
        outputs: Int,
    ):
        self.y = y.unsafe_origin_cast[MutUntrackedOrigin]()
        self.x = x.unsafe_origin_cast[MutUntrackedOrigin]()
        self.weight = weight.unsafe_origin_cast[MutUntrackedOrigin]()
        self.scales = scales.unsafe_origin_cast[MutUntrackedOrigin]()
        self.bias = bias.unsafe_origin_cast[MutUntrackedOrigin]()
        self.has_bias = has_bias
        self.batch = batch
        self.inputs = inputs
        self.outputs = outputs

    @always_inline
    def finish(self, m: Int, n: Int, total: Float32):
        var value = total * up[1](any(self.scales), n)[0]
        if self.has_bias:
            value += up[1](any(self.bias), n)[0]
        put[1](any(self.y), m * self.outputs + n, SIMD[F32, 1](value))
