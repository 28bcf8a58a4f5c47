"""The emulator's host for Mojo: what its builds depend on, and that it runs with torch and a MAX engine loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from shared_tests.emulator import mojo_build, mojo_entries, toolkit
from shared_tests.emulator.apart import MojoHostApart
from shared_tests.emulator.launches import Launched
from shared_tests.emulator.mojo_bindings import KERNELS, binding, op_names
from shared_tests.emulator.mojo_build import Sources, modules
from shared_tests.spec import all_specs

try:
    toolkit.find()
    mojo_build.mojo()
except toolkit.ToolkitError as missing:
    pytest.skip(str(missing), allow_module_level=True)


def run_python(code: str, *, expect: int = 0) -> str:
    """Runs code in a new process and returns its output."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == expect, process.stdout + process.stderr
    return process.stdout + process.stderr


def call(host: MojoHostApart, *, run: bool = True) -> tuple[torch.Tensor, tuple[Launched, ...]]:
    """Calls rms_norm of two rows and returns the output and the launches."""
    output = torch.full((2, 64), 7.0)
    args = torch.ones(2, 64), torch.ones(64), 0.0
    return output, host.call(all_specs()["rms_norm"], args, [output], run=run)


def test_the_modules_of_an_op_are_those_that_it_imports() -> None:
    names = {str(file.relative_to(KERNELS)) for file in modules("rms_norm")}
    assert {
        "__init__.mojo",
        "rms_norm.mojo",
        "common/__init__.mojo",
        "common/gpu.mojo",
        "common/torch_abi.mojo",
    } <= names
    assert "top_k.mojo" not in names


def test_a_build_is_kept_by_the_content_of_the_imported_modules(tmp_path: Path) -> None:
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy)
    key = Sources("rms_norm", "sm_90", KERNELS).key
    assert Sources("rms_norm", "sm_90", copy).key == key
    (copy / "top_k.mojo").write_text("# no module of rms_norm\n")
    assert Sources("rms_norm", "sm_90", copy).key == key
    with (copy / "common/gpu.mojo").open("a") as file:
        file.write("# changed\n")
    assert Sources("rms_norm", "sm_90", copy).key != key


def test_every_op_of_the_side_has_a_spec() -> None:
    assert op_names() == sorted(all_specs())


@pytest.mark.parametrize("op", op_names())
def test_an_entry_passes_what_the_kernel_takes(op: str) -> None:
    """There is one entry per dtype, which passes the outputs, inputs and scalars that the kernel takes."""
    kernel = binding(op).kernel
    source = mojo_entries.library([binding(op)])
    assert source.count("arguments.output[") == len(kernel.outputs) * len(kernel.dtypes)
    assert source.count("arguments.input[") == len(kernel.inputs) * len(kernel.dtypes)
    assert source.count("arguments.real()") + source.count("arguments.integer()") == (
        len(kernel.scalar_types) * len(kernel.dtypes)
    )
    for dtype in kernel.dtypes:
        assert f"def {mojo_entries.symbol(op, dtype)}(" in source


def test_launches_are_recorded_without_running_them() -> None:
    output, (launch,) = call(MojoHostApart(), run=False)
    assert launch.report is None
    assert launch.grid == (2, 1, 1)
    assert launch.kernel in launch.ptx
    assert torch.equal(output, torch.full((2, 64), 7.0))
    output, (executed,) = call(MojoHostApart())
    assert (executed.kernel, executed.grid, executed.block, executed.ptx) == (
        launch.kernel,
        launch.grid,
        launch.block,
        launch.ptx,
    )
    assert executed.report is not None
    assert torch.equal(output, torch.ones(2, 64))


def test_a_host_for_another_target_gets_kernels_for_it() -> None:
    """One process can use several targets in turn, as the command does."""
    targets = ("sm_90", "sm_80", "sm_90")
    texts = [call(MojoHostApart(target), run=False)[1][0].ptx for target in targets]
    assert [f".target {target}" in text for target, text in zip(targets, texts, strict=True)] == [True] * 3


def test_it_runs_beside_an_engine_for_the_cpu() -> None:
    """MAX's engine, which `import mojo_ops` loads, gives the same result before and after an emulated call."""
    output = run_python(
        """
        import torch, mojo_ops
        from shared_tests.emulator.mojo_host import MojoHost
        from shared_tests.spec import all_specs
        x, weight = torch.randn(3, 64), torch.randn(64)
        before = mojo_ops.rms_norm(x, weight, 1e-5)
        output = torch.empty(3, 64)
        MojoHost().call(all_specs()["rms_norm"], (x, weight, 1e-5), [output])
        assert torch.allclose(output, before, atol=1e-5)
        assert torch.equal(mojo_ops.rms_norm(x, weight, 1e-5), before)
        print("same")
        """
    )
    assert output.strip().endswith("same")


def test_a_process_that_has_looked_for_a_gpu_emulates_in_a_child() -> None:
    """MAX remembers that it found no GPU. Such a process emulates in a child, and still finds no GPU afterwards."""
    output = run_python(
        """
        import torch
        from max.driver import accelerator_count
        from shared_tests.emulator.run import host
        from shared_tests.spec import all_specs
        if __name__ == "__main__":
            before = accelerator_count()
            output = torch.empty(3, 64)
            host("mojo").call(all_specs()["rms_norm"], (torch.ones(3, 64), torch.ones(64), 0.0), [output])
            assert torch.equal(output, torch.ones(3, 64))
            assert accelerator_count() == before
            print("same")
        """
    )
    assert output.strip().endswith("same")


def test_nothing_has_to_be_built_for_it() -> None:
    """The op's Python module is imported without its package, which would load build artifacts."""
    output = run_python(
        """
        import sys
        from shared_tests.emulator.mojo_bindings import binding
        binding("rope")
        print("mojo_ops" in sys.modules, "max" in sys.modules)
        """
    )
    assert output.strip() == "False False"


def test_it_refuses_a_process_that_has_loaded_a_driver(tmp_path: Path) -> None:
    """In such a process, MAX would use the real driver and launch the kernel on a GPU instead of emulating it."""
    library = tmp_path / mojo_build.DRIVER
    (tmp_path / "driver.c").write_text("int cuInit(unsigned flags) { return 0; }\n")
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{mojo_build.DRIVER}", "-o", str(library), "driver.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    output = run_python(
        f"""
        import ctypes
        ctypes.CDLL({str(library)!r}, mode=ctypes.RTLD_GLOBAL)
        from shared_tests.emulator.mojo_driver import driver
        driver()
        """,
        expect=1,
    )
    assert "RuntimeError: this process has loaded NVIDIA's driver" in output
