"""The targets matrix: what counts as built, what stands in a row, and what is never taken for an answer."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys

import pytest
from evidence.core.child import Finished
from evidence.core.pack import empty_pack, read_pack
from evidence.sections.targets import cpp as targets_cpp
from evidence.sections.targets import lines as targets_lines
from evidence.sections.targets import mojo as targets_mojo
from evidence.sections.targets import proof as targets_proof
from evidence.sections.targets.built import SIDES
from evidence.sections.targets.command import choose, store
from evidence.sections.targets.measure import Choice, measure
from evidence.sections.targets.page import build_table, cost_table, other_commit, side_table
from evidence.sections.targets.processors import BY_NAME, TARGETS, Target
from evidence.sections.targets.row import TargetRow

X86, WIDE, ARM = (BY_NAME[name] for name in ("x86-64-v3", "x86-64-v4", "aarch64"))
HOPPER, MI250, MI300, APPLE = (BY_NAME[name] for name in ("sm_90", "gfx90a", "gfx942", "apple-m1"))


def built(op, side, target, status, **more):
    return TargetRow(op=op, side=side, target=target, status=status, **more)


# ---- own lines ----

CPP = """\
#if defined(__AVX512F__) && defined(__AVX512BW__)
int wide;
#elif defined(__AVX2__)
int narrow;
int more;
#else
int any;
#endif
#if !defined(__HIPCC__)
#define CPP_EXT_UNITS 1
int cuda;
#else
int hip;
#endif
#if defined(CPP_EXT_UNITS)
int units;  // by way of a macro
#endif
int common;
"""


@pytest.mark.parametrize(("target", "lines"), [(WIDE, 1), (X86, 2), (ARM, 0), (HOPPER, 3), (MI250, 1)])
def test_own_lines_of_cpp(target, lines, tmp_path):
    """A fallback belongs to no target, but CUDA and HIP each have their branch, also by way of a macro."""
    file = tmp_path / "op.cpp"
    file.write_text(CPP if target.vendor != "CPU" else CPP.split("#if !defined")[0])
    assert targets_lines.own_lines_cpp(file, target) == lines


def test_own_lines_need_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    targets_lines._kept.cache_clear()
    assert targets_lines.of_cpp("add", X86) is None


MOJO = """\
comptime COMPRESS = CompilationTarget.has_avx512f()  # a question
def f():
    comptime if COMPRESS:
        one()
        two()
    else:
        other()
    comptime if x and CompilationTarget.is_x86():
        three()
    comptime if is_nvidia_gpu():
        four()
    common()
