"""attention: softmax(scale * query key^T) value over a key/value cache, with grouped heads (Ainslie et al.,
arXiv:2305.13245), a length for every sequence, and a causal mask that ends at it."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from shared_tests.drawn import Draw
from shared_tests.rounding import Bounded, exponentials
from shared_tests.spec import BenchSample, Cost, ErrorSample, OpSpec, Sample
from shared_tests.tensors import big_randn, offset, randn, strided

Tensor = torch.Tensor
Shape = tuple[int, int, int, int, int, int]  # B, S, T, N, Nk, D


def visible_keys(query: Tensor, key: Tensor, lengths: Tensor | None, causal: bool) -> Tensor:
    """Mask [B, S, T] of the keys that a query may see: the first lengths[b]; if causal, the queries are the last S."""
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    key_positions = torch.arange(keys, device=query.device)
    if lengths is None:
        lengths = torch.full((batch,), keys, device=query.device)
    limit = lengths[:, None].expand(batch, queries)
    if causal:
        limit = limit - queries + 1 + torch.arange(queries, device=query.device)
    return key_positions < limit[..., None]


def reference(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Tensor:
    """Attention by its formula. A query that sees no key gives zeros; the cache from lengths[b] on is not used."""
    group = query.shape[2] // max(key.shape[2], 1)
    mask = visible_keys(query, key, lengths, causal)
    if lengths is not None:
        valid = torch.arange(key.shape[1], device=key.device) < lengths[:, None]
        key, value = (x.masked_fill(~valid[..., None, None], 0) for x in (key, value))
    key, value = (x.repeat_interleave(group, dim=2) for x in (key, value))
    scores = torch.einsum("bsnd,btnd->bnst", query, key) * scale
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
    weights = weights.masked_fill(~mask.any(-1)[:, None, :, None], 0)
    return torch.einsum("bnst,btnd->bsnd", weights, value)


def formula(
    query: Bounded, key: Bounded, value: Bounded, lengths: Tensor | None, scale: float, causal: bool
) -> Bounded:
    """The weights may be rounded to the storage dtype before the second product, as in PyTorch's kernel."""
    group = query.value.shape[2] // max(key.value.shape[2], 1)
    mask = visible_keys(query.value, key.value, lengths, causal)[:, None]
    if lengths is not None:
        valid = torch.arange(key.value.shape[1], device=mask.device) < lengths[:, None]
        key, value = (x.moved(lambda t: t.masked_fill(~valid[..., None, None], 0)) for x in (key, value))
    key, value = (x.moved(lambda t: t.repeat_interleave(group, dim=2).transpose(1, 2)) for x in (key, value))
    scores = (query.moved(lambda t: t.transpose(1, 2)) * scale).matmul(key.moved(lambda t: t.transpose(-1, -2)))
    weights = exponentials(scores.masked(~mask, -math.inf))
    output = weights.stored().matmul(value) / weights.sum(-1)
    return output.masked(~mask.any(-1, keepdim=True), 0).moved(lambda t: t.transpose(1, 2))


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool) -> Tensor:
    """F.scaled_dot_product_attention on views of tensors [B, S, N, D].

    With a single query, the heads of a group are passed as queries. On a CPU this is 2 (float32) to 18 (bfloat16) times
    as fast as enable_gqa, which reads the cache once for every head.
    """
    batch, queries, heads, size = query.shape
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    if queries == 1:
        query = query.view(batch, key.shape[1], -1, size)
        return F.scaled_dot_product_attention(query, key, value, mask, scale=scale).reshape(batch, 1, heads, size)
    query, gqa = query.transpose(1, 2), heads != key.shape[1]
    out = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal, scale=scale, enable_gqa=gqa)
    return out.transpose(1, 2)


