"""The product silu(a) b and its gradients, of two tensors (silu_mul) or the two halves of each row (silu_and_mul).

silu(a) = a / (1 + exp(-a)): Shazeer, https://arxiv.org/abs/2002.05202, equation 6.
"""

from std.sys import align_of

from .exp2 import exp2
from .row_pieces import over_rows
from .torch_call import Call
from .torch_message import Message
from .torch_shape import Shape
from .vectors import F32, Ptr, put, up


@always_inline
def one_plus_exp_of_minus[width: SIMDLength](x: SIMD[F32, width]) -> SIMD[F32, width]:
    """Infinite below -88.7, where x / (1 + exp(-x)) rounds to 0; undefined for NaN, where the quotient is NaN.
    """
    comptime MINUS_LOG2_E = Float32(-1.4426950408889634)
    return 1 + exp2(x * MINUS_LOG2_E)


@always_inline
def gate_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](y: Ptr[dtype], i: Int, a: Ptr[dtype], b: Ptr[dtype], at: Int):
    """Writes silu(a) b of the elements from `at` on to y from `i` on."""
    var gate = up[width, alignment](a, at)
    put[width, alignment, stream](y, i, gate / one_plus_exp_of_minus(gate) * up[width, alignment](b, at))


@always_inline
def gate_gradients_at[
    dtype: DType,
    //,
    width: Int,
    alignment: Int = align_of[dtype](),
    stream: Bool = False,
](grad_a: Ptr[dtype], grad_b: Ptr[dtype], grad: Ptr[dtype], i: Int, a: Ptr[dtype], b: Ptr[dtype], at: Int):
    """Writes the gradients of silu(a) b by a and b, for `grad` from `i` on and the elements of all else from `at` on.

    With s = 1 / (1 + exp(-a)) they are grad b s (1 + a (1 - s)) and grad a s. Computing the exponential again costs
    less than reading a stored one.
    """
    var g = up[width, alignment](grad, i)
    var gate = up[width, alignment](a, at)
    var factor = up[width, alignment](b, at)
    var s = 1 / one_plus_exp_of_minus(gate)
    put[width, alignment, stream](grad_a, at, g * factor * (s * (1 + gate * (1 - s))))
    put[width, alignment, stream](grad_b, at, g * (gate * s))


@always_inline
def over_halves[
    Body: def[width: Int, stream: Bool](Int, Int) -> None
](body: Body, rows: Int, d: Int, past_cache: Bool):
    """Calls `body(i, at)` for all rows: offsets in tensors with d elements per row and in those with 2 d."""

    @always_inline
    def piece[width: Int, stream: Bool](row: Int, column: Int) {imm}:
        body[width, stream](row * d + column, 2 * row * d + column)

    over_rows(piece, rows, d, past_cache)


def check_halves(call: Call, tensor: Int) raises Message:
    """Raises unless the last dimension is even."""
    var x = call.input(tensor)
    call.require_dimension(tensor)
    if x.size(x.rank - 1) % 2:
        var message = call.refuse(tensor)
        message.write("has a last dimension of ", x.size(x.rank - 1), ", expected an even number")
        raise message^


def half_shape(call: Call, tensor: Int) -> Shape:
    var x = call.input(tensor)
    var shape = Shape(x, x.rank)
    shape.put(x.rank - 1, x.size(x.rank - 1) // 2)
    return shape^
