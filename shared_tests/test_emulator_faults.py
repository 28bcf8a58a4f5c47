"""Plants faults in small kernels. Each is reported; without it the kernel is right and nothing is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from shared_tests.emulator.machine import EmulationError, Report
from shared_tests.small_ptx import aligned, run

# out[row] = sum of x[row, :] for n0 rows of 256 float32. The 64 threads of a block load 16 bytes each, a warp adds with
# shuffles, and thread 0 adds the sums of the warps. Each of two blocks takes every second row.
ROW_SUMS = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; shr.u32 %r3, %r1, 5; and.b32 %r4, %r1, 31;
    ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; ld.param.u32 %r5, [n0];
    mov.u32 %r6, sums; mad.lo.s32 %r7, %r3, 4, %r6;
    setp.ne.u32 %p1, %r4, 0; setp.ne.u32 %p2, %r1, 0;
LOOP:
    setp.ge.u32 %p3, %r2, %r5; @%p3 bra DONE;
    mad.lo.s32 %r8, %r2, 64, %r1; mul.wide.u32 %d3, %r8, 16; add.s64 %d3, %d1, %d3;
    ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%d3];
    add.f32 %f1, %f1, %f2; add.f32 %f3, %f3, %f4; add.f32 %f1, %f1, %f3;
    shfl.sync.bfly.b32 %f2, %f1, 16, 31, -1; add.f32 %f1, %f1, %f2;
    shfl.sync.bfly.b32 %f2, %f1, 8, 31, -1; add.f32 %f1, %f1, %f2;
    shfl.sync.bfly.b32 %f2, %f1, 4, 31, -1; add.f32 %f1, %f1, %f2;
    shfl.sync.bfly.b32 %f2, %f1, 2, 31, -1; add.f32 %f1, %f1, %f2;
    shfl.sync.bfly.b32 %f2, %f1, 1, 31, -1; add.f32 %f1, %f1, %f2;
    @%p1 bra STORED; st.shared.f32 [%r7], %f1;
STORED:
    bar.sync 0; // all sums are there
    ld.shared.f32 %f1, [sums]; ld.shared.f32 %f2, [sums+4]; add.f32 %f1, %f1, %f2;
    bar.sync 0; // all have read them
    mul.wide.u32 %d4, %r2, 4; add.s64 %d4, %d2, %d4;
    @%p2 bra NEXT; st.global.f32 [%d4], %f1;
NEXT:
    add.s32 %r2, %r2, 2; bra LOOP;
DONE:
    ret;
"""

# out = transpose of x, 32 x 32 float32, through a padded tile, with 32 x 8 threads.
TRANSPOSE = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; mov.u32 %r3, tile;
    mov.u32 %r10, %r2;
LOAD:
    mad.lo.s32 %r4, %r10, 32, %r1; mul.wide.u32 %d3, %r4, 4; add.s64 %d3, %d1, %d3; ld.global.f32 %f1, [%d3];
    mad.lo.s32 %r5, %r10, 33, %r1; mad.lo.s32 %r5, %r5, 4, %r3; st.shared.f32 [%r5], %f1;
    add.s32 %r10, %r10, 8; setp.lt.u32 %p1, %r10, 32; @%p1 bra LOAD;
    bar.sync 0; // the tile is there
    mov.u32 %r10, %r2;
STORE:
    mad.lo.s32 %r5, %r1, 33, %r10; mad.lo.s32 %r5, %r5, 4, %r3; ld.shared.f32 %f1, [%r5];
    mad.lo.s32 %r4, %r10, 32, %r1; mul.wide.u32 %d3, %r4, 4; add.s64 %d3, %d2, %d3; st.global.f32 [%d3], %f1;
    add.s32 %r10, %r10, 8; setp.lt.u32 %p1, %r10, 32; @%p1 bra STORE;
    ret;
