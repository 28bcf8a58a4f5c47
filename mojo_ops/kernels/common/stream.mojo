"""Prefetching, and the choice of writing an output past the cache."""

from std.memory import Pointer
from std.sys import PrefetchOptions, size_of
from std.sys.intrinsics import prefetch

from .vectors import CACHE_LINE, LANES, Ptr

# An output of this many bytes is evicted from the cache before it is read. Streaming
# stores need not fetch its lines first (docs/measurements.md, “Stores past the cache”).
comptime STREAM_BYTES = 1 << 24

# glibc maps fresh memory for an output of this many bytes. Its pages are zeroed when
# first touched and then lie in the cache, so streaming stores would be slower.
comptime MAPPED_BYTES = 1 << 25


@always_inline
def prefetch_row[dtype: DType, //, width: Int](next: Ptr[dtype], i: Int):
    """Prefetches the lines with `width` elements of the next row while this one is written, so that memory
    is busy during the second pass."""
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            prefetch(next.unsafe_offset(i + k))


@always_inline
def fetch[dtype: DType, //](p: Pointer[Scalar[dtype], _]):
    """Prefetches a line into L2, which tracks more outstanding misses than L1 and does not alias rows that lie a
    page apart. Harmless past the end of the tensor."""
    prefetch[PrefetchOptions().for_read().medium_locality().to_data_cache()](p)


@always_inline
def fetch_along[dtype: DType, //, width: Int](row: Ptr[dtype], i: Int):
    """Prefetches in the first pass, some lines ahead of element i, for rows that are written past the cache.

    Rows that stay in the caches lose up to a tenth by it (cpp_ext/docs/measurements.md, “Prefetching the next row”).
    """
    comptime AHEAD = 4096 // size_of[dtype]()
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            fetch(row.unsafe_offset(i + AHEAD + k))


@always_inline
def streams[dtype: DType, //](y: Ptr[dtype], elements: Int, row: Int, fresh: Bool) -> Bool:
    """Whether an output is large enough to be written past the cache, with a cache
    line beginning at every `row` elements, as streaming stores need it.

    `fresh`: whether it was allocated for this call."""
    var bytes = elements * size_of[dtype]()
    return (
        bytes >= STREAM_BYTES
        and not (fresh and bytes >= MAPPED_BYTES)
        and Int(y) % CACHE_LINE == 0
        and row * size_of[dtype]() % CACHE_LINE == 0
    )
