"""Op attention: softmax(scale query key^T) value, on the keys that a query may see.

Vaswani et al., https://arxiv.org/abs/1706.03762, with groups of heads that share
a key head. Few query rows are bound by memory (attention_decode), many by
arithmetic (attention_prefill); attention_gpu has both for a GPU.
"""

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


# ---- binding ----


struct Op(TorchOp):
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
    def run[dtype: DType, target: StaticString](call: Call) raises:
        var y = call.output(0).pointer[dtype]()
        var query = call.input(0).pointer[dtype]()
        var key = call.input(1).pointer[dtype]()
        var value = call.input(2).pointer[dtype]()
        var lengths = call.input(3)
        var sizes = Sizes(
            batch=call.input(0).size(0),
            queries=call.input(0).size(1),
            keys=call.input(1).size(1),
            heads=call.input(0).size(2),
            key_heads=call.input(1).size(2),
            dim=call.input(0).size(3),
            lengths=lengths.data,
            scale=call.real(0) * LOG2E,
            causal=call.boolean(1),
        )
        comptime if is_gpu[target]():
            var pointer = lengths.pointer[DType.int64]()
            attention_gpu(y, query, key, value, pointer, lengths.defined, sizes, call.device())
        else:
            attention_cpu(y, query, key, value, sizes)


def check_lengths(call: Call) raises Message:
    """Raises if a length is not between 0 and the size of the cache; lengths may be strided."""
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
