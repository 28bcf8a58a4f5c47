"""The section on GPU kernels: what was emulated is never taken for a run on a device, and nothing wrong is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidence.core.pack import PARTIAL, PackError, read_pack, write_pack
from evidence.core.status import Status
from evidence.judge.claims import claims
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.diff import REGRESSION, diff
from evidence.judge.gates import gates
from evidence.judge.scope import Scope
from evidence.page.table import Cell
from evidence.sections.gpu import measure as gpu_rows
from evidence.sections.gpu import readings as gpu
from evidence.sections.gpu.command import store
from evidence.sections.gpu.page import kernel_table, op_table, other_commit, vendor_table
from evidence.sections.gpu.row import GpuRow
from few_rows import checks, emulated, fits, pack_of, target, typed
from markupsafe import Markup

from shared_tests.emulator.command import Choice, Outcome
from shared_tests.emulator.counters import Counters
from shared_tests.emulator.run import NO_CASE, CaseResult, LaunchResult, Need, Settings

BOTH = [emulated("cpp"), emulated("mojo")]


def cells(table):
    """The cells of a table by the text of their row's heading."""
    return {str(Markup(line.cells[0].text).striptags()): line.cells[1:] for line in table.rows}


def test_a_row_must_be_whole(tmp_path):
    row = emulated("cpp")
    row.pop("wrong")
    with pytest.raises(PackError, match=r"gpu\.rows\[0\]\.wrong is missing"):
        write_pack(pack_of(gpu=[row]), tmp_path)


def test_traffic_is_relative_to_what_was_requested():
    assert gpu.traffic_share(typed(GpuRow, emulated("cpp"))) == pytest.approx(1)
    assert gpu.traffic_share(typed(GpuRow, emulated("cpp", load_sectors=20520))) == pytest.approx(2)
    assert gpu.traffic_share(typed(GpuRow, emulated("cpp", least_sectors=None))) is None


def test_right_kernels_are_said_to_be_right_under_emulation_and_not_timed():
    finding = gates()["gpu"].find(Scope(pack_of(gpu=BOTH), "NVIDIA"), "cpp")
    assert finding.met is None
    assert finding.evidence.startswith("not timed here: needs a run of compare")
    assert "the kernels of both sides give right results under emulation" in finding.evidence
    assert "memory sectors requested, relative to the least: C++ 1×, Mojo 1×" in finding.evidence
    assert finding.rows == ["/gpu/rows/0", "/gpu/rows/1"]


def test_emulation_says_nothing_about_amd():
    finding = gates()["gpu"].find(Scope(pack_of(gpu=BOTH), "AMD"), "cpp")
    assert "emulation" not in finding.evidence
    amd = cells(vendor_table(pack_of(gpu=BOTH)))["AMD"]
    assert [cell.statuses[1].word for cell in amd] == ["cannot be emulated"] * 2


@pytest.mark.parametrize("fault", [{"wrong": 1, "message": "row 3"}, {"problems": 1, "message": "race"}])
def test_a_fault_is_named_wherever_emulation_is_spoken_of(fault):
    pack = pack_of(gpu=[*BOTH, emulated("mojo", "rope", **fault)], targets=[target("mojo", "cuda sm_90")])
    summary = gpu.summary(pack)
    assert summary is not None
    assert "C++ 1 of 1 op right, Mojo 1 of 2 ops right (not rope)" in summary
    cpp, mojo = cells(op_table(pack))["rope"]
    assert (cpp.statuses[0].word, mojo.statuses[0].sign) == ("not emulated", "✗")
    assert mojo.notes == (f"float32: {fault['message']}",)
    assert [cell.statuses[1].sign for cell in cells(vendor_table(pack))["NVIDIA"]] == ["✓", "✗"]
    claim = next(row for row in claims(pack) if row.id == "run-anywhere")
    assert "Mojo 1 of 2 ops right (not rope)" in claim.evidence
    assert "/gpu/rows/2" in claim.rows


def test_one_side_alone_is_not_both():
    summary = gpu.summary(pack_of(gpu=BOTH[:1]))
    assert summary is not None
    assert summary.startswith("under emulation: C++ 1 of 1 op right")


def test_an_op_whose_process_died_is_not_right():
    """The other dtypes of the op, and the other ops, do not hide it."""
    died = replace(RESULT, dtype="bfloat16", case=NO_CASE, problems=("the process died",), launches=(), needs={})
    rows = gpu_rows.rows([RESULT, died, replace(RESULT, op="rope"), replace(RESULT, side="mojo")], None)
    summary = gpu.summary(pack_of(gpu=rows))
    assert summary is not None
    assert "C++ 1 of 2 ops right (not add)" in summary
    add, _ = cells(op_table(pack_of(gpu=rows)))["add"]
    assert (add.statuses[0].sign, add.notes) == ("✗", ("bfloat16: the process died",))


def test_a_part_of_the_ops_is_counted():
    pack = pack_of(gpu=BOTH)
    pack.set_rows("gpu", BOTH, PARTIAL, "not emulated: rope (cpp)")
    assert "under emulation: C++ 1 of 1 op right, Mojo 1 of 1 op right" in (gpu.summary(pack) or "")


def test_nothing_emulated_is_no_result():
    pack = pack_of(gpu=[emulated("cpp", cases=0, message="nvcc was not found")])
    assert gpu.summary(pack) is None
    cpp, _ = cells(op_table(pack))["add"]
    assert cpp == Cell(statuses=(Status("–", "not emulated", "muted"),), notes=("nvcc was not found",))


