"""The part of PyTorch's stable C ABI that kernels need.

The functions are those of torch/csrc/inductor/aoti_torch/c/shim.h and
torch/csrc/stable/c/shim.h (torch 2.11 and later), which C++ extensions with the stable ABI also call. They
need neither a C++ compiler nor MAX. Nothing here allocates memory, so the library does not need Mojo's
run-time libraries.
"""

from std.ffi import external_call
from std.memory import Pointer

comptime Handle = UInt64  # AtenTensorHandle
comptime Sizes = Pointer[Int64, MutAnyOrigin]
comptime Stack = Pointer[UInt64, MutAnyOrigin]  # of StableIValue

# c10::ScalarType and c10::DeviceType, in torch/headeronly/core.
comptime UINT8 = Int32(0)
comptime INT8 = Int32(1)
comptime INT32 = Int32(3)
comptime INT64 = Int32(4)
comptime FLOAT16 = Int32(5)
comptime FLOAT32 = Int32(6)
comptime FLOAT64 = Int32(7)
comptime BFLOAT16 = Int32(15)
comptime CPU = Int32(0)
comptime CUDA = Int32(1)


def code_of[dtype: DType]() -> Int32:
    """PyTorch's code for a dtype that kernels take."""
    comptime if dtype == DType.float32:
        return FLOAT32
    elif dtype == DType.bfloat16:
        return BFLOAT16
    elif dtype == DType.float16:
        return FLOAT16
    elif dtype == DType.int64:
        return INT64
    elif dtype == DType.int32:
        return INT32
    elif dtype == DType.int8:
        return INT8
    elif dtype == DType.float64:
        return FLOAT64
    else:
        comptime assert dtype == DType.uint8, "no code for this dtype"
        return UINT8


def dtype_bytes(code: Int32) -> Int:
    """Size of an element of the dtypes that `code_of` knows."""
    if code == INT64 or code == FLOAT64:
        return 8
    if code == FLOAT32 or code == INT32:
        return 4
    return 1 if code == UINT8 or code == INT8 else 2


def dtype_name(code: Int32) -> StaticString:
    if code == 0:
        return "uint8"
    if code == 1:
        return "int8"
    if code == 2:
        return "int16"
    if code == 3:
        return "int32"
    if code == 4:
        return "int64"
    if code == 5:
        return "float16"
    if code == 6:
        return "float32"
    if code == 7:
        return "float64"
    if code == 8:
        return "complex32"
    if code == 9:
        return "complex64"
    if code == 10:
        return "complex128"
    if code == 11:
        return "bool"
    if code == 15:
        return "bfloat16"
    if code == 23:
        return "float8_e5m2"
    if code == 24:
        return "float8_e4m3fn"
    if code == 27:
        return "uint16"
    if code == 28:
        return "uint32"
    if code == 29:
        return "uint64"
    return "an unknown dtype"


def device_name(device: Int32) -> StaticString:
    if device == CPU:
        return "cpu"
    if device == CUDA:
        return "cuda"
    if device == 14:
        return "meta"
    return "an unsupported device"


@always_inline
def _get[name: StaticString, T: ImplicitlyCopyable & Deinitable](tensor: Handle, var value: T) -> T:
    _ = external_call[name, Int32](tensor, Pointer(to=value))
    return value


