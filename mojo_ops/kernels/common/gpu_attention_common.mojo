"""Lengths, rescaling and the grid for the GPU kernels of attention."""

from std.math import exp2

from .attention_tiles import INF, Sizes
from .vectors import Ptr

comptime MAX_BLOCKS = (1 << 31) - 1  # largest first dimension of a grid; the other dimensions end at 65,535


@always_inline
def rescale(previous: Float32, current: Float32) -> Float32:
    """Factor of the sums under the maximum `previous`; 0 if that is -inf, since nothing was summed then."""
    return Float32(0) if previous == -INF else exp2(previous - current)


@always_inline
def clamped_length(lengths: Ptr[DType.int64], has_lengths: Int32, b: Int, keys: Int) -> Int:
    """Returns the number of valid keys, clamped to 0 to `keys`, because raising an error would have to wait
    for the device."""
    if has_lengths == 0:
        return keys
    return min(max(Int(lengths.unsafe_load(b)), 0), keys)


@always_inline
def sizes_of(
    queries: Int64, keys: Int64, heads: Int64, key_heads: Int64, dim: Int64, scale: Float32, causal: Int32
) -> Sizes:
    """Rebuilds the sizes from kernel arguments; batch and lengths are not needed on the device."""
    return Sizes(
        batch=0,
        queries=Int(queries),
        keys=Int(keys),
        heads=Int(heads),
        key_heads=Int(key_heads),
        dim=Int(dim),
        lengths=0,
        scale=scale,
        causal=causal != 0,
    )


def checked_blocks(blocks: Int) raises -> Int:
    """Returns `blocks`, or raises if a one-dimensional grid cannot hold them."""
    if blocks > MAX_BLOCKS:
        raise Error("attention: query needs ", blocks, " thread blocks, expected at most ", MAX_BLOCKS)
    return blocks
