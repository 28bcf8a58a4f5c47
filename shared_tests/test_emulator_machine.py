"""The emulator's parser, order of basic blocks, scheduling, table of instructions, counters and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared_tests.emulator import forms, instructions, ptx
from shared_tests.emulator.machine import EmulationError, Launch, Memory
from shared_tests.emulator.order import FALLS_THROUGH, block_order, reordered
from shared_tests.emulator.problems import Problem
from shared_tests.emulator.program import compiled
from shared_tests.small_ptx import aligned, kernel_text, launch, run

# ---- parser ----

SAMPLE = """
.version 8.5
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 pool[];
.global .align 4 .u32 table[3] = {1, 0x10, 4294967295};
.visible .entry first(
    .param .u64 .ptr .global .align 16 first_0,
    .param .align 8 .b8 first_1[20]
)
.maxntid 128, 2, 1
{
    .reg .pred %p<3>;
    .reg .b32 %r<4>;
    .loc 1 2 3
    .pragma "nounroll";
    mov.u32 %r1, %tid.x; // a comment
$L__1: /* another
    comment */
    @!%p1 bra $L__1;
    { .reg .b32 %r1; mov.b32 {%r1, _}, %rd; }
    setp.lt.and.f32 %p1|%p2, 0f3F800000, %r2, !%p2;
    ld.shared::cta.v2.b32 {%r1, %r2}, [pool+-8];
    ret;
}
.entry second() { ret; }
"""


def test_parser() -> None:
    module = ptx.parse(SAMPLE)
    assert module.target == "sm_90a"
    assert [(v.space, v.name, v.size, v.align) for v in module.variables] == [
        ("shared", "pool", 0, 16),
        ("global", "table", 12, 4),
    ]
    assert np.frombuffer(module.variables[1].data, np.uint32).tolist() == [1, 16, 2**32 - 1]
    first = module.kernels["first"]
    assert first.max_threads == 256
    assert [(p.name, p.size, p.align) for p in first.parameters] == [("first_0", 8, 8), ("first_1", 20, 8)]
    move, branch, inner, compare, load, end = first.code
    assert (move.opcode, move.operands) == ("mov.u32", (ptx.Register("%r1"), ptx.Special("tid.x")))
    assert (branch.guard, branch.negated, first.labels["$L__1"]) == ("%p1", True, 1)
    vector = inner.operands[0]
    assert isinstance(vector, ptx.Vector)
    scoped = vector.items[0]
    assert isinstance(scoped, ptx.Register)
    assert scoped.name != "%r1"
    assert vector.items[1] is None
    assert first.registers[scoped.name] == 32
    assert compare.operands[0] == ptx.Pair(ptx.Register("%p1"), ptx.Register("%p2"))
    assert compare.operands[3] == ptx.Negated(ptx.Register("%p2"))
    assert load.operands[1] == ptx.Address(ptx.Symbol("pool"), -8)
    assert end.line == SAMPLE[: SAMPLE.index("ret;")].count("\n") + 1
    assert list(module.kernels) == ["first", "second"]


# ---- order of blocks ----

# Each lane adds the numbers below its own. As in code from LLVM, the block after the loop precedes the loop's body.
EXIT_BEFORE_BODY = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, 0; mov.u32 %r3, 0; bra HEAD;
AFTER:
    shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1; bar.sync 0;
    ld.param.u64 %d1, [out]; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2; st.global.u32 [%d1], %r4; ret;
HEAD:
    setp.ge.u32 %p1, %r2, %r1; @%p1 bra AFTER;
    add.s32 %r3, %r3, %r2; add.s32 %r2, %r2, 1; bra HEAD;
"""


