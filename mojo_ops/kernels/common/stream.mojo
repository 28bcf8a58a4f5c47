"""Prefetching, and when an output is written past the cache."""

from std.memory import Pointer
from std.sys import PrefetchOptions, size_of
from std.sys.intrinsics import prefetch

from .vectors import CACHE_LINE, LANES, Ptr

# An output of this many bytes leaves the cache before anyone reads it. Written
# past the cache it need not be fetched first: rms_norm 2.5 -> 1.6 ms, rope
# 12.6 -> 9.9, add 3.6 -> 3.0, gelu 0.85 -> 0.64 at sizes of 16 to 134 MB.
comptime STREAM_BYTES = 1 << 24

# A fresh output of this many bytes is mapped anew by glibc: its pages are zeroed
# when first touched and then lie in the cache, which streaming stores throw away.
comptime MAPPED_BYTES = 1 << 25


@always_inline
def prefetch_row[dtype: DType, //, width: Int](next: Ptr[dtype], i: Int):
    """Asks for the lines with `width` elements of the next row while this one is computed: what
    has to wait for two passes over a row would otherwise leave the memory idle."""
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            prefetch(next.unsafe_offset(i + k))


@always_inline
def fetch[dtype: DType, //](p: Pointer[Scalar[dtype], _]):
    """Asks for a line into the second-level cache, whose misses may be more at a time than the first one's, and of which
    rows a page apart do not share a few lines. An address behind the tensor is no fault."""
    prefetch[PrefetchOptions().for_read().medium_locality().to_data_cache()](p)


@always_inline
def fetch_along[dtype: DType, //, width: Int](row: Ptr[dtype], i: Int):
    """In the first pass over a row that is written past the cache, at its element i: asks for what lies some lines on.

    It takes over from `prefetch_row` at the row's beginning. In C++ rms_norm of 2048x4096 float32, two cores of a Zen
    4, GB/s without, from the second pass alone and from both: 39, 43 and 46. Within the caches the two cost the norms
    up to a tenth.
    """
    comptime AHEAD = 4096 // size_of[dtype]()
    comptime LINE = CACHE_LINE // size_of[dtype]()
    comptime if width >= LANES:
        comptime for k in range(0, width, LINE):
            fetch(row.unsafe_offset(i + AHEAD + k))


@always_inline
def streams[dtype: DType, //](y: Ptr[dtype], elements: Int, row: Int, fresh: Bool) -> Bool:
    """Whether an output is large enough to be written past the cache, and every
    `row` elements of it begin a cache line as streaming stores want it.

    `fresh`: it was allocated for this call."""
    var bytes = elements * size_of[dtype]()
    return (
        bytes >= STREAM_BYTES
        and not (fresh and bytes >= MAPPED_BYTES)
        and Int(y) % CACHE_LINE == 0
        and row * size_of[dtype]() % CACHE_LINE == 0
    )
