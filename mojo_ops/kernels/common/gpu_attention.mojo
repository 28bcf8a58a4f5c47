"""Selects the attention kernel for a GPU by the shapes.

- Few rows of a key head (decoding): gpu_attention_decode splits the cache over blocks.
- Many rows, 16 bits, on an NVIDIA GPU: gpu_attention_mma, on tensor cores.
- Many rows otherwise: gpu_attention_tiles.

Head dimensions are padded to the next size that a kernel is compiled for. All grids
are one-dimensional, since the other dimensions end at 65,535. Lengths outside the
cache are clamped, since an error would have to wait for the device.
"""

from max.gpu.host import DeviceContext
from std.sys import size_of

from .gpu_attention_decode import LANES_OF_KEY, few_rows
from .gpu_attention_mma import fits_mma, mma_rows
from .gpu_attention_tiles import many_rows
from .attention_tiles import Sizes
from .gpu import aligned, gpu_width
from .vectors import Ptr

comptime FEW_ROWS = 8


def attention_gpu[
    dtype: DType, //
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    has_lengths: Bool,
    s: Sizes,
    ctx: DeviceContext,
) raises:
    """Launches the kernels for tensors of the shapes in `s`; raises if a grid would be too large."""
    comptime if ctx.default_device_info.api == "cuda" and size_of[dtype]() == 2:
        if s.rows() > FEW_ROWS and fits_mma(out_, query, key, value, s):

            @always_inline
            def launch_mma[padded: Int]() raises {var, imm ctx}:
                mma_rows[padded](out_, query, key, value, lengths, has_lengths, s, ctx)

            if s.dim <= 64:
                launch_mma[64]()
            elif s.dim <= 96:
                launch_mma[96]()
            elif s.dim <= 128:
                launch_mma[128]()
            else:
                launch_mma[256]()
            return

    @always_inline
    def launch[padded: Int]() raises {var, imm ctx}:
        comptime WIDTH = min(gpu_width[dtype](), padded // LANES_OF_KEY)
        comptime ROWS = 8 if padded <= 128 else 4  # more do not fit in registers
        if s.rows() > FEW_ROWS:
            many_rows[padded](out_, query, key, value, lengths, has_lengths, s, ctx)
        elif s.dim % gpu_width[dtype]() or not (aligned(query) and aligned(key) and aligned(value)):
            few_rows[4, padded, 1](out_, query, key, value, lengths, has_lengths, s, ctx)
        elif s.rows() == 1:
            few_rows[1, padded, WIDTH](out_, query, key, value, lengths, has_lengths, s, ctx)
        elif s.rows() > 4:
            few_rows[ROWS, padded, WIDTH](out_, query, key, value, lengths, has_lengths, s, ctx)
        else:
            few_rows[4, padded, WIDTH](out_, query, key, value, lengths, has_lengths, s, ctx)

    if s.dim <= 64:
        launch[64]()
    elif s.dim <= 128:
        launch[128]()
    else:
        launch[256]()
