"""Ops sum4 and sum8: sums of four and eight tensors, which show the cost of each tensor in a call."""

from .common.elementwise import Formula, Scalars, elementwise
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import F32


struct Total[count: Int](Formula):
    comptime TENSORS = Self.count

    @staticmethod
    @always_inline
    def of[width: Int](x: Array[SIMD[F32, width], Self.TENSORS], scalars: Scalars) -> SIMD[F32, width]:
        var total = x[0]
        comptime for t in range(1, Self.count):
            total += x[t]
        return total


# ---- binding ----


def letters(count: Int) -> List[StaticString]:
    var names: List[StaticString] = ["a", "b", "c", "d", "e", "f", "g", "h"]
    names.shrink(count)
    return names^


struct Sum[name: StaticString, count: Int](TorchOp):
    comptime NAME = Self.name
    comptime INPUTS = letters(Self.count)
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime SCALARS = 0
    comptime IN_PLACE = True
    comptime DTYPES: List[DType] = [F32]

    @staticmethod
    def check(call: Call) raises Message:
        comptime for i in range(1, Self.count):
            call.require_like(i, 0)
            call.require_sizes(i, call.input(0).sizes_from(0), call.input(0).rank, "the shape of a")

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of a"

    @staticmethod
    def run[dtype: DType, target: StaticString](call: Call) raises:
        elementwise[Total[Self.count], dtype, target](call)


comptime sum4 = Sum["sum4", 4]
comptime sum8 = Sum["sum8", 8]
