"""Maps floats to integers of the same order, and the integer operations of selection."""

from std.bit import count_trailing_zeros, pop_count
from std.memory import Pointer, bitcast, pack_bits
from std.sys import CompilationTarget
from std.sys.intrinsics import llvm_intrinsic

from .vectors import F32, LANES

comptime I32 = DType.int32
comptime Keys = SIMD[I32, LANES]
comptime Mask = SIMD[DType.bool, LANES]
comptime Int32s = Pointer[Int32, MutUntrackedOrigin]  # on the stack

comptime LOWEST = Int32.MIN  # below the key of every float
comptime HIGHEST = Int32.MAX
comptime COMPRESS = CompilationTarget.has_avx512f()  # lanes move to the front in a few instructions


@always_inline
def keys_of[width: Int](x: SIMD[F32, width]) -> SIMD[I32, width]:
    """Keys compare as the floats do; -0.0 has the key of 0.0, and every NaN the highest one."""
    var v = x + 0
    var bits = bitcast[I32, width](v)
    var keys = bits ^ ((bits >> 31) & HIGHEST)
    return v.eq(v).select(keys, SIMD[I32, width](HIGHEST))


@always_inline
def any(mask: Mask) -> Bool:
    return pack_bits(mask) != 0


@always_inline
def count(mask: Mask) -> Int:
    return Int(pop_count(pack_bits(mask)))


@always_inline
def lane_numbers() -> Keys:
    var lanes = Keys()
    comptime for i in range(LANES):
        lanes[i] = Int32(i)
    return lanes


@always_inline
def compress(to: Int32s, v: Keys, mask: Mask):
    """Stores the lanes of the mask one after the other; may write a whole vector.

    Compresses in a register first: the form that writes to memory takes over 100
    cycles on Zen 4.
    """
    comptime if COMPRESS:
        var front = llvm_intrinsic["llvm.experimental.vector.compress", Keys, has_side_effect=False](
            v, mask, Keys(0)
        )
        to.unsafe_store(0, front)
    else:
        var left = pack_bits(mask)
        var i = 0
        while left != 0:
            to.unsafe_store(i, v[Int(count_trailing_zeros(left))])
            left &= left - 1
            i += 1
