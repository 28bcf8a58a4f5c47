"""Memory for the length of one call, from the C library: Mojo's own would pull in a run-time library."""

from std.ffi import external_call

from .vectors import CACHE_LINE


@always_inline
def new_floats(count: Int) -> Int:
    """Address of `count` float32, at the beginning of a cache line; 0 where there is no memory."""
    var bytes = (count * 4 + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    return external_call["aligned_alloc", Int](CACHE_LINE, bytes)


@always_inline
def free_floats(address: Int):
    """Gives it back; 0 is allowed."""
    external_call["free", NoneType](address)