@fieldwise_init
struct View(ImplicitlyCopyable, Movable):
    """Describes a dense tensor for a kernel; valid as long as its handle."""

    var handle: Handle  # 0 where an optional tensor is None, and in a view that torch_infer.mojo makes
    var data: Int  # address; not positive where there are no values
    var sizes: Int  # address of int64[rank]
    var rank: Int
    var numel: Int
    var dtype: Int32
    var device: Int32
    var index: Int32  # of the GPU; 0 for other devices
    var contiguous: Bool
    var defined: Bool

    def __init__(out self):
        """An optional tensor that is None: it has no dimensions and no elements."""
        self.handle = 0
        self.data = 0
        self.sizes = 0
        self.rank = 0
        self.numel = 0
        self.dtype = 0
        self.device = CPU
        self.index = 0
        self.contiguous = True
        self.defined = False

    def __init__(out self, tensor: Handle):
        self.handle = tensor
        self.defined = True
        self.data = _get["aoti_torch_get_data_ptr"](tensor, 0)
        self.sizes = _get["aoti_torch_get_sizes"](tensor, 0)
        self.rank = _get["aoti_torch_get_dim"](tensor, 0)
        self.dtype = _get["aoti_torch_get_dtype"](tensor, Int32(0))
        self.device = _get["aoti_torch_get_device_type"](tensor, Int32(0))
        self.index = 0  # the dispatcher does not pass GPU tensors to CPU kernels
        self.contiguous = _get["aoti_torch_is_contiguous"](tensor, False)
        self.numel = 1
        for i in range(self.rank):
            self.numel *= self.size(i)

    @always_inline
    def size(self, i: Int) -> Int:
        return Int(self.sizes_from(0).unsafe_load(i))

    @always_inline
    def sizes_from(self, i: Int) -> Sizes:
        """The sizes starting at dimension `i`."""
        return Sizes(unsafe_from_address=self.sizes).unsafe_offset(i)

    def has_values(self) -> Bool:
        """Whether the CPU can read elements; checks of values need this."""
        return self.device == CPU and self.data > 0 and self.numel > 0

    def strides(self) -> Sizes:
        """The strides, for the few checks that read values; kernels get contiguous tensors."""
        if not self.handle:
            return self.sizes_from(self.rank)  # torch_infer.mojo stores them after the sizes
        return Sizes(unsafe_from_address=_get["aoti_torch_get_strides"](self.handle, 0))

    def bytes(self) -> Int:
        return self.numel * dtype_bytes(self.dtype)

    def beginning_at(self, element: Int) -> Self:
        """The same tensor starting at another element, for kernels that get the sizes separately."""
        var later = self
        later.data += element * dtype_bytes(self.dtype)
        return later

    @always_inline
    def pointer[dtype: DType](self) -> Pointer[Scalar[dtype], MutAnyOrigin]:
        return Pointer[Scalar[dtype], MutAnyOrigin](unsafe_from_address=self.data)


@always_inline
def is_defined(tensor: Handle) -> Bool:
    return _get["aoti_torch_is_defined"](tensor, False)


@always_inline
def release(tensor: Handle):
    _ = external_call["aoti_torch_delete_tensor_object", Int32](tensor)


def take_optional(value: UInt64) -> Handle:
    """The handle in an argument of type `Tensor?`; 0 for None.

    PyTorch passes a pointer to a handle, and the callee owns both (stableivalue_conversions.h: `delete
    sivp`). torch_delete_stable_ivalue is the same C++ operator delete, but exists only since torch 2.13.
    """
    var tensor = borrow_optional(value)
    if value:
        external_call["_ZdlPv", NoneType](value)
    return tensor


def borrow_optional(value: UInt64) -> Handle:
    """The same handle, whose ownership passes to PyTorch."""
    return Pointer[Handle, MutAnyOrigin](unsafe_from_address=Int(value)).unsafe_load(0) if value else 0


def empty(sizes: Sizes, rank: Int, dtype: Int32) -> Handle:
    """A new contiguous tensor on the CPU, or 0 if out of memory."""
    var strides = Array[Int64, 64](uninitialized=True)
    var at = Pointer(to=strides).unsafe_bitcast[Int64]()
    var stride = Int64(1)
    for i in reversed(range(rank)):
        at.unsafe_store(i, stride)
        stride *= max(sizes.unsafe_load(i), 1)
    var tensor = Handle(0)
    _ = external_call["aoti_torch_empty_strided", Int32](
        Int64(rank), sizes, at, dtype, CPU, Int32(0), Pointer(to=tensor)
    )
    return tensor


comptime ACCESSORS = 9


@no_inline
def _accessors() -> Pointer[Int, MutUntrackedOrigin]:
    """Access to properties of tensors that the stable ABI does not provide; zeros until `set_accessors` is
    called.

    The values and their order are those of `Accessors` in cpp_ext/csrc/bindings/library.h. Mojo has no global
    variables; if this were inlined, every caller would get separate memory.
    """
    var memory = __mlir_op.`pop.global_alloc`[
        name=__mlir_attr.`"mojo_ops_accessors" : !kgen.string`,
        count=__mlir_attr.`9 : index`,
        _type=__mlir_type.`!kgen.pointer<index>`,
        alignment=__mlir_attr.`8 : index`,
    ]()
    return Pointer[Int, MutUntrackedOrigin](
        unsafe_from_address=Int(mlir_value=__mlir_op.`pop.pointer_to_index`(memory))
    )


def set_accessors(values: Sizes):
    """Sets the values; see `set_accessors` in mojo_ops/native.py."""
    for i in range(ACCESSORS):
        _accessors().unsafe_store(i, Int(values.unsafe_load(i)))