def eager(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Tensor:
    """PyTorch's fused kernel on the valid part of the cache, sequence by sequence where lengths differ.

    On a CPU, for 8 sequences of 500 to 2,000 keys, this is 1.7 times as fast as a mask. A mask is used for shapes that
    the kernel does not support, and under torch.compile, which cannot read the lengths.
    """
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    if query.numel() == 0 or keys == 0:
        return torch.zeros_like(query)
    if torch.compiler.is_compiling() and lengths is not None:
        mask = visible_keys(query, key, lengths, causal)[:, None]
        return sdpa(query, key, value, mask, scale, False).masked_fill(~mask.any(-1).transpose(1, 2)[..., None], 0)
    counts = [keys] * batch if lengths is None else lengths.tolist()
    if lengths is not None and min(counts) != max(counts):
        parts = (slice(b, b + 1) for b in range(batch))
        return torch.cat([eager(query[b], key[b], value[b], lengths[b], scale, causal) for b in parts])
    count = counts[0]
    if count == 0:
        return torch.zeros_like(query)
    if count != keys:
        key, value = key[:, :count], value[:, :count]
    if not causal or queries == 1:
        return sdpa(query, key, value, None, scale, False)
    if count == queries:
        return sdpa(query, key, value, None, scale, True)
    blind = max(0, queries - count)  # queries that see no key
    mask = visible_keys(query[:, blind:], key, None, True)[:, None]
    out = torch.zeros_like(query)
    out[:, blind:] = sdpa(query[:, blind:], key, value, mask, scale, False)
    return out


def call(
    batch: int, queries: int, keys: int, heads: int, key_heads: int, size: int, dtype: torch.dtype, device: str,
    *, lengths: list[int] | None = None, causal: bool = True, make=randn,
) -> tuple:  # fmt: skip
    query = make((batch, queries, heads, size), dtype, device)
    cache = [make((batch, keys, key_heads, size), dtype, device) for _ in "kv"]
    cache[1] = cache[1].flip(1)  # values only, not keys
    counts = None if lengths is None else torch.tensor(lengths, dtype=torch.int64, device=device)
    return query, *cache, counts, 1 / math.sqrt(max(size, 1)), causal


SHAPES: tuple[Shape, ...] = (
    (1, 1, 1, 1, 1, 2),
    (2, 1, 7, 4, 1, 33),
    (1, 1, 769, 7, 1, 64),
    (2, 1, 83, 8, 2, 128),
    (1, 1, 769, 4, 4, 256),
    (1, 3, 7, 2, 2, 2),
    (2, 3, 83, 7, 1, 64),
    (1, 3, 769, 4, 1, 128),
    (1, 83, 83, 4, 4, 33),
    (2, 83, 83, 7, 1, 64),
    (1, 83, 769, 4, 1, 128),
    (1, 83, 100, 2, 2, 256),
    (1, 100, 83, 4, 2, 40),
)


def samples(dtype: torch.dtype, device: str) -> Iterator[Sample]:
    for shape in SHAPES:
        for causal in (True, False):
            yield Sample(
                f"{'x'.join(map(str, shape))}{' causal' if causal else ''}",
                call(*shape, dtype, device, causal=causal),
            )
    for group in (2, 3, 5, 6, 8):
        yield Sample(f"decode, groups of {group}", call(2, 1, 77, 2 * group, 2, 48, dtype, device, lengths=[77, 34]))
    for shape in ((0, 1, 5, 2, 1, 8), (1, 0, 5, 2, 1, 8), (1, 2, 0, 2, 1, 8), (1, 2, 5, 0, 0, 8), (1, 2, 5, 2, 1, 0)):
        yield Sample(f"{'x'.join(map(str, shape))}, empty", call(*shape, dtype, device))
    for queries, causal in ((1, True), (3, True), (3, False), (70, True), (70, False)):
        yield Sample(
            f"lengths, {queries} queries{', causal' if causal else ''}",
            call(5, queries, 300, 8, 2, 64, dtype, device, lengths=[0, 300, 1, 83, 257], causal=causal),
        )
    yield Sample("equal lengths", call(2, 1, 96, 4, 2, 64, dtype, device, lengths=[40, 40]))
    yield Sample("split over threads", call(2, 1, 2050, 8, 4, 128, dtype, device, lengths=[2050, 1999]))
    yield Sample("prefill split over threads", call(1, 300, 300, 14, 2, 64, dtype, device))
    query, key, value, counts, scale, causal = call(2, 5, 70, 4, 2, 64, dtype, device, lengths=[70, 33])
    yield Sample("no scale", (query, key, value, counts, 1.0, causal))
    yield Sample("negative scale", (query, key, value, counts, -scale, causal))
    yield Sample("large scores", (20 * query, 20 * key, value, counts, 1.0, causal))
    heads_first = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (query, key, value)]
    yield Sample("heads first storage", (*heads_first, counts, scale, causal))
    yield Sample("strided", (*map(strided, (query, key, value, counts)), scale, causal))
    yield Sample("offset", (*map(offset, (query, key, value)), counts, scale, causal))
    cache = torch.stack([key, value], 2)
    yield Sample("slices of one cache", (query, *cache.unbind(2), counts, scale, causal))
    for queries in (1, 33):
        query, key, value, counts, scale, causal = call(2, queries, 70, 4, 2, 64, dtype, device, lengths=[70, 33])
        key, value = key.clone(), value.clone()
        key[1, 33:], value[1, 34:] = math.nan, math.inf
        yield Sample(f"NaN behind the length, {queries} queries", (query, key, value, counts, scale, causal))
        query = query.clone()
        query[0, 0, 1] = math.nan
        yield Sample(f"NaN in a query, {queries} queries", (query, key, value, counts, scale, causal))