def test_emulation_judges_no_claim_about_speed():
    assert next(row for row in claims(pack_of(gpu=BOTH)) if row.id == "cpp-speed").verdict == NOT_MEASURED


def test_a_run_on_a_device_stands_beside_the_emulation():
    rows = [checks("cpp", device="cuda"), checks("mojo", device="cuda", failed=2)]
    nvidia = cells(vendor_table(pack_of(gpu=BOTH, correctness=rows)))["NVIDIA"]
    assert [cell.statuses[0].sign for cell in nvidia] == ["✓", "✗"]
    assert nvidia[1].statuses[0].word == "run on a device: 20 of 22 checks passed"


def test_every_kernel_is_listed_for_every_target():
    rows = [emulated("cpp", kernels=[fits("add", registers=80, occupancy=0.375), fits("add", "sm_80")])]
    hopper, ampere = ([cell.text for cell in line.cells] for line in kernel_table(pack_of(gpu=rows)).rows)
    assert (hopper[4], hopper[6], hopper[8]) == ("sm_90 (H100, H200)", "80", "38%")
    assert (ampere[4], ampere[8]) == ("sm_80 (A100)", "100%")


def test_more_wrong_calls_are_a_regression():
    difference = diff(pack_of(gpu=BOTH), pack_of(gpu=[BOTH[0], emulated("mojo", wrong=2)]))
    change = next(change for change in difference.changes if change.section == "gpu")
    assert (change.kind, change.before, change.after) == (REGRESSION, "0 wrong", "2 wrong")


def test_another_commit_is_said():
    pack = pack_of(gpu=BOTH)
    pack.facts("versions")["commit"] = "a" * 40
    pack.facts("settings")["gpu_commit"] = "b" * 40
    assert other_commit(pack) == f"The emulation is of commit {'b' * 12}, the rest of the pack of {'a' * 12}."


NEED = Need("add", 4, 256, 32, 8, 8, 0, 0, 0.5)
LAUNCH = LaunchResult("add", (4, 1, 1), (256, 1, 1), 0, Counters(100, 50, 30, 30, 6, 4, 900), 0.1)
RESULT = CaseResult("add", "cpp", "float32", "rows of 64: 3x64", 192, 2304, None, (), (LAUNCH,), {"sm_90": (NEED,)})
WRITTEN = Choice(["add"], ["cpp"], ["float32"], Settings(), None)


def test_a_row_sums_the_counters_of_rows_of_whole_vectors():
    results = [RESULT, replace(RESULT, case="rows of 1032"), replace(RESULT, case="empty", least_bytes=10**6)]
    (row,) = gpu_rows.rows(results, "ptxas")
    counted = ("cases", "elements", "op_sectors", "least_sectors", "load_sectors", "store_sectors", "warp_instructions")
    assert [getattr(row, name) for name in counted] == [3, 384, 144, 160, 200, 60, 1800]
    assert gpu.traffic_share(row) == pytest.approx(260 / 160)
    (kernel,) = row.kernels
    assert (kernel.target, kernel.threads, kernel.spill_bytes, kernel.occupancy) == ("sm_90", 256, 8, 0.5)


def test_calls_that_fail_are_counted_and_the_first_is_quoted():
    results = [RESULT, replace(RESULT, wrong="too large"), replace(RESULT, problems=("race", "race"))]
    (row,) = gpu_rows.rows(results, None)
    assert (row.cases, row.wrong, row.problems, row.message) == (3, 1, 1, "too large")


def test_ranges_are_written_without_exponents():
    assert (gpu.span(1, 1.0001), gpu.span(0.998, 1.94), gpu.span(858.3, 1119)) == ("1", "0.998–1.94", "858–1,119")


def test_a_probe_has_no_row():
    assert gpu_rows.rows([replace(RESULT, op="sum4")], None) == []


def test_an_op_that_does_not_compile_is_not_right():
    failed = replace(RESULT, case=NO_CASE, problems=("does not compile: error",), launches=(), needs={})
    (row,) = gpu_rows.rows([failed], None)
    assert (row.cases, row.message, row.sample, row.load_sectors) == (
        0,
        "does not compile: error",
        None,
        None,
    )
    assert gpu.emulated(pack_of(gpu=[row]))["cpp"].faulty == ("add",)


def test_a_part_takes_the_place_of_its_own_rows_and_names_what_is_missing(tmp_path):
    pack = pack_of(gpu=[emulated("cpp", wrong=1), emulated("mojo")])
    store(pack, gpu_rows.rows([RESULT], "ptxas"), WRITTEN, Outcome([RESULT], interrupted=False))
    assert [(row["side"], row["wrong"]) for row in pack.rows("gpu")] == [("cpp", 0), ("mojo", 0)]
    reason = pack.reason("gpu")
    assert reason is not None
    assert reason.startswith("not emulated: add_rms_norm (cpp)")
    write_pack(pack, tmp_path)
    assert read_pack(tmp_path).rows("gpu") == pack.rows("gpu")


def test_an_interrupted_emulation_is_no_whole_one():
    pack = pack_of()
    store(pack, [], WRITTEN, Outcome([], interrupted=True))
    assert pack.section_status("gpu") == "partial"
    assert (pack.reason("gpu") or "").startswith("interrupted; not emulated")
