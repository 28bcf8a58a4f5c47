"""Op attention: softmax(scale query key^T) value, on the keys that a query may see.

Vaswani et al., https://arxiv.org/abs/1706.03762, with groups of heads that share
a key head. Few query rows are bound by memory (attention_decode), many by
arithmetic (attention_prefill); attention_gpu has both for a GPU.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility.managed_tensor_slice import (
    _MutableInputTensor as MutableInputTensor,
)
from max.gpu.host import DeviceContext
from max.gpu.host.info import is_gpu

from .common.attention_decode import ROWS, decode
from .common.gpu_attention import attention_gpu
from .common.attention_prefill import prefill
from .common.attention_tiles import LOG2E, Sizes
from .common.torch_abi import INT64
from .common.torch_op import Call, Message, TorchOp
from .common.vectors import FLOATS, Ptr

comptime MAX_DIM = 256


def attention_cpu[
    dtype: DType, //
](out_: Ptr[dtype], query: Ptr[dtype], key: Ptr[dtype], value: Ptr[dtype], sizes: Sizes):
    if sizes.rows() <= ROWS:
        decode(sizes, query, key, value, out_)
    else:
        prefill(sizes, query, key, value, out_)


@always_inline
def attention[
    dtype: DType, //, target: StaticString
](
    out_: Ptr[dtype],
    query: Ptr[dtype],
    key: Ptr[dtype],
    value: Ptr[dtype],
    lengths: Ptr[DType.int64],
    lengths_given: Bool,
    sizes: Sizes,
    ctx: DeviceContext,
) raises:
    if sizes.batch * sizes.queries * sizes.heads * sizes.dim == 0:
        return
    comptime if is_gpu[target]():
        attention_gpu(out_, query, key, value, lengths, lengths_given, sizes, ctx)
    else:
        for b in range(sizes.batch):
            var length = sizes.length(b)
            if length < 0 or length > sizes.keys:
                raise Error(
                    "attention: lengths has value ", length, " at index ", b, ", expected 0 to ", sizes.keys
                )
        attention_cpu(out_, query, key, value, sizes)


# ---- binding: mojo ----


@extensibility.register("mojo_ops_attention")
struct Attention:
    """Writes into the caller's tensor, on a GPU. Lengths of size zero are none."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        out_: MutableInputTensor,
        query: InputTensor[dtype=out_.dtype, rank=4, ...],
        key: InputTensor[dtype=out_.dtype, rank=4, ...],
        value: InputTensor[dtype=out_.dtype, rank=4, ...],
        lengths: InputTensor[dtype=DType.int64, rank=1, ...],
        scale: Float32,
        causal: Int64,
        ctx: DeviceContext,
    ) raises:
        attention[target](
            out_.unsafe_ptr(),
            query.unsafe_ptr(),
            key.unsafe_ptr(),
            value.unsafe_ptr(),
            lengths.unsafe_ptr(),
            lengths.size() > 0,
            Sizes(
                batch=query.dim_size(0),
                queries=query.dim_size(1),
                keys=key.dim_size(1),
                heads=query.dim_size(2),
                key_heads=key.dim_size(2),
                dim=query.dim_size(3),
                lengths=Int(lengths.unsafe_ptr()) if lengths.size() > 0 else 0,
                scale=scale * LOG2E,
                causal=causal != 0,
            ),
            ctx,
        )


# ---- binding: mojo_stock ----


@extensibility.register("mojo_ops_attention_dps")
struct AttentionDps:
    """Writes into the engine's tensor."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        out_: OutputTensor,
        query: InputTensor[dtype=out_.dtype, rank=4, ...],
        key: InputTensor[dtype=out_.dtype, rank=4, ...],
        value: InputTensor[dtype=out_.dtype, rank=4, ...],
        lengths: InputTensor[dtype=DType.int64, rank=1, ...],
        scale: Float32,
        causal: Int64,
        ctx: DeviceContext,
    ) raises:
        attention[target](
            out_.unsafe_ptr(),
            query.unsafe_ptr(),
            key.unsafe_ptr(),
            value.unsafe_ptr(),
            lengths.unsafe_ptr(),
            lengths.size() > 0,
            Sizes(
                batch=query.dim_size(0),
                queries=query.dim_size(1),
                keys=key.dim_size(1),
                heads=query.dim_size(2),
                key_heads=key.dim_size(2),
                dim=query.dim_size(3),
                lengths=Int(lengths.unsafe_ptr()) if lengths.size() > 0 else 0,
                scale=scale * LOG2E,
                causal=causal != 0,
            ),
            ctx,
        )


# ---- binding: mojo, mojo_aot ----


struct Torch(TorchOp):
    """Behind PyTorch's dispatcher on the CPU, without MAX or in front of it."""

    comptime NAME: StaticString = "attention"
    comptime INPUTS: List[StaticString] = ["query", "key", "value", "lengths"]
    comptime OUTPUTS: List[StaticString] = ["out"]
    comptime OPTIONAL: List[StaticString] = ["lengths"]
    comptime SCALARS = 2
    comptime DTYPES = FLOATS

    @staticmethod
    def check(call: Call) raises Message:
        for i in range(3):
            call.require_like(i, 0)
            call.require_rank(i, 4, "batch, sequence, heads, head dimension")
        var query = call.input(0)
        var key = call.input(1)
        if query.size(3) > MAX_DIM:
            var message = call.refuse(0)
            message.write("has head dimension ", query.size(3), ", expected at most ", MAX_DIM)
            raise message^
        if key.size(0) != query.size(0) or key.size(3) != query.size(3):
            var message = call.refuse_shape(1)
            message.write("[", query.size(0), ", T, N, ", query.size(3), "]")
            message.write(", batch and head dimension of query")
            raise message^
        if query.size(2) and (key.size(2) == 0 or query.size(2) % key.size(2)):
            var message = call.refuse(1)
            message.write("has ", key.size(2), " heads, expected a divisor of ", query.size(2))
            message.write(", the heads of query")
            raise message^
        call.require_sizes(2, key.sizes_from(0), 4, "the shape of key")
        call.require_device(3, 0)
        call.require_dtype(3, INT64)
        call.require_sizes(3, query.sizes_from(0), 1, "the batch of query")
        check_lengths(call)

    @staticmethod
    def meaning(output: Int) -> StaticString:
        return "the shape of query"

    @staticmethod
    def run[dtype: DType](call: Call):
        attention_cpu(
            call.output(0).pointer[dtype](),
            call.input(0).pointer[dtype](),
            call.input(1).pointer[dtype](),
            call.input(2).pointer[dtype](),
            Sizes(
                batch=call.input(0).size(0),
                queries=call.input(0).size(1),
                keys=call.input(1).size(1),
                heads=call.input(0).size(2),
                key_heads=call.input(1).size(2),
                dim=call.input(0).size(3),
                lengths=call.input(3).data,
                scale=call.real(0) * LOG2E,
                causal=call.boolean(1),
            ),
        )


def check_lengths(call: Call) raises Message:
    """Raises where a length is not one of the cache; they are read where they lie, maybe strided."""
    var lengths = call.input(3)
    if not lengths.has_values():
        return
    var stride = Int(lengths.strides().unsafe_load(0))
    for b in range(lengths.numel):
        var length = Int(lengths.pointer[DType.int64]().unsafe_load(b * stride))
        if length < 0 or length > call.input(1).size(1):
            var message = call.refuse(3)
            message.write("has value ", length, " at index ", b, ", expected 0 to ", call.input(1).size(1))
            message.write(", the keys of the cache")
            raise message^