def error_samples(device: str) -> Iterator[ErrorSample]:
    q, k, v, n, scale, causal = call(2, 3, 8, 4, 2, 8, torch.float32, device, lengths=[8, 5])
    options = (scale, causal)
    yield ErrorSample("wrong dtype", (q.double(), k.double(), v.double(), n, *options),
                      ("query", "float64", "expected float32, bfloat16 or float16"))  # fmt: skip
    yield ErrorSample("key dtype", (q, k.half(), v, n, *options), ("key", "float16", "expected float32"))
    yield ErrorSample("value dtype", (q, k, v.half(), n, *options), ("value", "float16", "expected float32"))
    yield ErrorSample("query of rank 3", (q[0], k, v, n, *options), ("query", "3 dimensions", "expected 4"))
    yield ErrorSample("key of rank 3", (q, k[0], v, n, *options), ("key", "3 dimensions", "expected 4"))
    yield ErrorSample("value of rank 3", (q, k, v[0], n, *options), ("value", "3 dimensions", "expected 4"))
    yield ErrorSample("heads do not divide", (q[:, :, :3], k, v, n, *options), ("key", "2 heads", "a divisor of 3"))
    yield ErrorSample("no key heads", (q, k[:, :, :0], v[:, :, :0], n, *options), ("key", "0 heads", "a divisor of 4"))
    yield ErrorSample(
        "head dimension", (q, k[..., :7], v[..., :7], n, *options), ("key", "[2, 8, 2, 7]", "[2, T, N, 8]")
    )
    yield ErrorSample("batch", (q, k[:1], v[:1], n, *options), ("key", "[1, 8, 2, 8]", "[2, T, N, 8]"))
    yield ErrorSample("value shape", (q, k, v[:, :7], n, *options), ("value", "[2, 7, 2, 8]", "expected [2, 8, 2, 8]"))
    yield ErrorSample(
        "head too large", call(1, 1, 2, 1, 1, 257, torch.float32, device), ("query", "257", "at most 256")
    )
    yield ErrorSample("lengths dtype", (q, k, v, n.int(), *options), ("lengths", "int32", "expected int64"))
    yield ErrorSample("lengths shape", (q, k, v, n[:1], *options), ("lengths", "[1]", "expected [2]"))
    yield ErrorSample("lengths of rank 2", (q, k, v, n[None], *options), ("lengths", "[1, 2]", "expected [2]"))
    yield ErrorSample("mixed devices", (q, k.to("meta"), v, n, *options), ("key", "meta", f"expected {device}"))
    yield ErrorSample("lengths elsewhere", (q, k, v, n.to("meta"), *options), ("lengths", "meta", f"expected {device}"))
    yield ErrorSample("no value", (q, k, None, n, *options), ("value", "Tensor"))
    yield ErrorSample("lengths a list", (q, k, v, [8, 5], *options), ("lengths", "Tensor"))
    yield ErrorSample("scale not a number", (q, k, v, n, "small", causal), ("scale", "float"))
    if device == "cpu":  # on a GPU lengths are clamped, because reading them would synchronise the stream
        for name, length in (("too long", 9), ("negative", -1)):
            yield ErrorSample(f"length {name}", (q, k, v, torch.tensor([8, length]), *options),
                              ("lengths", f"{length} at index 1", "expected 0 to 8"))  # fmt: skip


