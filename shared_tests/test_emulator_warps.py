"""The emulator's instructions for exchange between lanes, atomics and matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared_tests.emulator.values import round_bf16, widen_bf16
from shared_tests.small_ptx import aligned, evaluate, run

WARP = 32


def lanes_of(values: Any) -> Any:
    return values.reshape(-1, WARP)


# ---- shuffles and votes ----

LANE = np.arange(WARP)
SHUFFLES = {
    # mode: (control operand, source lane for a distance, whether it is in range)
    "bfly": (0x1F, lambda d: LANE ^ d, lambda d: np.full(WARP, True)),
    "up": (0x00, lambda d: LANE - d, lambda d: d <= LANE),
    "down": (0x1F, lambda d: LANE + d, lambda d: LANE + d < WARP),
    "idx": (0x1F, lambda d: np.full(WARP, d), lambda d: np.full(WARP, True)),
}


@pytest.mark.parametrize("distance", [0, 1, 3, 16, 31])
@pytest.mark.parametrize("mode", SHUFFLES)
def test_shuffle(mode: str, distance: int) -> None:
    """A lane whose source is out of range keeps its own value."""
    control, source, inside = SHUFFLES[mode]
    values = np.random.default_rng(0).integers(2**32, size=96, dtype=np.uint64).astype(np.uint32)
    code = f"shfl.sync.{mode}.b32 D0|%p5, A, {distance}, {control}, -1; selp.u32 D1, 1, 0, %p5;"
    result, in_range = evaluate(code, "b32", ("b32", values), rows=2, block=96, grid=1)
    is_valid = inside(distance)
    expected_lanes = lanes_of(values)[:, np.where(is_valid, source(distance), LANE)]
    assert result.tolist() == expected_lanes.reshape(-1).tolist()
    assert in_range.tolist() == np.tile(is_valid, 3).tolist()


def test_shuffle_within_segments() -> None:
    """The control operand splits a warp into segments of 8 lanes: mask 0x18, clamp 7."""
    values = np.arange(100, 132, dtype=np.uint32)
    segments = values.reshape(4, 8)
    down = evaluate("shfl.sync.down.b32 D, A, 3, 0x1807, -1;", "b32", ("b32", values)).reshape(4, 8)
    assert down[:, :5].tolist() == segments[:, 3:].tolist()
    assert down[:, 5:].tolist() == segments[:, 5:].tolist()
    idx = evaluate("shfl.sync.idx.b32 D, A, 2, 0x1807, -1;", "b32", ("b32", values)).reshape(4, 8)
    assert idx.tolist() == np.repeat(segments[:, 2:3], 8, axis=1).tolist()


def test_shuffle_with_a_distance_of_each_lane() -> None:
    values, sources = (
        np.arange(32, dtype=np.uint32) * 7,
        np.random.default_rng(1).integers(32, size=32).astype(np.uint32),
    )
    result = evaluate("shfl.sync.idx.b32 D, A, B, 31, -1;", "b32", ("b32", values), ("b32", sources))
    assert result.tolist() == values[sources].tolist()


def test_votes() -> None:
    predicate = np.random.default_rng(2).integers(2, size=96).astype(np.uint8)
    predicate[32:64] = 1
    groups = lanes_of(predicate)
    ballot = evaluate("vote.sync.ballot.b32 D, A, -1;", "b32", ("pred", predicate), block=96, grid=1)
    expected_lanes = [sum(int(bit) << lane for lane, bit in enumerate(group)) for group in groups]
    assert lanes_of(ballot).tolist() == [[mask] * WARP for mask in expected_lanes]
    for mode, expected in (("any", groups.any(1)), ("all", groups.all(1)), ("uni", groups.all(1) | ~groups.any(1))):
        result = evaluate(f"vote.sync.{mode}.pred D, A, -1;", "pred", ("pred", predicate), block=96, grid=1)
        assert lanes_of(result).tolist() == [[value] * WARP for value in expected.tolist()], mode


def test_vote_of_some_lanes_asks_only_these() -> None:
    predicate = np.array([lane < 8 for lane in range(32)], np.uint8)
    code = "setp.lt.u32 %p6, %r62, 16; @!%p6 bra OTHERS; vote.sync.all.pred D, A, 0xff; OTHERS:"
    result = evaluate(code.replace("0xff", "0xffff"), "pred", ("pred", predicate))
    assert not result[:16].any()
    result = evaluate(code.replace("16;", "8;"), "pred", ("pred", predicate))
    assert result[:8].all()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("add.u32", np.sum),
        ("min.s32", np.min),
        ("max.s32", np.max),
        ("and.b32", np.bitwise_and.reduce),
        ("xor.b32", np.bitwise_xor.reduce),
    ],
)
def test_reduction_over_a_warp(name: str, function: Any) -> None:
    values = np.random.default_rng(3).integers(2**32, size=64, dtype=np.uint64).astype(np.uint32)
    typed = values.view(np.int32) if "s32" in name else values
    result = evaluate(f"redux.sync.{name} D, A, -1;", "b32", ("b32", values))
    expected_lanes = [int(function(group)) & 0xFFFFFFFF for group in lanes_of(typed)]
    assert lanes_of(result).tolist() == [[value] * WARP for value in expected_lanes]


# ---- atomics ----


@pytest.mark.parametrize("space", ["global", "shared"])
def test_atomic_counter_gives_every_lane_another_number(space: str) -> None:
    numbers, total = aligned(np.zeros(256, np.uint32)), aligned(np.zeros(1, np.uint32))
    body = """
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4; ld.param.u64 %d2, [out_numbers]; add.s64 %d2, %d2, %d1;
        ld.param.u64 %d3, [out_total]; mov.u64 %d4, counter;
        setp.ne.u32 %p1, %r1, 0; @%p1 bra READY; st.shared.u32 [counter], 0;
        READY: bar.sync 0;
        atom.SPACE.add.u32 %r2, [ADDRESS], 1;
        st.global.u32 [%d2], %r2; bar.sync 0;
        ld.shared.u32 %r3, [counter]; @!%p1 st.global.u32 [%d3], %r3; ret;
    """.replace("SPACE", space).replace("ADDRESS", {"global": "%d3", "shared": "counter"}[space])
    if space == "global":
        body = body.replace("@!%p1 st.global.u32 [%d3], %r3;", "")
    variables = ".shared .align 4 .u32 counter;"
    report = run(body, {"out_numbers": numbers, "out_total": total}, variables=variables, block=256)
    assert not report.problems
    assert sorted(numbers.tolist()) == list(range(256))
    assert numbers.tolist() != list(range(256))  # atomics run in no fixed order
    assert total[0] == 256


ATOMICS: dict[str, Callable[[int, int], int]] = {
    "and.b32": lambda old, value: old & value,
    "or.b32": lambda old, value: old | value,
    "xor.b32": lambda old, value: old ^ value,
    "min.u32": min,
    "max.u32": max,
    "add.u32": lambda old, value: (old + value) % 2**32,
    "exch.b32": lambda old, value: value,
    "inc.u32": lambda old, value: 0 if old >= value else old + 1,
    "dec.u32": lambda old, value: value if old == 0 or old > value else old - 1,
}


@pytest.mark.parametrize("name", ATOMICS)
def test_atomic_operations(name: str) -> None:
    generator = np.random.default_rng(4)
    old, value = (generator.integers(2**32, size=32, dtype=np.uint64).astype(np.uint32) for _ in range(2))
    memory, results = aligned(old), aligned(np.zeros(32, np.uint32))
    old[:4], value[:4] = [0, 5, 9, 2**32 - 1], [9, 5, 5, 1]
    memory[:] = old
    body = f"""
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4;
        ld.param.u64 %d2, [out_memory]; ld.param.u64 %d3, [values]; ld.param.u64 %d4, [out_old];
        add.s64 %d2, %d2, %d1; add.s64 %d3, %d3, %d1; add.s64 %d4, %d4, %d1;
        ld.global.u32 %r2, [%d3]; atom.global.{name} %r3, [%d2], %r2; st.global.u32 [%d4], %r3; ret;
    """
    assert not run(body, {"out_memory": memory, "values": aligned(value), "out_old": results}).problems
    assert results.tolist() == old.tolist()
    assert memory.tolist() == [ATOMICS[name](*pair) for pair in zip(old.tolist(), value.tolist(), strict=True)]


def test_compare_and_swap() -> None:
    """The third operand is stored where the old value equals the second."""
    memory = aligned(np.arange(32, dtype=np.uint64))
    body = """
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 8; ld.param.u64 %d2, [out_memory]; add.s64 %d2, %d2, %d1;
        and.b32 %r2, %r1, 30; cvt.u64.u32 %d3, %r2; atom.global.cas.b64 %d4, [%d2], %d3, 1000; ret;
    """
    assert not run(body, {"out_memory": memory}).problems
    assert memory.tolist() == [1000 if lane % 2 == 0 else lane for lane in range(32)]


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_atomic_sums_of_floats(kind: str) -> None:
    """Lanes that share an address add values whose sum is exact in any order."""
    dtype = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": np.float32}[kind]
    width = {"f32": 4, "f64": 8}.get(kind, 2)
    encoded = round_bf16 if kind == "bf16" else (lambda values: values)
    memory, values = aligned(encoded(np.zeros(4, dtype))), aligned(encoded(np.arange(32).astype(dtype)))
    noftz, register = ("", "%f1" if kind == "f32" else "%e1") if width > 2 else (".noftz", "%h1")
    body = f"""
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, {width}; ld.param.u64 %d2, [values]; add.s64 %d2, %d2, %d1;
        and.b32 %r1, %r1, 3; mul.wide.u32 %d1, %r1, {width}; ld.param.u64 %d3, [out_memory]; add.s64 %d3, %d3, %d1;
        ld.global.b{8 * width} {register}, [%d2]; red.global.add{noftz}.{kind} [%d3], {register}; ret;
    """
    assert not run(body, {"out_memory": memory, "values": values}).problems
    result = widen_bf16(memory) if kind == "bf16" else memory
    assert result.tolist() == [sum(range(start, 32, 4)) for start in range(4)]


# ---- matrices ----


def fragment_of(matrix: Any, lane: int, places: Any) -> Any:
    return np.array([matrix[row, column] for row, column in places(lane // 4, lane % 4)])


def places_a(per: int, depth: int) -> Any:
    """The elements of A that lane 4 g + t holds, according to the figures in the PTX manual."""
    blocks = depth // (4 * per)
    return lambda g, t: [
        (g + 8 * half, block * 4 * per + t * per + part)
        for block in range(blocks)
        for half in range(2)
        for part in range(per)
    ]


def places_b(per: int, depth: int) -> Any:
    blocks = depth // (4 * per)
    return lambda g, t: [(block * 4 * per + t * per + part, g) for block in range(blocks) for part in range(per)]


def places_c(g: int, t: int) -> list[tuple[int, int]]:
    return [(g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1)]


ENCODINGS = {
    "f16": lambda values: values.astype(np.float16),
    "bf16": lambda values: round_bf16(values.astype(np.float32)),
    "tf32": lambda values: values.astype(np.float32),
    "s8": lambda values: values.astype(np.int8),
    "u8": lambda values: values.astype(np.uint8),
}
PRODUCTS = [
    (8, "f16", "f32"),
    (16, "f16", "f32"),
    (16, "f16", "f16"),
    (8, "bf16", "f32"),
    (16, "bf16", "f32"),
    (8, "tf32", "f32"),
    (16, "s8", "s32"),
    (32, "s8", "s32"),
    (32, "u8", "s32"),
]


@pytest.mark.parametrize(("depth", "kind", "result"), PRODUCTS)
def test_matrix_product(depth: int, kind: str, result: str) -> None:
    """The values are small integers, which every format represents exactly."""
    generator, per = np.random.default_rng(5), {"f16": 2, "bf16": 2, "tf32": 1}.get(kind, 4)
    low = 0 if kind == "u8" else -4
    a, b = (generator.integers(low, 5, size=shape) for shape in ((16, depth), (depth, 8)))
    c = generator.integers(-9, 9, size=(16, 8))
    dtype: Any = {"f32": np.float32, "f16": np.float16, "s32": np.int32}[result]

    def registers(values: Any, places: Any, encode: Any) -> Any:
        lanes = np.stack([encode(fragment_of(values, lane, places)) for lane in range(WARP)])
        return np.ascontiguousarray(lanes).view(np.uint32).T  # [registers, lanes]

    operands = [
        registers(a, places_a(per, depth), ENCODINGS[kind]),
        registers(b, places_b(per, depth), ENCODINGS[kind]),
        registers(c, places_c, lambda values: values.astype(dtype)),
    ]
    memory = aligned(np.concatenate(operands))
    counts = [len(operand) for operand in operands]
    out = aligned(np.zeros((counts[2], WARP), np.uint32))
    names = [f"%r{number}" for number in range(10, 10 + sum(counts))]
    groups = [names[: counts[0]], names[counts[0] : counts[0] + counts[1]], names[counts[0] + counts[1] :]]
    targets = [f"%r{number}" for number in range(40, 40 + counts[2])]
    vectors = ", ".join("{" + ", ".join(group) + "}" for group in (targets, *groups))
    loads = "\n".join(f"ld.global.u32 {name}, [%d2+{128 * row}];" for row, name in enumerate(names))
    stores = "\n".join(f"st.global.u32 [%d3+{128 * row}], {name};" for row, name in enumerate(targets))
    body = f"""
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4; ld.param.u64 %d2, [memory]; add.s64 %d2, %d2, %d1;
        ld.param.u64 %d3, [out]; add.s64 %d3, %d3, %d1; {loads}
        mma.sync.aligned.m16n8k{depth}.row.col.{result}.{kind}.{kind}.{result} {vectors};
        {stores} ret;
    """
    assert not run(body, {"memory": memory, "out": out}).problems
    lanes = np.ascontiguousarray(out.T).view(dtype)
    product = a @ b + c
    for lane in range(WARP):
        assert lanes[lane].tolist() == [product[place] for place in places_c(lane // 4, lane % 4)]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_ldmatrix_and_stmatrix(count: int, transposed: bool) -> None:
    """Lane 4 r + c gets elements 2 c and 2 c + 1 of row r of each matrix, and a store is the inverse of a load."""
    source = aligned(np.random.default_rng(6).integers(2**16, size=(count, 8, 8)).astype(np.uint16))
    fragments, copy = aligned(np.zeros((count, WARP), np.uint32)), aligned(np.zeros_like(source))
    names = [f"%r{number}" for number in range(10, 10 + count)]
    vector, trans = "{" + ", ".join(names) + "}", ".trans" if transposed else ""
    stores = "\n".join(f"st.global.u32 [%d3+{128 * row}], {name};" for row, name in enumerate(names))
    body = f"""
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 16; ld.param.u64 %d2, [source]; add.s64 %d2, %d2, %d1;
        setp.ge.u32 %p1, %r1, {8 * count}; mov.u32 %r2, tile; mad.lo.s32 %r2, %r1, 16, %r2;
        @%p1 bra LOADED; ld.global.v4.u32 {{%r3, %r4, %r5, %r6}}, [%d2]; st.shared.v4.u32 [%r2], {{%r3, %r4, %r5, %r6}};
        LOADED: bar.sync 0;
        ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {vector}, [%r2];
        mul.wide.u32 %d4, %r1, 4; ld.param.u64 %d3, [out_fragments]; add.s64 %d3, %d3, %d4; {stores}
        bar.sync 0; stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%r2+512], {vector}; bar.sync 0;
        @%p1 bra DONE; ld.shared.v4.u32 {{%r3, %r4, %r5, %r6}}, [%r2+512];
        ld.param.u64 %d5, [out_copy]; add.s64 %d5, %d5, %d1; st.global.v4.u32 [%d5], {{%r3, %r4, %r5, %r6}};
        DONE: ret;
    """
    variables = ".shared .align 16 .b8 tile[1024];"
    arrays = {"source": source, "out_fragments": fragments, "out_copy": copy}
    assert not run(body, arrays, variables=variables).problems
    matrices = source.swapaxes(1, 2) if transposed else source
    halves = fragments.view(np.uint16).reshape(count, WARP, 2)
    for lane in range(WARP):
        row, column = divmod(lane, 4)
        assert halves[:, lane].tolist() == matrices[:, row, 2 * column : 2 * column + 2].tolist()
    assert copy.tolist() == source.tolist()


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("layouts", ["row.row", "row.col", "col.row", "col.col"])
def test_wmma(layouts: str, kind: str) -> None:
    generator = np.random.default_rng(7)
    a, b = (generator.integers(-4, 5, size=(16, 16)) for _ in range(2))
    first, second = layouts.split(".")
    stored = [m if order == "row" else m.T for m, order in ((a, first), (b, second))]
    memory = aligned(np.concatenate([ENCODINGS[kind](np.ascontiguousarray(m)) for m in stored]))
    out, transposed = aligned(np.zeros((16, 16), np.float32)), aligned(np.zeros((16, 16), np.float32))
    count = 8 if kind == "f16" else 4
    left, right = (", ".join(f"%r{number}" for number in range(start, start + count)) for start in (10, 20))
    sums = ", ".join(f"%f{number}" for number in range(8))
    types = "f32.f32" if kind == "f16" else "f32.bf16.bf16.f32"
    body = f"""
        ld.param.u64 %d1, [memory]; ld.param.u64 %d2, [out]; ld.param.u64 %d3, [out_transposed]; mov.u32 %r1, 16;
        wmma.load.a.sync.aligned.{first}.m16n16k16.global.{kind} {{{left}}}, [%d1], %r1;
        wmma.load.b.sync.aligned.{second}.m16n16k16.{kind} {{{right}}}, [%d1+512], %r1;
        wmma.load.c.sync.aligned.col.m16n16k16.global.f32 {{{sums}}}, [%d3], %r1;
        wmma.mma.sync.aligned.{layouts}.m16n16k16.{types} {{{sums}}}, {{{left}}}, {{{right}}}, {{{sums}}};
        wmma.store.d.sync.aligned.row.m16n16k16.global.f32 [%d2], {{{sums}}}, %r1; bar.warp.sync -1;
        wmma.store.d.sync.aligned.col.m16n16k16.global.f32 [%d3], {{{sums}}}, %r1; ret;
    """
    transposed[...] = np.arange(256).reshape(16, 16)
    start = transposed.T.copy()
    arrays = {"memory": memory, "out": out, "out_transposed": transposed}
    assert not run(body, arrays).problems
    assert out.tolist() == (a @ b + start).tolist()
    assert transposed.T.tolist() == out.tolist()