"""

# out[i] = x[63 - i]: each lane copies 4 bytes asynchronously in each of two stages, and another lane reads them.
STAGES = """
    mov.u32 %r1, %tid.x; ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; mov.u32 %r2, tile;
    mul.wide.u32 %d3, %r1, 4; add.s64 %d1, %d1, %d3; add.s64 %d2, %d2, %d3; mad.lo.s32 %r3, %r1, 4, %r2;
    cp.async.ca.shared.global [%r3], [%d1], 4; cp.async.commit_group;
    cp.async.ca.shared.global [%r3+128], [%d1+128], 4; cp.async.commit_group;
    sub.s32 %r4, 31, %r1; mad.lo.s32 %r4, %r4, 4, %r2;
    cp.async.wait_group 1; // the first stage
    bar.sync 0; // for every lane
    ld.shared.f32 %f1, [%r4]; st.global.f32 [%d2+128], %f1;
    cp.async.wait_group 0; // the second stage
    bar.sync 0; // for every lane again
    ld.shared.f32 %f1, [%r4+128]; st.global.f32 [%d2], %f1;
    ret;
"""

# out = sum of x, 32 float32 per block. The block that finishes last adds the sums of all blocks.
LAST_BLOCK = """
    mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x; setp.ne.u32 %p1, %r1, 0; @%p1 bra DONE;
    ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out_sums]; ld.param.u64 %d3, [out_count]; ld.param.u64 %d4, [out];
    mul.wide.u32 %d5, %r2, 128; add.s64 %d5, %d1, %d5; mov.f32 %f1, 0f00000000; mov.u32 %r4, 0;
ADD:
    ld.global.f32 %f2, [%d5]; add.f32 %f1, %f1, %f2; add.s64 %d5, %d5, 4;
    add.s32 %r4, %r4, 1; setp.lt.u32 %p2, %r4, 32; @%p2 bra ADD;
    mul.wide.u32 %d5, %r2, 4; add.s64 %d5, %d2, %d5; st.global.f32 [%d5], %f1;
    membar.gl; // the sum is visible before it is counted
    atom.global.add.u32 %r5, [%d3], 1; sub.s32 %r6, %r3, 1; setp.ne.u32 %p3, %r5, %r6; @%p3 bra DONE;
    membar.gl; // the sums of the others are
    mov.f32 %f1, 0f00000000; mov.u32 %r4, 0;
JOIN:
    ld.global.f32 %f2, [%d2]; add.f32 %f1, %f1, %f2; add.s64 %d2, %d2, 4;
    add.s32 %r4, %r4, 1; setp.lt.u32 %p2, %r4, %r3; @%p2 bra JOIN;
    st.global.f32 [%d4], %f1;
DONE:
    ret;
"""

# out[i] = x[i ^ 1], through shared memory within each warp.
NEIGHBOUR = """
    mov.u32 %r1, %tid.x; ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; mul.wide.u32 %d3, %r1, 4;
    add.s64 %d1, %d1, %d3; add.s64 %d2, %d2, %d3; mov.u32 %r2, tile; mad.lo.s32 %r3, %r1, 4, %r2; xor.b32 %r4, %r3, 4;
    ld.global.f32 %f1, [%d1]; st.shared.f32 [%r3], %f1;
    bar.warp.sync -1; // the neighbour has stored
    ld.shared.f32 %f2, [%r4];
    bar.warp.sync -1; // and read
    st.shared.f32 [%r3], %f2; st.global.f32 [%d2], %f2;
    ret;
"""

# out[i] = number of x in the block that are above 0, counted in shared memory.
COUNT = """
    mov.u32 %r1, %tid.x; ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; mul.wide.u32 %d3, %r1, 4;
    add.s64 %d1, %d1, %d3; add.s64 %d2, %d2, %d3; setp.ne.u32 %p1, %r1, 0; @%p1 bra READY; st.shared.u32 [counter], 0;