def sized(n: int, dtype: torch.dtype, device: str) -> tuple:
    """15 n heads, 5 key heads and lengths that are valid for the smallest T.

    The number of heads differs from all other sizes, because Dynamo merges sizes that are equal in the first call, also
    those of a view's base. 10 would not: tests that draw shapes narrow the lengths of n = 5.
    """
    query, key, value, _, _, _ = call(2 * n, 3 * n, 7 * n, 15 * n, 5, 4 * n, dtype, device)
    return query, key, value, torch.arange(2 * n, device=device) * 3 % 8, 0.3, True


def rows(length: int, dtype: torch.dtype, device: str) -> list[tuple]:
    """Decoding with `length` keys, and prefill with several queries where `length` is short enough for a test.

    The head dimensions cover all cases of the kernels: up to 64, 96, 128, and larger. With three times as many keys,
    the loop over tiles of keys that need no mask runs too.
    """
    decode = [call(1, 1, length, 4, 2, size, dtype, device) for size in (64, 128)]
    shapes = [(length, size) for size in (64, 128, 192, 256)] + [(3 * length + 8, size) for size in (96, 128)]
    prefill = [call(1, 72, keys, 2, 1, size, dtype, device) for keys, size in shapes]
    return decode + (prefill if length <= 128 else [])


def drawn(draw: Draw) -> tuple:
    batch, queries, keys, dim = draw.size(0, 3), draw.size(0, 9), draw.size(0, 40), draw.size(0, 20)
    key_heads, group = draw.size(1, 3), draw.size(1, 9)
    query = draw.tensor((batch, queries, key_heads * group, dim))
    key, value = (draw.tensor((batch, keys, key_heads, dim)) for _ in "kv")
    lengths = draw.choice([None, draw.integers((batch,), 0, keys + 1)])
    return query, key, value, lengths, draw.choice([1.0, 0.125, -0.5]), draw.choice([True, False])


def bench(name: str, shape: Shape, lengths: list[int] | None = None, **options: bool) -> BenchSample:
    def make(dtype: torch.dtype, device: str) -> tuple:
        return call(*shape, dtype, device, lengths=lengths, make=big_randn)

    batch, _, keys, _, key_heads, size = shape
    return BenchSample(name, make, 2 * batch * keys * key_heads * size, **options)


def cost(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, scale: float, causal: bool) -> Cost:
    """Two multiplications and two additions per query, visible key and element of a head; the valid cache read once."""
    pairs = int(visible_keys(query, key, lengths, causal).sum()) * query.shape[2]
    read = key.shape[0] * key.shape[1] if lengths is None else int(lengths.sum())
    cached = 2 * read * key.shape[2] * key.shape[3]
    return Cost(bytes=(2 * query.numel() + cached) * query.element_size(), flops=4 * pairs * query.shape[3])


SPEC = OpSpec(
    name="attention",
    schema="(Tensor query, Tensor key, Tensor value, Tensor? lengths, float scale, bool causal) -> Tensor",
    out_schema=(
        "(Tensor query, Tensor key, Tensor value, Tensor? lengths, float scale, bool causal, *, Tensor(a!) out) -> ()"
    ),
    reference=reference,
    formula=formula,
    autocast="lower",
    eager=eager,
    samples=samples,
    jit_samples=("2x3x83x7x1x64 causal",),
    sized=sized,
    rows=rows,
    drawn=drawn,
    bench_samples=(
        bench("Llama-3-8B decode, 2048 keys", (1, 1, 2048, 32, 8, 128), quick=True),
        bench("Llama-3-8B decode, 2048 keys, caches in turn", (1, 1, 2048, 32, 8, 128), in_turn=True),
        bench("Llama-3-8B decode batch 8, 64 to 2048 keys", (8, 1, 2048, 32, 8, 128),
              lengths=[2048, 1777, 1025, 512, 300, 1900, 64, 1500]),
        bench("Qwen-2.5-7B decode, 2048 keys", (1, 1, 2048, 28, 4, 128)),
        bench("Llama-3-8B prefill, 512 tokens", (1, 512, 512, 32, 8, 128), quick=True),
        bench("GPT-2 medium prefill, 2048 tokens", (1, 2048, 2048, 16, 16, 64)),
    ),
    error_samples=error_samples,
    cost=cost,
    no_max_graph="the compiler of 26.7 refused the formula with groups of heads of symbolic size",
)  # fmt: skip
