"""Index and widest load of a GPU thread."""

from max.gpu import block_idx, thread_idx
from std.sys import size_of

from .vectors import Ptr

comptime BLOCK = 256  # threads in a block
comptime VECTOR_BYTES = 16  # widest load of a thread


@always_inline
def gpu_width[dtype: DType]() -> Int:
    """Elements in the widest load of a GPU thread."""
    return VECTOR_BYTES // size_of[dtype]()


@always_inline
def aligned[dtype: DType, //](p: Ptr[dtype]) -> Bool:
    """Whether `p` allows the widest GPU load."""
    return Int(p) % VECTOR_BYTES == 0


@always_inline
def gpu_item() -> Int:
    """Index of this thread in a one-dimensional grid."""
    return Int(block_idx.x) * BLOCK + Int(thread_idx.x)
