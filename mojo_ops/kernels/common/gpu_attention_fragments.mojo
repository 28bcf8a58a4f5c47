"""The part of an attention tile that one warp holds in registers, in the layout of mma.m16n8k16.

Lane 4 g + t has, of every tile of 16 rows and 8 columns, rows g and g + 8, columns
2 t and 2 t + 1. Two such tiles of scores side by side are an A operand as they are,
so that the weights of the softmax never leave the registers.
"""

from max.gpu.compute.mma import ld_matrix, mma
from max.gpu.primitives.warp import shuffle_xor
from std.math import exp2

from .gpu_attention_copies import CHUNK, PADDING, Shared
from .attention_tiles import INF
from .vectors import F32

comptime Quad = SIMD[F32, 4]


struct Fragments[dtype: DType, padded: Int, m_tiles: Int, keys: Int]:
    """Scores, output, and the maxima and sums of the online softmax for 16 `m_tiles` rows."""

    comptime STRIDE = Self.padded + PADDING
    comptime SCORES = Self.keys // 8  # tiles side by side
    comptime OUTPUTS = Self.padded // 8
    comptime ROWS = 2 * Self.m_tiles  # of a lane: 8 apart
    comptime Limits = Array[Int32, Self.ROWS]

    var output: Array[Quad, Self.m_tiles * Self.OUTPUTS]
    var score: Array[Quad, Self.m_tiles * Self.SCORES]
    var maximum: Array[Float32, Self.ROWS]
    var sum: Array[Float32, Self.ROWS]  # of this lane's columns

    @always_inline
    def __init__(out self):
        self.output = Array[Quad, Self.m_tiles * Self.OUTPUTS](fill=0)
        self.score = Array[Quad, Self.m_tiles * Self.SCORES](fill=0)
        self.maximum = Array[Float32, Self.ROWS](fill=-INF)
        self.sum = Array[Float32, Self.ROWS](fill=0)

    @staticmethod
    @always_inline
    def rows_at(lane: Int) -> Int:
        """Where a lane points ldmatrix for an A operand, or for a transposed B operand."""
        return lane % 16 * Self.STRIDE + lane // 16 * CHUNK

    @staticmethod
    @always_inline
    def columns_at(lane: Int) -> Int:
        """Where a lane points ldmatrix for two B operands that lie in 16 rows."""
        return (lane % 8 + lane // 16 * 8) * Self.STRIDE + lane // 8 % 2 * CHUNK

    @always_inline
    def multiply_keys(mut self, q: Shared[Self.dtype], k: Shared[Self.dtype]):
        """Computes score = q k^T."""
        self.score = Array[Quad, Self.m_tiles * Self.SCORES](fill=0)
        comptime for step in range(Self.padded // 16):
            var a = Array[SIMD[Self.dtype, 8], Self.m_tiles](fill=0)
            comptime for m in range(Self.m_tiles):
                a[m] = ld_matrix[8](q.unsafe_offset(m * 16 * Self.STRIDE + step * 16))
            comptime for n in range(Self.SCORES // 2):
                var b = ld_matrix[8](k.unsafe_offset(n * 16 * Self.STRIDE + step * 16))
                comptime for half in range(2):
                    comptime for m in range(Self.m_tiles):
                        comptime i = m * Self.SCORES + 2 * n + half
                        mma(self.score[i], a[m], b.slice[4, offset=4 * half](), self.score[i])

    @always_inline
    def mask(mut self, first: Int32, limit: Self.Limits):
        """Hides from each row the keys from its limit on; `first` is the key of this lane's first column."""
        comptime for m in range(Self.m_tiles):
            comptime for n in range(Self.SCORES):
                comptime for i in range(4):
                    if first + Int32(n * 8 + i % 2) >= limit[2 * m + i // 2]:
                        self.score[m * Self.SCORES + n][i] = -INF

    @always_inline
    def softmax(mut self, scale: Float32):
        """Turns scores into weights under the new maxima, and rescales sums and output to them."""
        comptime for r in range(Self.ROWS):
            comptime first_score = r // 2 * Self.SCORES
            comptime first_output = r // 2 * Self.OUTPUTS
            comptime half = r % 2 * 2
            var current_maximum = self.maximum[r]
            comptime for n in range(Self.SCORES):
                comptime for i in range(2):
                    current_maximum = max(current_maximum, self.score[first_score + n][half + i])
            current_maximum = max(current_maximum, shuffle_xor(current_maximum, 1))
            current_maximum = max(current_maximum, shuffle_xor(current_maximum, 2))
            var base = Float32(0) if current_maximum == -INF else current_maximum * scale
            var factor = exp2(self.maximum[r].fma(scale, -base))
            self.maximum[r] = current_maximum
            var sum = self.sum[r] * factor
            comptime for n in range(Self.SCORES):
                comptime for i in range(2):
                    var weight = exp2(self.score[first_score + n][half + i].fma(scale, -base))
                    self.score[first_score + n][half + i] = weight
                    sum += weight
            self.sum[r] = sum
            comptime for n in range(Self.OUTPUTS):
                comptime for i in range(2):
                    self.output[first_output + n][half + i] *= factor

    @always_inline
    def multiply_values(mut self, v: Shared[Self.dtype]):
        """Computes output += score v, with the weights rounded to the values' dtype."""
        comptime for step in range(Self.keys // 16):
            var a = Array[SIMD[Self.dtype, 8], Self.m_tiles](fill=0)
            comptime for m in range(Self.m_tiles):
                comptime i = m * Self.SCORES + 2 * step
                a[m] = self.score[i].join(self.score[i + 1]).cast[Self.dtype]()
            comptime for n in range(Self.OUTPUTS // 2):
                var b = ld_matrix[8, transpose=True](v.unsafe_offset(step * 16 * Self.STRIDE + n * 16))
                comptime for half in range(2):
                    comptime for m in range(Self.m_tiles):
                        comptime i = m * Self.OUTPUTS + 2 * n + half
                        mma(self.output[i], a[m], b.slice[4, offset=4 * half](), self.output[i])

    @always_inline
    def store(self, to: Shared[Self.dtype], lane: Int, limit: Self.Limits):
        """Divides by the sums and writes the warp's rows to shared memory, zeros where no key is seen."""
        var first = lane // 4 * Self.STRIDE + lane % 4 * 2
        comptime for r in range(Self.ROWS):
            var sum = self.sum[r]
            sum += shuffle_xor(sum, 1)
            sum += shuffle_xor(sum, 2)
            var factor = Float32(0) if limit[r] <= 0 else 1 / sum
            comptime for n in range(Self.OUTPUTS):
                var y = self.output[r // 2 * Self.OUTPUTS + n].slice[2, offset=r % 2 * 2]() * factor
                to.unsafe_store[alignment=4](first + r * 8 * Self.STRIDE + n * 8, y.cast[Self.dtype]())
