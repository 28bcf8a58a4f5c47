"""Upgrade survival: symbols of a small library built here, what follows from them, and loading in other processes."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evidence.core.child import Finished
from evidence.core.machine import ROOT
from evidence.core.pack import empty_pack, write_pack
from evidence.sections.install import upgrade, upgrade_load, upgrade_max
from evidence.sections.install.upgrade_bare import try_bare
from evidence.sections.install.upgrade_elf import NotReadable, classify, demangled, read, stable_shim
from evidence.sections.install.upgrade_load import Tried
from evidence.sections.install.upgrade_releases import Release, releases, store
from evidence.sections.install.upgrade_sources import CODES, code_assertions, digest
from evidence.sections.install.upgrade_symbols import read_wheel

from shared_tests import route_table

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler")

SOURCE = """
#include <math.h>
extern int aoti_torch_get_dim(void*, long*);
extern int aoti_torch_of_yesterday(void);
extern void* PyCapsule_New(void*, const char*, void*);
extern void* _PyType_Lookup(void*, void*);
extern int M_newStatus(void);
extern int _ZN2at6detail9empty_cpuEv(void);
int offered(double x) {
  return aoti_torch_get_dim(0, 0) + aoti_torch_of_yesterday() + M_newStatus() + _ZN2at6detail9empty_cpuEv() +
         (PyCapsule_New(0, 0, 0) == _PyType_Lookup(0, 0)) + (int)sin(x);
}
static int own(void) { return 1; }
int (*kept)(void) = own;
"""


def build(source: str, file: Path) -> Path:
    """A shared library of a C source, which may leave symbols open."""
    code = file.with_suffix(".c")
    code.write_text(source)
    subprocess.run([str(CC), "-shared", "-fPIC", "-o", str(file), str(code), "-lm"], check=True)
    return file


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SOURCE, tmp_path_factory.mktemp("lib") / "libsmall.so")


@needs_cc
def test_symbols_of_a_known_library(library: Path) -> None:
    symbols = read(library)
    assert {"offered", "kept"} <= symbols.exported
    assert "own" not in symbols.exported
    assert "libm.so.6" in symbols.needed
    assert symbols.undefined["sin"]
    assert symbols.undefined["aoti_torch_get_dim"] is None


@needs_cc
def test_promised_and_not_promised_are_told_apart(library: Path) -> None:
    needs = classify(read(library).undefined, ["aoti_torch_get_dim"])
    assert needs.torch_stable == {"aoti_torch_get_dim"}
    assert needs.torch_other == {"aoti_torch_of_yesterday", "_ZN2at6detail9empty_cpuEv"}
    assert needs.python_limited == {"PyCapsule_New"}
    assert needs.python_other == {"_PyType_Lookup"}
    assert needs.max_other == {"M_newStatus"}
    assert not needs.unknown
    assert needs.system >= 1
    assert needs.stable == {"aoti_torch_get_dim", "PyCapsule_New"}
    assert len(needs.unstable) == 4


def test_a_symbol_without_version_that_the_system_has_is_of_the_system() -> None:
    symbols: dict[str, str | None] = {"_ZSt9terminatev": None, "of_nobody": None, "_ITM_x": None}
    needs = classify(symbols, [], system=lambda name: name == "_ZSt9terminatev")
    assert needs.system == 1
    assert needs.unknown == {"of_nobody"}


def test_what_is_no_library_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "text.so"
    file.write_text("no library")
    for broken in (file, tmp_path / "absent.so"):
        with pytest.raises(NotReadable, match=f"{broken.name} is not a readable ELF library"):
            read(broken)


def test_names_of_the_stable_abi_come_from_the_headers(tmp_path: Path) -> None:
    for shim in ("inductor/aoti_torch/c/shim.h", "stable/c/shim.h"):
        header = tmp_path / "torch/csrc" / shim
        header.parent.mkdir(parents=True)
        header.write_text(
            "AOTI_TORCH_EXPORT AOTITorchError\naoti_torch_one(int* out);\n// AOTI_TORCH_EXPORT int said_only();\n"
            "typedef void (*F)(int);\nAOTI_TORCH_EXPORT void torch_two(F f, int n);\n"
        )
    assert stable_shim(tmp_path) == {"aoti_torch_one", "torch_two"}
    assert {"aoti_torch_get_data_ptr", "torch_library_impl", "torch_parallel_for"} <= upgrade.shim()


def test_cpp_names_are_shown_as_written() -> None:
    name = demangled("_ZN2at6detail9empty_cpuEv")
    assert name in ("at::detail::empty_cpu", "_ZN2at6detail9empty_cpuEv")
    assert demangled("aoti_torch_one") == "aoti_torch_one"


def release(exported: tuple[str, ...], absent: tuple[str, ...] = (), **more) -> Release:
    return Release("9.9.0", "torch-9.9.0.whl", "0" * 64, 1, "2026-01-01", exported, absent, **more)


@needs_cc
def test_a_missing_symbol_is_found_and_a_promise_is_needed(library: Path) -> None:
    needs = classify(read(library).undefined, ["aoti_torch_get_dim"])
    names = tuple(sorted(needs.torch))
    outcome, message = upgrade.judge(needs, release(names[:-1], names[-1:]))
    assert outcome == "fails"
    assert demangled(names[-1]) in message
    outcome, message = upgrade.judge(needs, release(names))
    assert outcome == "did not run", "all there, but two of them are promised by nobody"
    assert "only loading it would decide" in message
    outcome, message = upgrade.judge(needs, release(names[:1]))
    assert outcome == "did not run"
    assert "not asked for" in message
    promised = classify(read(library).undefined, needs.torch)
    assert upgrade.judge(promised, release(names))[0] == "works"
    assert upgrade.judge(promised, release(names), codes="works")[0] == "works"
    assert upgrade.judge(promised, release(names), codes="fails")[0] == "fails"
    assert upgrade.judge(promised, release(names), codes="did not run")[0] == "did not run"


@needs_cc
def test_a_wheel_is_read_without_running_it(tmp_path: Path) -> None:
    library_file = build("int aoti_torch_one(void) { return 1; }", tmp_path / "libtorch_cpu.so")
    wheel = tmp_path / "torch-9.9.0-cp311.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(library_file, "torch/lib/libtorch_cpu.so")
    torch_release = read_wheel(wheel, "9.9.0", ["aoti_torch_one", "aoti_torch_two"])
    assert (torch_release.exported, torch_release.absent) == (("aoti_torch_one",), ("aoti_torch_two",))
    assert (torch_release.wheel, torch_release.bytes, len(torch_release.sha256)) == (
        wheel.name,
        wheel.stat().st_size,
        64,
    )
    file = tmp_path / "data.json"
    store(torch_release, file)
    store(torch_release, file)
    assert releases(file) == [torch_release], "a second reading takes the place of the first"
    empty = tmp_path / "other.whl"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("torch/version.py", "")
    with pytest.raises(NotReadable, match=r"other\.whl holds none of"):
        read_wheel(empty, "9.9.0", [])


def test_releases_that_are_kept_are_of_known_provenance(tmp_path: Path) -> None:
    kept_releases = releases()
    assert len(kept_releases) >= 2
    for torch_release in kept_releases:
        assert torch_release.wheel.startswith(f"torch-{torch_release.torch}-")
        assert len(torch_release.sha256) == 64
        assert not set(torch_release.exported) & set(torch_release.absent)
        assert "aoti_torch_get_data_ptr" in torch_release.exported
    broken = tmp_path / "data.json"
    broken.write_text(json.dumps({"releases": [{"torch": "1"}]}))
    with pytest.raises(ValueError, match="holds no releases"):
        releases(broken)


def test_mojo_numbers_of_dtypes_are_asserted() -> None:
    text = code_assertions((ROOT / "mojo_ops/kernels/common/torch_abi.mojo").read_text())
    assert "static_assert(static_cast<int>(c10::ScalarType::Float) == 6);" in text
    assert text.count("static_assert") == 5
    with pytest.raises(ValueError, match="no `comptime BFLOAT16"):
        code_assertions("comptime UINT8 = Int32(0)\n")


def test_c_functions_named_in_python_count(tmp_path: Path) -> None:
    file = tmp_path / "native.py"
    file.write_text('lib.aoti_torch_delete(1)\ncall("M_newStatus")\nlib.other\nM_HOST = 1\nx = "M_ HOST"\n')
    assert list(upgrade.named_functions([file])) == ["aoti_torch_delete", "M_newStatus"]


def test_sources_that_changed_since_are_not_judged() -> None:
    sources = {"cpp": {"outcome": "works", "message": "compiles", "sha256": digest("cpp")}}
    (row,) = upgrade.source_rows(["cpp"], known=[release((), sources=sources)])
    assert (row.outcome, row.method, row.artifact) == ("works", "compiled", "sources")
    sources["cpp"]["sha256"] = digest(CODES)
    (row,) = upgrade.source_rows(["cpp"], known=[release((), sources=sources)])
    assert row.outcome == "did not run"
    assert upgrade.source_rows(["mojo"], known=[release((), sources=sources)]) == []


def test_rows_of_what_is_built_here_fit_the_schema(tmp_path: Path) -> None:
    routes = ["cpp", "cpp_pybind", "cpp_classic", "mojo", "mojo_aot", "mojo_stock"]
    rows = upgrade.symbol_rows(routes) + upgrade.source_rows(routes) + upgrade_max.max_rows(routes, quick=True)
    pack = empty_pack()
    pack.set_rows("upgrade", rows)
    write_pack(pack, tmp_path)
    for row in rows:
        if row.method == "symbols":
            assert row.symbols_needed == row.symbols_stable + row.symbols_unstable
    stable = [row for row in rows if row.route in ("cpp", "mojo_aot") and row.method == "symbols"]
    assert all(row.symbols_torch["other"] == 0 for row in stable), "both go by the stable ABI alone"


def finished(*lines: dict, code: int | None = 0) -> Finished:
    return Finished(code, 1.0, "".join(f"@@ {json.dumps(line)}\n" for line in lines))


TORCH = {"stage": "torch", "torch": "2.0", "python": "3.11"}


@pytest.mark.parametrize(
    ("child", "outcome", "message"),
    [
        (finished({"stage": "torch", "error": "No module"}), "did not run", "import torch: No module"),
        (finished(TORCH, {"stage": "load", "error": "undefined symbol"}), "refused", "undefined symbol"),
        (finished(TORCH, {"stage": "load"}, {"stage": "call", "error": "no kernel"}), "fails", "no kernel"),
        (finished(TORCH, {"stage": "load"}, {"stage": "call", "right": False}), "fails", "wrong sum"),
        (finished(TORCH, {"stage": "load"}, {"stage": "call", "right": True}), "works", "right sum"),
        (finished(TORCH, code=-11), "crash", "SIGSEGV"),
        (finished(TORCH, code=None), "fails", "no end"),
    ],
)
def test_what_a_child_shows(child: Finished, outcome: str, message: str) -> None:
    tried = upgrade_load.judge(child)
    assert tried.outcome == outcome
    assert message in tried.message


def test_other_interpreters_are_those_that_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    artifacts = {"cpp": "_C.abi3.so"}
    monkeypatch.delenv(upgrade_load.VARIABLE, raising=False)
    (row,) = upgrade_load.load_rows(["cpp", "eager"], "torch 1", artifacts)
    assert (row.outcome, row.method) == ("did not run", "did not run")
    assert upgrade_load.VARIABLE in row.message
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')  # an interpreter without packages
    bare.chmod(0o755)
    monkeypatch.setenv(upgrade_load.VARIABLE, os.pathsep.join([str(bare), str(tmp_path / "absent")]))
    without, absent = upgrade_load.load_rows(["cpp"], "torch 1", artifacts)
    assert "import torch" in without.message
    assert "could not be started" in absent.message
    assert {without.outcome, absent.outcome} == {"did not run"}


@pytest.mark.skipif("cpp" not in upgrade.built(), reason="the C++ side is not built")
def test_a_library_is_loaded_and_called_by_this_interpreter() -> None:
    tried = upgrade_load.try_route("cpp", sys.executable)
    assert (tried.outcome, tried.message) == ("works", "loaded, add gives the right sum")


def test_another_max_that_cannot_be_installed_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(upgrade_max, "OTHER", "0.0.0.dev1")
    monkeypatch.setattr(upgrade_max, "build_record", lambda: {"versions": {"max": "1"}})
    monkeypatch.setattr(upgrade_max, "folder", lambda: tmp_path / "max")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    rows = upgrade_max.max_rows(["mojo_aot", "cpp"], quick=False, tell=lambda _: None)
    assert [(row.route, row.outcome) for row in rows] == [("mojo_aot", "did not run")]
    assert "could not be installed" in rows[0].message
    assert not (tmp_path / "max").exists(), "half an installation is taken away"


def test_messages_name_files_without_folders() -> None:
    message = "/tmp/a b/../x/op.mojo:1:2: error: no 'k/kernels.mojoc' in /home/me/kernels"
    assert (
        upgrade_max.without_folders("/tmp/x/op.mojo:1:2: error: in /home/me/kernels")
        == "op.mojo:1:2: error: in kernels"
    )
    assert "error: no" in upgrade_max.without_folders(message)


def test_a_library_runs_with_pytorch_alone() -> None:
    assert try_bare("mojo_aot") == Tried(torch.__version__, "works", "loaded, add gives the right sum")


def test_what_another_package_has_to_bring_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that needs a package outside PyTorch's dependencies is refused, although it is installed here."""
    importlib.import_module("scipy")
    changed = replace(route_table.facts()["cpp"], load="import scipy", add="torch.add")
    monkeypatch.setattr(route_table, "ROUTES", (changed,))
    attempt = try_bare("cpp")
    assert attempt.outcome == "refused"
    assert "scipy" in attempt.message
