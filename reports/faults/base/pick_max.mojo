"""Op pick for the MAX engine: the kernel of pick.mojo, serial, behind typed tensors. Each fault is a small edit of it."""

import extensibility
from extensibility import InputTensor, OutputTensor
from std.collections import Span


def scale_row(scaled: Span[mut=True, Float32, _], row: Span[Float32, _], scale: Float32) -> Float32:
    """Sets scaled = scale * row; returns the sum of the row."""
    var sum = Float32(0)
    for c in range(len(row)):
        scaled[c] = scale * row[c]
        sum += row[c]
    return sum


@extensibility.register("pick")
struct Pick:
    @staticmethod
    def execute[
        target: StaticString
    ](
        out_: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.float32, rank=2, ...],
        rows: InputTensor[dtype=DType.int64, rank=1, ...],
        factor: Float32,
    ) raises:
        var cols = x.dim_size(1)
        var scaled = List[Float32](length=cols, fill=0)
        for i in range(rows.dim_size(0)):
            if rows[i] < 0 or Int(rows[i]) >= x.dim_size(0):
                raise Error("pick: rows has ", rows[i], ", not a row of x")
            var row = Span(unsafe_ptr=x.unsafe_ptr().unsafe_offset(Int(rows[i]) * cols), length=cols)
            var sum = scale_row(scaled, row, factor)
            for c in range(cols):
                out_.unsafe_ptr().unsafe_store(i * cols + c, scaled[c] + sum)