"""


@pytest.mark.parametrize(("target", "lines"), [(WIDE, 5), (X86, 2), (ARM, 0), (HOPPER, 2), (MI250, 0)])
def test_own_lines_of_mojo(target, lines):
    assert targets_lines.own_lines_mojo(MOJO, targets_lines.questions(target)) == lines


def test_own_lines_of_our_sources():
    for target in TARGETS:
        for op in ("attention", "linear_w8", "top_k"):
            assert targets_lines.of_mojo(op, target) >= 0
    assert targets_lines.of_cpp("linear_w8", WIDE) > targets_lines.of_cpp("linear_w8", ARM)
    assert targets_lines.of_cpp("attention", HOPPER) > targets_lines.of_cpp("add", HOPPER) > 0
    assert targets_lines.of_mojo("linear_w8", HOPPER) > targets_lines.of_mojo("linear_w8", MI300)


def test_lines_that_the_translation_left(tmp_path):
    file = tmp_path / "x.hip"
    file.write_text("hipStream_t a;\ncudaStream_t b;\n// cudaFree is a comment\n#include <cuda_fp16.h>\n")
    assert targets_lines.untranslated(file) == 2


# ---- proof ----


def elf(machine: int) -> bytes:
    return b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + bytes(44)


def test_the_machine_of_an_elf_file(tmp_path):
    file = tmp_path / "x.o"
    file.write_bytes(elf(183))
    assert targets_proof.of_object(file, "aarch64") == "ELF for AArch64"
    assert targets_proof.of_object(file, "x86-64-v3") is None
    file.write_bytes(b"nothing")
    assert targets_proof.of_object(file, "aarch64") is None


def test_cubins_in_a_fat_binary():
    def entry(kind: int, arch: int, size: int) -> bytes:
        return struct.pack("<HHIQIIHHI", kind, 0x101, 64, size, 0, 0, 0, 0, arch) + bytes(32) + bytes(size)

    entries = entry(1, 90, 16) + entry(2, 90, 24)
    data = elf(62) + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
    assert list(targets_proof.cubins(data)) == [("sm_90", 24)]


def test_code_objects_in_an_offload_bundle():
    triples = (b"host-x86_64-unknown-linux--", b"hipv4-amdgcn-amd-amdhsa--gfx90a:xnack-")
    code = elf(224)
    table = 32 + sum(24 + len(triple) for triple in triples)
    data = b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", 2)
    data += struct.pack("<QQQ", table, 0, len(triples[0])) + triples[0]
    data += struct.pack("<QQQ", table, len(code), len(triples[1])) + triples[1]
    assert list(targets_proof.bundled(b"front" + data + code)) == [("gfx90a", len(code))]


def test_assembly_names_its_processor(tmp_path):
    ptx, amd = tmp_path / "a.ptx", tmp_path / "b.amdgcn"
    ptx.write_text(".version 8.5\n.target sm_90a\n")
    amd.write_text('\t.amdgcn_target "amdgcn-amd-amdhsa--gfx942"\n')
    assert targets_proof.of_assembly([ptx], "sm_90") == "1 kernels for sm_90a"
    assert targets_proof.of_assembly([ptx], "sm_100") is None
    assert targets_proof.of_assembly([amd], "gfx942") == "1 kernels for amdgcn-amd-amdhsa--gfx942"
    assert targets_proof.of_assembly([amd], "gfx950") is None
    assert targets_proof.of_mef(b"..sm_90a..", "sm_90")
    assert targets_proof.of_mef(b"..sm_900..", "sm_90") is None


# ---- the C++ side ----


def test_an_op_for_this_and_another_cpu(tmp_path):
    for target in (X86, ARM):
        (row,) = targets_cpp.build(target, ("add",), tmp_path / target.name)
        if row.status == "no tool chain":
            assert row.message.startswith("install g++-")
            continue
        assert (row.status, row.message) == ("built", None)
        assert row.bytes > 1000
        assert row.proof.startswith("ELF for")
        assert not (tmp_path / target.name).exists()


def test_a_source_that_does_not_compile_fails_with_its_first_error(tmp_path, monkeypatch):
    (tmp_path / "csrc" / "cpu").mkdir(parents=True)
    (tmp_path / "csrc" / "cpu" / "add.cpp").write_text("int f() { return nothing; }\n")
    for module in (targets_cpp, targets_lines):
        monkeypatch.setattr(module, "CSRC", tmp_path / "csrc")
    target = X86 if targets_cpp.HOST == "x86_64" else ARM
    (row,) = targets_cpp.build(target, ("add",), tmp_path / "work")
    assert row.status == "failed"
    assert row.message.startswith("add.cpp:1:")
    assert "nothing" in row.message
    assert row.proof is None


def test_without_compilers_every_row_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ROCM_HOME", str(tmp_path))
    for name in ("CUDA_HOME", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(targets_cpp, "hipify", lambda folder: folder)
    for target, requirement in ((HOPPER, "CUDA toolkit"), (MI300, "ROCm"), (ARM, "g++-aarch64-linux-gnu")):
        if target.name == targets_cpp.HOST:
            continue
        rows = targets_cpp.build(target, ("add", "rope"), tmp_path / "work")
        assert [row.status for row in rows] == ["no tool chain"] * 2
        assert requirement in rows[0].message
    (row,) = targets_cpp.build(APPLE, ("add",), tmp_path / "work")
    assert row.status == "no source"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on PATH")
def test_what_no_source_compiles_for_is_a_missing_tool_chain(tmp_path):
    (row,) = targets_cpp.build(Target("sm_999", "NVIDIA", "none"), ("add",), tmp_path / "work")
    assert row.status == "no tool chain"
    assert "a newer CUDA toolkit may know it" in row.message


def test_paths_of_this_machine_are_not_in_messages():
    assert targets_cpp.shortened("/a/b/csrc/cpu/add.cpp:1:2: error: x/y") == "add.cpp:1:2: error: x/y"


# ---- the Mojo side ----


def test_a_kernel_for_an_accelerator_that_is_not_here(tmp_path):
    with targets_mojo.Package(tmp_path, ("add",)) as package:
        (row,) = targets_mojo.build_ahead(package, HOPPER, tmp_path / "aot")
        assert (row.status, row.message) == ("built", None)
        assert "sm_90" in row.proof
        assert row.bytes > 1000
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("root_kernels_add_add_kernel_DType6A6A6A6AcB6A6A_6022f6fa29859720.ptx", "add"),
        ("root_kernels_add_rms_add_rms_kern6A6A_6022f6fa29859720.ptx", "add_rms"),
        ("root_kernels_silu_and_mul_backwar6A6A6A6A_6022f6fa29859720.amdgcn", "silu_and_mul_backward"),
        ("root_kernels_silu_and_mul_silu_an6A6A6A6A_6022f6fa29859720.ptx", "silu_and_mul"),
    ],
)
def test_a_kernel_is_that_of_its_module(file, module):
    modules = ("add", "add_rms", "silu_and_mul", "silu_and_mul_backward")
    assert targets_mojo.module_of(file, modules) == module


def test_llvm_says_the_reason_before_its_last_word():
    done = Finished(1, 1.0, "return type 'double' is not supported\nLLVM ERROR: Failed to verify\n")
    assert targets_mojo.first_error(done) == "return type 'double' is not supported"


# ---- the matrix ----


def arguments(**options: str):
    import argparse

    return argparse.Namespace(**{"ops": "", "sides": "", "targets": "", "all": False, "pack": None, **options})


def test_the_default_is_everything_and_max_for_some():
    choice = choose(arguments())
    assert choice.targets == TARGETS
    assert choice.sides == SIDES
    assert choice.left_out("mojo", BY_NAME["sm_80"])
    assert not choice.left_out("mojo_aot", BY_NAME["sm_80"])
    assert not Choice(choice.ops, choice.sides, choice.targets, True).left_out("mojo", BY_NAME["sm_80"])


@pytest.mark.parametrize("options", [{"ops": "nope"}, {"sides": "rust"}, {"targets": "sm_1"}])
def test_a_name_that_is_not_known_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        choose(arguments(**options))


def test_what_is_left_out_is_said(tmp_path):
    (rows,) = measure(Choice(("add",), ("mojo",), (BY_NAME["sm_80"],)), tmp_path, lambda what: None)
    assert [(row.status, "--all" in row.message) for row in rows] == [("did not run", True)]


def test_later_rows_take_the_place_of_earlier_ones():
    pack = empty_pack()
    store(pack, [built("add", "cpp", "sm_90", "failed", message="x"), built("add", "cpp", "sm_80", "built")], "one")
    store(pack, [built("add", "cpp", "sm_90", "built", seconds=1.0, bytes=10)], "two")
    assert [(row["target"], row["status"]) for row in pack.rows("targets")] == [("sm_80", "built"), ("sm_90", "built")]
    assert pack.section_status("targets") == "partial"
    assert "mojo for sm_90" in pack.reason("targets")
    pack.set_facts("versions", {"commit": "one"})
    assert other_commit(pack) == "The matrix is of commit two, the rest of the pack of one."
    pack.set_facts("versions", {"commit": "two"})
    assert other_commit(pack) is None


def test_the_page_counts_what_builds():
    pack = empty_pack()
    rows = [
        built("add", "cpp", "sm_90", "built", seconds=2.0, bytes=1000, tool="nvcc", proof="1 cubin"),
        built("rope", "cpp", "sm_90", "failed", seconds=1.0, message="no"),
        built("add", "mojo_aot", "sm_90", "built", seconds=9.0, tool="Mojo", proof="6 kernels", together=2),
        built("rope", "mojo_aot", "sm_90", "built", seconds=9.0, tool="Mojo", proof="6 kernels", together=2),
        built("add", "cpp", "gfx942", "no tool chain", message="install"),
    ]
    store(pack, rows, "one")
    lines = {line.cells[0].text: line.cells[1:] for line in cost_table(pack).rows}
    short = {line.cells[0].text: line.cells[1:] for line in side_table(pack).rows}
    cpp, aot = lines["sm_90"]
    assert [cell.statuses[0].word for cell in (cpp, aot)] == ["1 of 2 ops", "builds"]
    assert [cell.statuses for cell in short["sm_90 (H100, H200)"]] == [cpp.statuses, aot.statuses]
    assert not any(cell.notes for line in short.values() for cell in line)
    assert cpp.statuses[0].sign == "◐"
    assert "no (rope)" in cpp.notes
    assert aot.notes[0].endswith("s for all at once")
    assert [cell.statuses[0].word for cell in lines["gfx942"]] == ["no toolchain", "not tried"]
    assert {line.id for line in build_table(pack).rows} == {f"targets-{i}" for i in range(5)}


def test_the_command_writes_a_pack_where_there_is_none(tmp_path):
    folder = tmp_path / "pack"
    options = ["--ops", "add", "--sides", "cpp", "--targets", "apple-m1", "--pack", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "evidence", "targets", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = read_pack(folder).rows("targets")
    assert row["status"] == "no source"
    assert "no source for it" in (folder / "report.md").read_text()
    wrong = [sys.executable, "-m", "evidence", "targets", "--targets", "sm_1"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode == 2
