"""Worker processes that share a list of units, and the exit codes and messages of the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.emulator import toolkit
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.emulator.workers import Died, work_through


def squared_or_dead(number: int) -> int:
    if number < 0:
        os._exit(-number)
    return number * number


def test_every_unit_has_a_result_though_processes_die() -> None:
    """Two of six units end their process, and the others are still completed."""
    units = [1, -7, 2, 3, -9, 4]
    results = list(work_through(units, squared_or_dead, 2))
    assert sorted(r for r in results if not isinstance(r, Died)) == [1, 4, 9, 16]
    assert {(r.unit, r.exit_code) for r in results if isinstance(r, Died)} == {(-7, 7), (-9, 9)}


def test_no_units_take_no_process() -> None:
    assert list(work_through([], squared_or_dead, 2)) == []


def command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "shared_tests.emulator", *options]
    env = {**os.environ, **environment}
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, env=env)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ops", "sum4,softmx"), "--ops: 'softmx' is not one of add, "),
        (("--sides", "cuda"), "--sides: 'cuda' is not one of cpp, mojo"),
        (("--dtypes", "int8"), "--dtypes: 'int8' is not one of bfloat16, float16, float32, uint8"),
        (("--noise", "-1"), "--noise: -1.0 is no finite number from 0 on"),
        (("--noise", "nan"), "--noise: nan is no finite number from 0 on"),
        (("--json", "/"), "--json: / cannot be written: Is a directory"),
        (("--json", "no/such/folder/f.json"), "--json: the folder no/such/folder does not exist"),
        (("--quick",), "unrecognized arguments: --quick"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_usage_names_the_argument(options: tuple[str, ...], message: str) -> None:
    process = command(*options)
    assert process.returncode == 2
    assert message in process.stderr


def test_without_a_toolkit_the_command_says_how_to_get_one(tmp_path: Path) -> None:
    """The search path is replaced by a folder without nvcc."""
    code = (
        "import sys; from shared_tests.emulator import __main__ as command, toolkit; "
        "toolkit.search_path = lambda: sys.argv[1]; sys.exit(command.main(['--ops', 'sum4']))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)
    assert process.returncode == 1
    assert "nvcc and ptxas are neither in CUDA_HOME nor on PATH; `nox -s emulate` installs them" in process.stdout


def test_the_command_writes_every_case(tmp_path: Path) -> None:
    """For one op of one side, the note is printed and all cases are in the file."""
    try:
        targets = toolkit.find().targets
    except ToolkitError as missing:
        pytest.skip(str(missing))
    process = command("--ops", "sum4", "--sides", "cpp", "--json", str(tmp_path / "cases.json"))
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Not shown: time" in process.stdout
    cases = json.loads((tmp_path / "cases.json").read_text())
    assert {(c["op"], c["side"], c["dtype"], c["wrong"]) for c in cases["cases"]} == {("sum4", "cpp", "float32", None)}
    rows = [case for case in cases["cases"] if case["case"].startswith("rows of 13824")]
    assert [launch["counters"]["load_sectors"] for case in rows for launch in case["launches"]] == [4 * 3 * 13824 // 8]
    assert [set(case["needs"]) for case in rows] == [set(targets)]