READY:
    bar.sync 0; // the counter is 0
    ld.global.f32 %f1, [%d1]; setp.gt.f32 %p2, %f1, 0f00000000; @%p2 red.shared.add.u32 [counter], 1;
    bar.sync 0; // all have counted
    ld.shared.u32 %r2, [counter]; st.global.u32 [%d2], %r2;
    ret;
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel without faults. arrays: makes new arguments for each run. expected: the expected outputs by name."""

    body: str
    arrays: Callable[[], dict[str, Any]]
    expected: Callable[[Mapping[str, Any]], dict[str, Any]]
    variables: str = ""
    scalars: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def numbers(*shape: int) -> Any:
    """Integers as float32, whose sums are exact."""
    return aligned(np.random.default_rng(0).integers(-50, 50, size=shape).astype(np.float32))


KERNELS = {
    "row sums": Kernel(
        ROW_SUMS,
        lambda: {"x": numbers(6, 256), "out": aligned(np.zeros(6, np.float32))},
        lambda arrays: {"out": arrays["x"].sum(1)},
        ".shared .align 4 .b8 sums[16];",
        (6,),
        {"block": 64, "grid": 2},
    ),
    "transpose": Kernel(
        TRANSPOSE,
        lambda: {"x": numbers(32, 32), "out": aligned(np.zeros((32, 32), np.float32))},
        lambda arrays: {"out": arrays["x"].T},
        ".shared .align 4 .b8 tile[4224];",
        options={"block": (32, 8)},
    ),
    "stages": Kernel(
        STAGES,
        lambda: {"x": numbers(64), "out": aligned(np.zeros(64, np.float32))},
        lambda arrays: {"out": arrays["x"][::-1]},
        ".shared .align 16 .b8 tile[256];",
    ),
    "last block": Kernel(
        LAST_BLOCK,
        lambda: {
            "x": numbers(200, 32),
            "out_sums": aligned(np.zeros(200, np.float32)),
            "out_count": aligned(np.zeros(1, np.uint32)),
            "out": aligned(np.zeros(1, np.float32)),
        },
        lambda arrays: {"out": arrays["x"].sum(keepdims=True).reshape(1)},
        options={"grid": 200},
    ),
    "neighbour": Kernel(
        NEIGHBOUR,
        lambda: {"x": numbers(64), "out": aligned(np.zeros(64, np.float32))},
        lambda arrays: {"out": arrays["x"].reshape(32, 2)[:, ::-1].reshape(64)},
        ".shared .align 4 .b8 tile[256];",
        options={"block": 64},
    ),
    "count": Kernel(
        COUNT,
        lambda: {"x": numbers(64), "out": aligned(np.zeros(64, np.uint32))},
        lambda arrays: {"out": np.full(64, (arrays["x"] > 0).sum())},
        ".shared .align 4 .u32 counter;",
        options={"block": 64},
    ),
}


def execute(kernel: Kernel, body: str, arrays: dict[str, Any], **changes: Any) -> Report:
    options = {**kernel.options, **changes}
    return run(body, arrays, options.pop("scalars", kernel.scalars), kernel.variables, **options)


@pytest.mark.parametrize("name", KERNELS)
def test_sound_kernel_is_right_and_reports_nothing(name: str) -> None:
    kernel = KERNELS[name]
    arrays = kernel.arrays()
    report = execute(kernel, kernel.body, arrays)
    assert report.problems == ()
    for output, values in kernel.expected(arrays).items():
        assert arrays[output].tolist() == values.tolist()


# Kernel, text to replace, its replacement, start of the reported problem.
CHANGES = {
    "no barrier before the sums are read": ("row sums", "bar.sync 0; // all sums", "//", "race: read"),
    "no barrier before the next row": ("row sums", "bar.sync 0; // all have", "//", "race: write"),
    "barrier inside a branch": (
        "row sums",
        "@%p1 bra STORED; st.shared.f32 [%r7], %f1;\nSTORED:\n    bar.sync 0;",
        "@%p1 bra STORED; st.shared.f32 [%r7], %f1; bar.sync 0;\nSTORED:\n",
        "barrier reached by a part of a warp",
    ),
    "different barriers": (
        "row sums",
        "bar.sync 0; // all sums",
        "setp.eq.u32 %p5, %r3, 0; @%p5 bra OTHER; bar.sync 0; bra BOTH;\nOTHER: bar.sync 0;\nBOTH: //",
        "threads of a block wait at different barriers",
    ),
    "all lanes store the sum": ("row sums", "@%p1 bra STORED;", "", "several lanes store to one address"),
    "all threads store the result": ("row sums", "@%p2 bra NEXT;", "", "several lanes store to one address"),
    "a sum of a warp that is not there": ("row sums", "[sums+4]", "[sums+8]", "read of uninitialised shared memory"),
    "a store to the input": ("row sums", "st.global.f32 [%d4]", "st.global.f32 [%d1]", "write to an input"),
    "a member mask without half of the lanes": ("row sums", "16, 31, -1", "16, 31, 0xffff", "member mask leaves out"),
    "lanes that leave before a shuffle": (
        "row sums",
        "LOOP:",
        "setp.eq.u32 %p6, %r1, 40; @%p6 bra DONE;\nLOOP:",
        "member mask names lanes",
    ),
    "no barrier between load and store of a tile": ("transpose", "bar.sync 0;", "", "race: read"),
    "wrong column of a tile": ("transpose", "mad.lo.s32 %r5, %r10, 33, %r1", "mad.lo.s32 %r5, %r10, 31, %r1", "race"),
    "no wait for the first stage": ("stages", "cp.async.wait_group 1;", "", "access to shared memory before the wait"),
    "no wait for the second stage": ("stages", "cp.async.wait_group 0;", "", "access to shared memory before the wait"),
    "a wait for too few stages": ("stages", "wait_group 0", "wait_group 1", "access to shared memory before the wait"),
    "a wait without a barrier": ("stages", "bar.sync 0; // for every lane again", "", "race within a warp"),
    "an asynchronous copy over what others read": (
        "stages",
        "cp.async.wait_group 0;",
        "cp.async.ca.shared.global [%r3], [%d1], 4;",
        "race within a warp",
    ),
    "no fence before the count": ("last block", "membar.gl; // the sum is", "//", "race between blocks"),
    "a fence of the block only": ("last block", "membar.gl; // the sum is", "membar.cta; //", "race between blocks"),
    "no warp barrier before the read": ("neighbour", "bar.warp.sync -1; // the", "//", "race within a warp"),
    "no warp barrier before the write": ("neighbour", "bar.warp.sync -1; // and", "//", "race within a warp"),
    "another warp's neighbour": ("neighbour", "xor.b32 %r4, %r3, 4", "xor.b32 %r4, %r3, 128", "race: "),
    "no barrier before the count": ("count", "bar.sync 0; // the counter", "//", "race"),
    "no barrier after the count": ("count", "bar.sync 0; // all have", "//", "race: read"),
    "a count that is not atomic": (
        "count",
        "@%p2 red.shared.add.u32 [counter], 1;",
        "@%p2 st.shared.u32 [counter], 1;",
        "several lanes store",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_planted_fault_is_reported(name: str) -> None:
    kernel_name, old_text, new_text, kind = CHANGES[name]
    kernel = KERNELS[kernel_name]
    assert kernel.body.count(old_text) == 1
    report = execute(kernel, kernel.body.replace(old_text, new_text), kernel.arrays())
    assert any(problem.kind.startswith(kind) for problem in report.problems), report.problems
    assert all(problem.count > 0 and "line " in problem.message for problem in report.problems)


def shifted(array: Any, elements: int) -> Any:
    """A copy at an address that is `elements` elements after an aligned one."""
    copy = aligned(np.zeros(array.size + elements, array.dtype))[elements:].reshape(array.shape)
    copy[...] = array
    return copy


def test_partial_warp() -> None:
    """With 33 threads, a warp of one lane shuffles with lanes that do not exist."""
    kernel = KERNELS["row sums"]
    problems = execute(kernel, kernel.body, kernel.arrays(), block=33).problems
    assert any(problem.kind.startswith("member mask names lanes") for problem in problems)
    assert any(problem.kind.startswith("shuffle reads a lane") for problem in problems)


def test_wrong_lane_gives_a_wrong_value() -> None:
    kernel = KERNELS["row sums"]
    arrays = kernel.arrays()
    assert execute(kernel, kernel.body.replace("%f1, 2, 31", "%f1, 4, 31"), arrays).problems == ()
    assert arrays["out"].tolist() != arrays["x"].sum(1).tolist()


def test_row_too_many() -> None:
    kernel = KERNELS["row sums"]
    with pytest.raises(EmulationError, match=r"out of bounds at line \d+: ld\.global\.v4\.f32 .* of x\b"):
        execute(kernel, kernel.body, kernel.arrays(), scalars=(7,))


def test_shared_memory_too_small() -> None:
    kernel = KERNELS["row sums"]
    with pytest.raises(EmulationError, match="out of bounds"):
        execute(kernel, kernel.body.replace("[sums+4]", "[sums+16]"), kernel.arrays())


def test_access_before_a_buffer() -> None:
    kernel = KERNELS["row sums"]
    with pytest.raises(EmulationError, match="out of bounds"):
        execute(kernel, kernel.body.replace("[%d3];", "[%d3-16];"), kernel.arrays())


def test_misaligned_vector() -> None:
    kernel = KERNELS["row sums"]
    arrays = kernel.arrays()
    arrays["x"] = shifted(arrays["x"], 1)
    with pytest.raises(EmulationError, match="misaligned access"):
        execute(kernel, kernel.body, arrays)


def test_misaligned_source_of_a_copy_of_fewer_bytes() -> None:
    """The source must be aligned to the size of the copy, even if fewer bytes are read."""
    kernel = KERNELS["stages"]
    copy = "cp.async.cg.shared.global [tile], [%d1+4], 16, %r9;"
    body = f"ld.param.u64 %d1, [x]; mov.u32 %r9, 8; {copy} cp.async.wait_all; ret;"
    with pytest.raises(EmulationError, match="misaligned access"):
        execute(kernel, body, kernel.arrays(), block=1)
    assert execute(kernel, body.replace("+4", "+16"), kernel.arrays(), block=1).problems == ()


def test_shuffle_across_member_masks() -> None:
    """Both halves of a warp execute the shuffle, each with its own mask."""
    kernel = KERNELS["neighbour"]
    halves = "setp.lt.u32 %p1, %r1, 16; selp.b32 %r5, 0xffff, 0xffff0000, %p1;"
    body = f"mov.u32 %r1, %tid.x; mov.f32 %f1, 0f00000000; {halves} shfl.sync.bfly.b32 %f2, %f1, 8, 31, %r5; ret;"
    assert execute(kernel, body, kernel.arrays(), block=32).problems == ()
    (problem,) = execute(kernel, body.replace("%f1, 8,", "%f1, 16,"), kernel.arrays(), block=32).problems
    assert problem.kind == "shuffle reads a lane outside its member mask"


def test_bank_conflicts_are_counted() -> None:
    """Without padding, all lanes of a warp read one bank, which takes 32 wavefronts instead of one."""
    kernel = KERNELS["transpose"]
    padded = execute(kernel, kernel.body, kernel.arrays()).counters
    unpadded = execute(kernel, kernel.body.replace(", 33,", ", 32,"), kernel.arrays()).counters
    assert (padded.wavefronts, padded.least_wavefronts) == (64, 64)
    assert (unpadded.wavefronts, unpadded.least_wavefronts) == (32 + 32 * 32, 64)


def test_uninitialised_registers_show_in_the_values() -> None:
    kernel = KERNELS["neighbour"]
    arrays = kernel.arrays()
    execute(kernel, kernel.body.replace("st.global.f32 [%d2], %f2", "st.global.f32 [%d2], %f9"), arrays)
    assert set(arrays["out"].view(np.uint32).tolist()) == {0xFFFFFFFF}


def test_without_checks_only_what_stops_is_reported() -> None:
    kernel = KERNELS["row sums"]
    body = kernel.body.replace("bar.sync 0; // all sums", "//")
    assert execute(kernel, body, kernel.arrays(), checks=False).problems == ()
    with pytest.raises(EmulationError, match="out of bounds"):
        execute(kernel, body, kernel.arrays(), scalars=(7,), checks=False)