struct Accessors:
    """What autograd needs to know about tensors, if the functions for it were set."""

    var values: Pointer[Int, MutUntrackedOrigin]
    var recorded: Bool  # not in torch.no_grad() and not below a gradient formula

    def __init__(out self):
        self.values = _accessors()
        self.recorded = external_call["aoti_torch_grad_mode_is_enabled", Bool]()

    def known(self) -> Bool:
        return self.values.unsafe_load(0) != 0

    def requires_grad(self, tensor: Handle) -> Bool:
        """Whether a gradient with respect to a defined tensor is recorded."""
        comptime Function = def(Int) thin abi("C") -> Bool
        var function = self.values.unsafe_bitcast[Function]()[]
        return self.recorded and function(_object(tensor))

    def has_tangent(self, tensor: Handle) -> Bool:
        """Whether a defined tensor is a dual tensor of forward-mode AD."""
        comptime Function = def(Int, UInt64, Handle) thin abi("C") -> Handle
        var function = self.values.unsafe_offset(1).unsafe_bitcast[Function]()[]
        return is_defined(function(_object(tensor), 0, tensor))

    def mode_is_active(self) -> Bool:
        """Whether a mode of __torch_dispatch__ must see every call."""
        comptime Function = def(UInt16) thin abi("C") -> Bool
        var function = self.values.unsafe_offset(2).unsafe_bitcast[Function]()[]
        return function(UInt16(self.values.unsafe_load(3)))

    def is_plain(self, tensor: Handle) -> Bool:
        """Whether a tensor is on the CPU and plain: not a subclass, sparse, lazily negated or similar."""
        var keys = Pointer[Int, MutAnyOrigin](
            unsafe_from_address=_object(tensor) + self.values.unsafe_load(4)
        )
        return keys.unsafe_load(0) & ~self.values.unsafe_load(5) == 0


def call_formula[origin: Origin](op: Pointer[UInt8, origin], stack: Stack):
    """Calls the overload `autograd` of an op, whose kernel is the gradient formula in Python.

    The error code of the call loses the exception, so a tensor defined in Python raises it again. The
    exception passes through this library's frames, as in `throw`.
    """
    comptime Dim = def(Int) thin abi("C") -> Int
    if external_call["torch_call_dispatcher", Int32](op, "autograd".ptr(), stack, UInt64(2 << 56 | 11 << 48)):
        var values = _accessors()
        _ = values.unsafe_offset(7).unsafe_bitcast[Dim]()[](values.unsafe_load(8))


@always_inline
def _object(tensor: Handle) -> Int:
    """The TensorImpl: a handle is the address of an at::Tensor, which holds this pointer."""
    return Pointer[Int, MutAnyOrigin](unsafe_from_address=Int(tensor)).unsafe_load(0)


def copy(to: Handle, source: Handle) -> Bool:
    """Copies the values of a tensor of the same shape and returns whether that succeeded."""
    return external_call["aoti_torch_copy_", Int32](to, source, Int32(0)) == 0


def raise_version(tensor: Handle) -> Bool:
    """Increments a tensor's version for autograd. Copying it onto itself moves no data but counts as a
    write."""
    return copy(tensor, tensor)


def throw[origin: Origin](text: Pointer[UInt8, origin]):
    """Throws c10::Error (RuntimeError in Python) with a zero-terminated text. The exception passes through
    this library's frames, so they may not contain values with destructors.
    """
    external_call["aoti_torch_check", NoneType](False, "mojo".ptr(), "torch_abi.mojo".ptr(), UInt32(0), text)


@always_inline
def pool_parallel_for[Body: def(Int, Int) -> None](body: Body, items: Int, grain: Int):
    """Calls `body(first, last)` over [0, items) on PyTorch's threads, so that torch.set_num_threads applies
    and no second pool competes for the cores.
    A range of `grain` items or fewer stays on the calling thread.
    """

    def range_function(first: Int64, last: Int64, context: Pointer[UInt8, MutAnyOrigin]) abi("C"):
        context.unsafe_bitcast[Body]()[](Int(first), Int(last))

    comptime function: def(Int64, Int64, Pointer[UInt8, MutAnyOrigin]) thin abi("C") -> None = range_function
    _ = external_call["torch_parallel_for", Int32](
        Int64(0), Int64(items), Int64(grain), function, Pointer(to=body)
    )
