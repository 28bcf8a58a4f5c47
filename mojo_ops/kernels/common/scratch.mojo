"""Memory for the duration of one call, from the C library: Mojo's allocator needs a run-time library."""

from std.ffi import external_call

from .vectors import CACHE_LINE


@always_inline
def new_floats(count: Int) -> Int:
    """Address of `count` float32, aligned to a cache line; 0 if out of memory."""
    var bytes = (count * 4 + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    return external_call["aligned_alloc", Int](CACHE_LINE, bytes)


@always_inline
def free_floats(address: Int):
    """Frees memory of `new_floats`; 0 is allowed."""
    external_call["free", NoneType](address)
