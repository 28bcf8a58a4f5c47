"""Install footprint: what a route asks for, what cannot be counted, and the sums that the report shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from evidence.core import packages
from evidence.core.pack import empty_pack, write_pack
from evidence.core.packages import NotCounted, Package
from evidence.sections.install import footprint
from evidence.sections.install.totals import footprint_totals, torch_note

TOML = '[build-system]\nrequires = ["a>=1", "b"]\n[project]\ndependencies = ["torch>=2.11"]\n'


def test_requirements_are_those_that_the_packages_declare() -> None:
    assert footprint.requirements("eager", "run") == ["torch"]
    assert footprint.requirements("eager", "build") == []
    assert footprint.requirements("mojo_aot", "run") == footprint.requirements("cpp", "run"), "torch and nothing else"
    assert any("max" in text for text in footprint.requirements("mojo", "run"))
    assert footprint.requirements("max_graph", "build") == [], "nothing of it is compiled before it runs"
    assert any("pybind11" in text for text in footprint.requirements("cpp", "build"))
    with pytest.raises(ValueError, match=r"route is 'c' .* expected one of eager"):
        footprint.requirements("c", "run")


def test_a_list_of_requirements_is_read_from_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(TOML)
    assert footprint.declared(file, "requires") == ["a>=1", "b"]
    with pytest.raises(ValueError, match=r"no line `max = \[...\]`"):
        footprint.declared(file, "max")


def test_programs_are_those_that_the_builds_start() -> None:
    assert footprint.programs("mojo_aot", "build") == ["cc"]
    assert footprint.programs("mojo_stock", "build") == [], "a .mojoc is not linked"
    assert footprint.programs("max_graph", "build") == []
    assert "cc" not in footprint.programs("cpp", "build")
    assert footprint.programs("cpp", "run") == []


def test_what_has_no_record_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: object) -> list[Package]:
        raise NotCounted("there is no dpkg here")

    footprint._system.cache_clear()
    monkeypatch.setattr(packages, "system_closure", nothing)
    (row,) = footprint.system_rows("mojo_aot", "build")
    footprint._system.cache_clear()
    assert (row.package, row.bytes, row.kind) == ("cc", None, "system package")
    assert row.message == "not counted: there is no dpkg here"
    monkeypatch.setattr(packages, "closure", nothing)
    (row,) = footprint.python_rows("eager", "run")
    assert row.bytes is None
    assert "not counted" in row.message


def test_artifacts_are_measured_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "mojo_ops/src/mojo_ops/artifacts"
    folder.mkdir(parents=True)
    (folder / "cpu.mef").write_bytes(b"x" * 1000)
    mef, library = footprint.artifact_rows("mojo", tmp_path)
    assert (mef.package, mef.bytes, mef.files) == ("cpu.mef", 1000, 1)
    assert library.bytes is None
    assert library.message == "not counted: not built here"


def test_links_give_the_chosen_packages_and_no_others(tmp_path: Path) -> None:
    packages.link_packages(["psutil", "numpy"], tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"psutil", "numpy"} <= names
    assert "torch" not in names
    assert (tmp_path / "psutil" / "__init__.py").is_file()


def test_totals_show_pytorch_apart_and_what_is_unknown(tmp_path: Path) -> None:
    def row(route: str, package: str, size: int | None, kind: str = "python package", purpose: str = "run"):
        keys = {"route": route, "purpose": purpose, "package": package, "version": "1", "bytes": size, "files": 1}
        return {**keys, "kind": kind, "message": None}

    pack = empty_pack()
    pack.set_rows(
        "footprint",
        [
            row("eager", "torch", 700),
            row("cpp", "torch", 700, purpose="build"),
            row("cpp", "ninja", 4, purpose="build"),
            row("cpp", "g++-12", 30, "system package", "build"),
            row("cpp", "Python headers", None, "system package", "build"),
            row("mojo", "torch", 700),
            row("mojo", "max", 40),
            row("mojo", "pandas", 60),
            row("mojo", "cpu.mef", 3, "artifact"),
        ],
    )
    totals = {(total.route, total.purpose): total for total in footprint_totals(pack)}
    build, run = totals["cpp", "build"], totals["mojo", "run"]
    assert (build.base, build.packages, build.system, build.uncounted) == (700, 4, 30, ("Python headers",))
    assert (build.system_count, build.beside_torch) == (1, 34)
    assert (run.base, run.packages, run.artifacts, run.beside_torch) == (700, 100, 3, 103)
    assert totals["eager", "run"].beside_torch == 0
    assert run.pointers == tuple(f"/footprint/rows/{index}" for index in range(5, 9))
    write_pack(pack, tmp_path)  # the rows are as the schema wants them


def test_the_kind_of_pytorch_is_said() -> None:
    pack = empty_pack()
    assert torch_note(pack) is None
    pack.set_facts("versions", {"torch": "2.13.0+cpu", "torch_cuda": None, "torch_hip": None})
    assert "CPU build" in (torch_note(pack) or "")
    pack.set_facts("versions", {"torch": "2.13.0", "torch_cuda": "13.0", "torch_hip": None})
    assert "GPU build" in (torch_note(pack) or "")


def test_rows_of_this_environment_hold_together() -> None:
    """Whatever is installed here: PyTorch is counted for every route, and mojo_aot asks for what cpp asks for."""
    rows = footprint.rows_of(["eager", "cpp", "mojo_aot"])

    def needed(route: str) -> set[str]:
        return {row.package for row in rows if (row.route, row.purpose, row.kind) == (route, "run", "python package")}

    assert needed("eager") == needed("cpp") == needed("mojo_aot")
    assert "torch" in needed("cpp")
    largest = max((row for row in rows if row.route == "eager"), key=lambda row: row.bytes or 0)
    assert largest.package == "torch"
    assert largest.bytes > 100e6, f"torch with its libraries, in {sys.prefix}"
