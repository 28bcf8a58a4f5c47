"""Whether the calling thread may use PyTorch's thread pool from a kernel that the MAX engine has loaded.

Such a kernel is not linked with PyTorch. The thread that runs it sets a thread-local value, the address of
torch_parallel_for; threads of the engine have no value.
"""

from std.ffi import _Global, external_call
from std.memory import Pointer

comptime Range = def(Int64, Int64, Pointer[UInt8, MutAnyOrigin]) thin abi("C") -> None


struct PoolKey(Movable):
    var key: UInt32  # pthread_key_t
    var created: Bool

    def __init__(out self):
        self.key = 0
        self.created = external_call["pthread_key_create", Int32](Pointer(to=self.key), 0) == 0


def _create() -> PoolKey:
    return PoolKey()


comptime KEY = _Global["MOJO_OPS_POOL_KEY", _create]


def set_pool(parallel_for: Int):
    """Lets kernels on this thread use PyTorch's pool, or not if the address is 0."""
    try:
        ref key = KEY.get_or_create_ptr()[]
        if key.created:
            _ = external_call["pthread_setspecific", Int32](key.key, parallel_for)
    except:
        pass  # kernels use the engine's threads


def pool_of_this_thread() -> Int:
    """The address of torch_parallel_for, or 0 on a thread of the engine."""
    try:
        ref key = KEY.get_or_create_ptr()[]
        return external_call["pthread_getspecific", Int](key.key) if key.created else 0
    except:
        return 0


@always_inline
def parallel_for[Body: def(Int, Int) -> None](address: Int, body: Body, items: Int, grain: Int):
    """Calls `body(first, last)` over [0, items) with the torch_parallel_for at `address`."""

    def range_function(first: Int64, last: Int64, context: Pointer[UInt8, MutAnyOrigin]) abi("C"):
        context.unsafe_bitcast[Body]()[](Int(first), Int(last))

    comptime Function = def(Int64, Int64, Int64, Range, Pointer[UInt8, MutAnyOrigin]) thin abi("C") -> Int32
    comptime function: Range = range_function
    var target = address
    var context = Pointer(to=body).unsafe_bitcast[UInt8]().unsafe_mut_cast[True]()
    _ = Pointer(to=target).unsafe_bitcast[Function]()[](
        Int64(0), Int64(items), Int64(grain), function, context.unsafe_origin_cast[MutAnyOrigin]()
    )
