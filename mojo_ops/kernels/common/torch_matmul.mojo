"""Matrix products by the library that PyTorch uses, MKL or oneDNN.

Calls aten::linear through PyTorch's dispatcher, with the stable C ABI. Use it only on the thread that called
the op, because PyTorch's products run on OpenMP threads, and every calling thread gets its own team.
"""

from std.ffi import external_call
from std.memory import Pointer

from .torch_abi import BFLOAT16, CPU, FLOAT16, Handle, Stack, View, release


@fieldwise_init
struct Matrix(ImplicitlyCopyable, Movable):
    """Strides are in elements, so that a block of a matrix and its transpose are matrices too."""

    var data: Int  # address
    var rows: Int
    var columns: Int
    var row_stride: Int
    var column_stride: Int

    def __init__(out self, data: Int, rows: Int, columns: Int):
        """A contiguous one."""
        self = Self(data, rows, columns, columns, 1)

    def transposed(self) -> Self:
        return Self(self.data, self.columns, self.rows, self.column_stride, self.row_stride)


def _borrow(
    dtype: Int32, data: Int, rank: Int, var sizes: SIMD[DType.int64, 2], var strides: SIMD[DType.int64, 2]
) -> Handle:
    """A tensor on memory that must outlive it, or 0 on failure."""
    var tensor = Handle(0)
    _ = external_call["aoti_torch_create_tensor_from_blob", Int32](
        data,
        Int64(rank),
        Pointer(to=sizes),
        Pointer(to=strides),
        Int64(0),
        dtype,
        CPU,
        Int32(0),
        Pointer(to=tensor),
    )
    return tensor


def _borrow(dtype: Int32, m: Matrix) -> Handle:
    return _borrow(
        dtype,
        m.data,
        2,
        SIMD[DType.int64, 2](Int64(m.rows), Int64(m.columns)),
        SIMD[DType.int64, 2](Int64(m.row_stride), Int64(m.column_stride)),
    )


def matmul(dtype: Int32, a: Matrix, b: Matrix, result: Matrix, bias: Int = 0) -> Bool:
    """Computes result = a @ b, plus bias [columns] if its address is not 0, and returns whether that
    succeeded. All matrices are on the CPU and have the dtype with PyTorch's code `dtype`.
    """
    var stack = Array[UInt64, 4](fill=0)
    var at = Pointer(to=stack).unsafe_bitcast[UInt64]().unsafe_origin_cast[MutAnyOrigin]()
    at.unsafe_store(0, _borrow(dtype, a))
    at.unsafe_store(1, _borrow(dtype, b.transposed()))
    if bias:
        # `Tensor?` is a pointer to a handle; the callee owns both (stableivalue_conversions.h: `delete
        # sivp`).
        var tensor = _borrow(
            dtype, bias, 1, SIMD[DType.int64, 2](Int64(result.columns), 0), SIMD[DType.int64, 2](1, 0)
        )
        var box = external_call["_Znwm", Pointer[Handle, MutAnyOrigin]](8)
        box.unsafe_store(0, tensor)
        at.unsafe_store(2, UInt64(Int(box)))
    at.unsafe_store(3, _borrow(dtype, result))
    var version = external_call["aoti_torch_abi_version", UInt64]()
    var status = external_call["torch_call_dispatcher", Int32]("aten::linear".ptr(), "out".ptr(), at, version)
    if status != 0:
        return False
    release(at.unsafe_load(0))  # another handle of `result`
    return True


def has_product(dtype: Int32) -> Bool:
    """Whether that library has products of the dtype with PyTorch's code `dtype` for this CPU.

    Otherwise PyTorch uses a slow loop: 512x1024 by 1024x4096 takes 7.2 s in float16 on a Zen 4, but 0.08 s in
    float32 including all conversions.
    """
    if dtype == BFLOAT16:
        return _ask("mkldnn::_is_mkldnn_bf16_supported")
    return dtype != FLOAT16 or _ask("mkldnn::_is_mkldnn_fp16_supported")


def _ask(op: StaticString) -> Bool:
    var answer = UInt64(0)
    var at = Pointer(to=answer).unsafe_origin_cast[MutAnyOrigin]()
    var version = external_call["aoti_torch_abi_version", UInt64]()
    # The op does not exist if PyTorch was built without oneDNN.
    return (
        external_call["torch_call_dispatcher", Int32](op.unsafe_ptr(), "".ptr(), at, version) == 0
        and answer & 1 != 0
    )