def test_lanes_meet_after_a_loop_whose_exit_precedes_its_body() -> None:
    out = aligned(np.zeros(64, np.uint32))
    assert run(EXIT_BEFORE_BODY, {"out": out}, block=64).problems == ()
    sums = [lane * (lane - 1) // 2 for lane in range(64)]
    assert out.tolist() == [sums[lane ^ 1] for lane in range(64)]


def test_order_keeps_nested_loops_in_one_piece() -> None:
    """Block 1 is the head of the outer loop (2, 3, 5), and block 2 of the inner loop (5). Block 4 follows both."""
    successors = [[1], [2, 4], [5, 3], [1], [], [2]]
    order = block_order(range(6), successors)
    assert order[0] == 0
    assert order[-1] == 4
    assert abs(order.index(2) - order.index(5)) == 1
    assert sorted(order[1:5]) == [1, 2, 3, 5]


def test_order_runs_a_block_after_the_branches_that_lead_to_it() -> None:
    """Both sides of a branch come before the block where they meet, wherever it is in the source."""
    order = block_order(range(4), [[1, 3], [], [1], [2]])
    assert order == [0, 3, 2, 1]


def test_reordered_kernel_has_branches_where_it_fell_through() -> None:
    text = kernel_text("bra B; A: ret; B: mov.u32 %r1, 0; bra A;", [])
    kernel = reordered(ptx.parse(text).kernels["k"])
    assert [instruction.opcode for instruction in kernel.code] == ["bra", "mov.u32", "bra", "ret"]
    text = kernel_text("setp.eq.u32 %p1, 0, 0; @%p1 bra B; A: ret; B: mov.u32 %r1, 0; bra A;", [])
    kernel = reordered(ptx.parse(text).kernels["k"])
    assert FALLS_THROUGH in [instruction.text for instruction in kernel.code]


def test_branches_inside_a_warp_meet_before_a_shuffle() -> None:
    """After nested branches with four paths, all lanes take part in the shuffle."""
    out = aligned(np.zeros(32, np.uint32))
    body = """
        mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 1; and.b32 %r3, %r1, 2; setp.eq.u32 %p1, %r2, 0; setp.eq.u32 %p2, %r3, 0;
        @%p1 bra EVEN; @%p2 bra ODD_LOW; mov.u32 %r4, 30; bra JOIN; ODD_LOW: mov.u32 %r4, 10; bra JOIN;
        EVEN: @!%p2 bra EVEN_HIGH; mov.u32 %r4, 0; bra JOIN; EVEN_HIGH: mov.u32 %r4, 20;
        JOIN: shfl.sync.bfly.b32 %r5, %r4, 3, 31, -1;
        ld.param.u64 %d1, [out]; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2; st.global.u32 [%d1], %r5; ret;
    """
    assert run(body, {"out": out}).problems == ()
    assert out.tolist() == [10 * (lane % 4 ^ 3) for lane in range(32)]


# ---- instructions ----


def test_every_form_of_the_table_matches_its_own_opcodes() -> None:
    assert instructions.__all__
    assert {"mma", "ldmatrix", "cp", "wmma", "fma", "shfl"} <= set(forms.FORMS)
    for name, group in forms.FORMS.items():
        for form in group:
            opcode = forms.example(form.pattern)
            assert opcode.split(".")[0] == name
            matched_form = forms.find(opcode)
            assert matched_form is not None, opcode


@pytest.mark.parametrize(
    "opcode",
    [
        "add.rn.sat.f64",
        "fma.f32",
        "mul.wide.s64",
        "add.cc.u32",
        "cvt.rz.f16.f32",
        "ld.global.v3.f32",
        "shfl.bfly.b32",
        "fma.rn.relu.bf16x2",
        "mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
        "ex2.f32",
        "atom.global.add.noftz.f32",
        "cp.async.bulk.commit_group",
        "prmt.b32.f4e",
        "cvt.rn.satfinite.e4m3x2.f32",
        "bar.arrive",
        "wgmma.fence.sync.aligned",
    ],
)
def test_unknown_modifiers_make_an_opcode_unknown(opcode: str) -> None:
    assert forms.find(opcode) is None


def test_unknown_instruction_stops_the_launch_only_where_it_is_reached() -> None:
    out = aligned(np.zeros(32, np.uint32))
    body = """
        ld.param.u64 %d1, [n0]; setp.eq.s64 %p1, %d1, 0; @%p1 bra DONE;
        add.cc.u32 %r1, %r2, %r3;
        DONE: ret;
    """
    assert run(body, {"out": out}, (0,)).problems == ()
    with pytest.raises(EmulationError, match=r"unknown instruction at line \d+: add\.cc\.u32 %r1, %r2, %r3"):
        run(body, {"out": out}, (1,))
    module = ptx.parse(kernel_text(body.replace("add.cc.u32", "add.u32"), ["u64 n0"]))
    assert compiled(module.kernels["k"], module).unknown == []
    module = ptx.parse(kernel_text(body, ["u64 n0"]))
    (message,) = compiled(module.kernels["k"], module).unknown
    assert "add.cc.u32" in message


def test_undeclared_predicate_is_unknown() -> None:
    with pytest.raises(EmulationError, match="unknown instruction"):
        run("@%q1 mov.u32 %r1, 0; ret;", {})


def test_operands_that_are_not_implemented_are_unknown() -> None:
    for body in (
        "bar.sync 1; ret;",
        "bar.sync 0, 32; ret;",
        "mov.u64 %d1, %clock64; ret;",
        "cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%d1, {%r2, %r3}], [%r4]; ret;",
    ):
        with pytest.raises(EmulationError, match="unknown instruction"):
            run(body, {})


# ---- launches ----


def test_special_registers() -> None:
    """Special registers of all threads in blocks of 4 x 3 x 2 and a grid of 3 x 2 x 2."""
    names = ["tid.x", "tid.y", "tid.z", "ctaid.x", "ctaid.y", "ctaid.z", "ntid.x", "nctaid.y", "laneid", "warpid"]
    out = aligned(np.zeros((len(names), 12, 24), np.uint32))
    stores = "\n".join(
        f"mov.u32 %r9, %{name}; st.global.u32 [%d1+{4 * 12 * 24 * row}], %r9;" for row, name in enumerate(names)
    )
    body = f"""
        mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z; mad.lo.s32 %r2, %r3, 3, %r2;
        mad.lo.s32 %r1, %r2, 4, %r1; mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ctaid.y; mov.u32 %r6, %ctaid.z;
        mad.lo.s32 %r5, %r6, 2, %r5; mad.lo.s32 %r4, %r5, 3, %r4; mad.lo.s32 %r1, %r4, 24, %r1;
        ld.param.u64 %d1, [out]; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2; {stores} ret;
    """
    assert run(body, {"out": out}, block=(4, 3, 2), grid=(3, 2, 2)).problems == ()
    z, y, x = np.meshgrid(np.arange(2), np.arange(3), np.arange(4), indexing="ij")
    block_z, block_y, block_x = np.meshgrid(np.arange(2), np.arange(2), np.arange(3), indexing="ij")
    values: dict[str, Any] = {
        "tid.x": x.reshape(-1),
        "tid.y": y.reshape(-1),
        "tid.z": z.reshape(-1),
        "ntid.x": 4,
        "nctaid.y": 2,
        "ctaid.x": block_x.reshape(-1, 1),
        "ctaid.y": block_y.reshape(-1, 1),
        "ctaid.z": block_z.reshape(-1, 1),
        "laneid": np.arange(24),
        "warpid": 0,
    }
    for row, name in enumerate(names):
        assert out[row].tolist() == np.broadcast_to(values[name], (12, 24)).tolist(), name


def test_barrier_with_a_count() -> None:
    """Every lane gets the number of lanes of its block whose predicate is true."""
    out = aligned(np.zeros(192, np.uint32))
    body = """
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 96, %r1; setp.lt.u32 %p1, %r3, 130;
        barrier.cta.red.popc.aligned.u32 %r4, 0, %p1; bar.red.and.pred %p2, 0, %p1; selp.u32 %r5, 1000, 0, %p2;
        add.s32 %r4, %r4, %r5; ld.param.u64 %d1, [out]; mul.wide.u32 %d2, %r3, 4; add.s64 %d1, %d1, %d2;
        st.global.u32 [%d1], %r4; ret;
    """
    assert run(body, {"out": out}, block=96, grid=2).problems == ()
    assert out.reshape(2, 96).tolist() == [[1096] * 96, [34] * 96]


def test_parameters_by_value_and_dynamic_shared_memory() -> None:
    text = kernel_text(
        """
        ld.param.v2.u32 {%r1, %r2}, [values+8]; mov.u64 %d1, values; ld.param.u8 %h1, [%d1+4]; cvt.u32.u16 %r3, %h1;
        st.shared.u32 [pool+60], %r3; ld.shared.u32 %r4, [pool+60]; add.s32 %r1, %r1, %r2; add.s32 %r1, %r1, %r4;
        ld.param.u64 %d2, [out]; st.global.u32 [%d2], %r1; ret;
        """,
        ["u64 out", "align 8 .b8 values[16]"],
        ".extern .shared .align 16 .b8 pool[];",
    )
    out = aligned(np.zeros(1, np.uint32))
    module = ptx.parse(text)
    memory = Memory()
    memory.add(out.ctypes.data, out.nbytes, "out")
    arguments = [out.ctypes.data.to_bytes(8, "little"), np.array([0, 200, 5, 7], np.uint32).tobytes()]
    assert Launch(module.kernels["k"], module, (1,), (1,), arguments, memory, 64).run().problems == ()
    assert out[0] == 212
    with pytest.raises(EmulationError, match="out of bounds"):
        Launch(module.kernels["k"], module, (1,), (1,), arguments, memory, 32).run()


def test_local_memory_belongs_to_a_lane() -> None:
    out = aligned(np.zeros(64, np.uint32))
    body = """
        .local .align 8 .b8 depot[16];
        mov.u64 %d3, depot; cvta.local.u64 %d4, %d3; mov.u32 %r1, %tid.x; st.u32 [%d4+8], %r1; bar.sync 0;
        ld.local.u32 %r2, [%d3+8]; ld.param.u64 %d1, [out]; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2;
        st.global.u32 [%d1], %r2; ret;
    """
    assert run(body, {"out": out}, block=64).problems == ()
    assert out.tolist() == list(range(64))


def test_generic_addresses_of_several_spaces_in_one_request() -> None:
    """Odd lanes store to shared memory, and even lanes to global memory."""
    out = aligned(np.zeros(32, np.uint32))
    body = """
        mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0; ld.param.u64 %d1, [out]; mov.u64 %d2, tile;
        cvta.shared.u64 %d2, %d2; cvta.to.global.u64 %d5, %d1; selp.b64 %d3, %d5, %d2, %p1;
        mul.wide.u32 %d4, %r1, 4; add.s64 %d3, %d3, %d4; st.u32 [%d3], %r1; ld.u32 %r3, [%d3]; add.s32 %r3, %r3, 100;
        add.s64 %d1, %d1, %d4; st.global.u32 [%d1], %r3; ret;
    """
    report = run(body, {"out": out}, variables=".shared .align 4 .b8 tile[128];")
    assert report.problems == ()
    assert out.tolist() == [100 + lane for lane in range(32)]


def test_module_variables() -> None:
    """A constant table is read, and a global variable keeps its value between launches."""
    text = kernel_text(
        """
        mov.u32 %r1, %tid.x; mov.u64 %d1, table; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2;
        ld.const.u32 %r2, [%d1]; ld.param.u64 %d3, [out]; add.s64 %d3, %d3, %d2;
        setp.ne.u32 %p1, %r1, 0; @%p1 bra STORE;
        ld.global.u32 %r3, [state]; add.s32 %r3, %r3, 1; st.global.u32 [state], %r3; add.s32 %r2, %r2, %r3;
        STORE: st.global.u32 [%d3], %r2; ret;
        """,
        ["u64 out"],
        ".const .align 4 .u32 table[4] = {10, 20, 30, 40};\n.global .align 4 .u32 state = 5;",
    )
    out = aligned(np.zeros(4, np.uint32))
    module = ptx.parse(text)
    memory = Memory()
    memory.add(out.ctypes.data, out.nbytes, "out")
    for launches in (1, 2):
        arguments = [out.ctypes.data.to_bytes(8, "little")]
        assert Launch(module.kernels["k"], module, (1,), (4,), arguments, memory).run().problems == ()
        assert out.tolist() == [15 + launches, 20, 30, 40]


def test_warp_barrier_does_not_wait_for_lanes_that_have_ended() -> None:
    body = "mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 20; @%p1 bra DONE; bar.warp.sync -1; DONE: ret;"
    assert run(body.replace("@%p1 bra DONE;", "@%p1 ret;"), {}, block=48).problems == ()
    assert len(run(body.replace("DONE: ret;", "DONE: bar.warp.sync -1; ret;"), {}, block=64).problems) == 1
    assert len(run(body.replace("DONE: ret;", "DONE: bar.sync 0; ret;"), {}, block=32).problems) == 1


def test_endless_loop_ends_with_an_error() -> None:
    with pytest.raises(EmulationError, match="time limit"):
        run("AGAIN: bra AGAIN;", {}, seconds=0.2)


def test_launch_that_does_not_fit() -> None:
    text = kernel_text("ret;", ["u64 x"], attributes=".maxntid 64")
    x = {"x": aligned(np.zeros(1))}
    for options, message in (
        ({"block": 65}, "65 threads per block, the limit is 64"),
        ({"block": 0}, "0 threads"),
        ({"grid": 0}, "0 blocks in x"),
        ({"grid": (1, 65536)}, "65536 blocks in y"),
    ):
        with pytest.raises(EmulationError, match=message):
            launch(text, x, **options)
    with pytest.raises(EmulationError, match=r"arguments of \[8, 8\] bytes, expected \[8\]"):
        launch(text, x, (1,))
    with pytest.raises(EmulationError, match="1025 threads per block, the limit is 1024"):
        run("ret;", {}, block=1025)


def test_buffers_of_memory() -> None:
    """Overlapping buffers are merged, and an empty buffer is ignored."""
    memory = Memory()
    memory.add(4096, 64, "x", writable=False)
    memory.add(4128, 64, "y")
    memory.add(8192, 16, "z", writable=False)
    memory.add(8192, 0, "empty")
    buffers = [(buffer.address, buffer.size, buffer.name, buffer.writable) for buffer in memory.buffers()]
    assert buffers == [(4096, 96, "x, y", True), (8192, 16, "z", False)]
    memory.remove(4128)
    memory.remove(8192)
    assert [(buffer.size, buffer.writable) for buffer in memory.buffers()] == [(64, False)]


def test_trap() -> None:
    with pytest.raises(EmulationError, match="trap"):
        run("trap;", {})


def test_problems_of_one_place_are_counted_together() -> None:
    body = """
        mov.u32 %r1, 0;
        AGAIN: st.shared.u32 [counter], %r1; bar.sync 0;
        add.s32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 5; @%p1 bra AGAIN; ret;
    """
    (problem,) = run(body, {}, variables=".shared .u32 counter;").problems
    assert isinstance(problem, Problem)
    assert problem.count == 5
    assert "st.shared.u32 [counter], %r1" in problem.message
    assert "thread 1 of block 0 and thread 0 of block 0" in problem.message


# ---- counters ----


def sectors(addresses: Any, size: int) -> tuple[int, int]:
    """The number of 32-byte sectors that the warps touch, and the least number for their distinct addresses."""
    warps = [np.unique(group) for group in addresses.reshape(-1, 32)]
    return sum(len(np.unique(group // 32)) for group in warps), -(-sum(map(len, warps)) * size // 32)


def wavefronts(offsets: Any, size: int) -> int:
    lanes = min(32, 128 // size)
    total = 0
    for group in offsets.reshape(-1, lanes):
        bank_words = np.unique((group[:, None] + np.arange(0, max(size, 4), 4)) // 4)
        total += np.bincount(bank_words % 32).max()
    return int(total)


@pytest.mark.parametrize("size", [2, 4, 8, 16])
@pytest.mark.parametrize("pattern", ["adjacent", "every other", "one address", "random", "shifted"])
def test_counters_of_memory_requests(pattern: str, size: int) -> None:
    index = {
        "adjacent": np.arange(128),
        "every other": np.arange(128) * 2,
        "one address": np.zeros(128, int),
        "random": np.random.default_rng(0).integers(256, size=128),
        "shifted": np.arange(128) + 1,
    }[pattern]
    offsets = aligned((index * size).astype(np.uint64))
    data, out = aligned(np.zeros(512 * size, np.uint8)), aligned(np.zeros(512 * size, np.uint8))
    vector, kind = {2: ("", "u16"), 4: ("", "u32"), 8: (".v2", "u32"), 16: (".v4", "u32")}[size]
    names = {"": "%h1" if size == 2 else "%r2", ".v2": "{%r2, %r3}", ".v4": "{%r2, %r3, %r4, %r5}"}[vector]
    body = f"""
        mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 8; ld.param.u64 %d2, [offsets]; add.s64 %d2, %d2, %d1;
        ld.volatile.global.u64 %d3, [%d2]; ld.param.u64 %d4, [data]; add.s64 %d4, %d4, %d3; cvt.u32.u64 %r10, %d3;
        ld.global{vector}.{kind} {names}, [%d4]; mov.u32 %r11, tile; add.s32 %r11, %r11, %r10;
        st.shared{vector}.{kind} [%r11], {names};
        ld.param.u64 %d5, [out]; add.s64 %d5, %d5, %d3; st.global{vector}.{kind} [%d5], {names}; ret;
    """
    variables = f".shared .align 16 .b8 tile[{512 * size}];"
    counters = run(body, {"offsets": offsets, "data": data, "out": out}, variables=variables, block=128).counters
    requested, least = sectors(offsets.astype(np.int64), size)
    assert (counters.load_sectors, counters.least_load_sectors) == (requested, least)
    assert (counters.store_sectors, counters.least_store_sectors) == (requested, least)
    assert counters.wavefronts == wavefronts(offsets.astype(np.int64), size)
    assert counters.least_wavefronts == 128 // min(32, 128 // size)


def test_instructions_and_coverage() -> None:
    """Instructions are counted per warp, not per lane. A line that no lane reaches has count 0."""
    body = """mov.u32 %r1, %tid.x; setp.ge.u32 %p1, %r1, 40;
        @%p1 bra DONE;
        add.s32 %r1, %r1, 1;
        setp.eq.u32 %p2, %r1, 1000;
        @%p2 mov.u32 %r2, 0;
        DONE: ret;
    """
    counters = run(body, {}, block=96).counters
    counts = list((counters.executed or {}).values())
    assert counts == [6, 2, 2, 2, 0, 3]
    assert counters.warp_instructions == sum(counts)
    assert counters.covered == 5 / 6


def test_counters_can_be_left_out() -> None:
    x = aligned(np.zeros(32, np.float32))
    body = "ld.param.u64 %d1, [x]; ld.global.f32 %f1, [%d1]; ret;"
    assert run(body, {"x": x}).counters.load_sectors == 1
    assert run(body, {"x": x}, counters=False).counters.load_sectors == 0
