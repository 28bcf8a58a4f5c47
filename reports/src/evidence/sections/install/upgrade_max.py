"""What the Mojo side built, under another release of MAX, and what that release built, under this one.

The other release is installed by pip into an environment of its own below .nox, once, and stays there (1.2 GB). PyTorch
is not installed again: links to its files stand on that environment's import path.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from evidence.core.child import Finished, run_command
from evidence.core.machine import ROOT
from evidence.core.packages import closure, link_packages
from evidence.sections.install.row import Method, Outcome, UpgradeRow
from evidence.sections.install.upgrade import MOJO, SOURCES, build_record
from evidence.sections.install.upgrade_load import Tried, environment, try_route
from shared_tests import route_facts
from shared_tests.emulator.mojo_bindings import op_names, side_module
from shared_tests.route_table import facts

OTHER = "26.6.0"
INSTALL_SECONDS = 120.0
SECONDS = 60.0
ARTIFACTS = f"{MOJO}/artifacts"

# `mojo_ops` asks for the version of `max`; this lets it see the one that it was built by.
_WITHOUT_CHECK = (
    "from importlib import metadata as m; v = m.version; "
    "m.version = lambda name: {built!r} if name == 'max' else v(name)"
)
_LOAD_MAX = (
    "import ctypes, importlib.util as f; "
    "ctypes.CDLL(f.find_spec('modular').submodule_search_locations[0] + '/lib/libmax.so')"
)
_STOCK = """
from pathlib import Path
from max.experimental.torch import CustomOpLibrary
print(CustomOpLibrary(Path({file!r})).mojo_ops_add_dps)
"""
_MAKE_MEF = """
import os, sys
from max.driver import CPU
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType, ops
kind = TensorType(DType.float32, ("n",), DeviceRef.CPU())
with Graph("sum", input_types=[kind, kind]) as graph:
    graph.output(ops.add(graph.inputs[0].tensor, graph.inputs[1].tensor))
InferenceSession(devices=[CPU()]).compile(graph).export_mef(sys.argv[1])
os._exit(0)
"""
_RUN_MEF = """
import os, sys
from pathlib import Path
import numpy
from max.driver import CPU, Buffer
from max.engine import InferenceSession, read
(model,) = InferenceSession(devices=[CPU()]).init_all(read(Path(sys.argv[1]))).values()
x = Buffer.from_numpy(numpy.ones(4, numpy.float32))
right = (model.execute(x, x)[0].to_numpy() == 2).all()
print("right" if right else "wrong", flush=True)
os._exit(0 if right else 1)
"""
_PACKAGE = "def one() -> Int:\n    return 1\n"
_PROGRAM = "from {package} import one\n\n\ndef main():\n    print(one())\n"


def _row(artifact: str, route: str, built: str, under: str, tried: Tried) -> UpgradeRow:
    method: Method = "compiled" if artifact == SOURCES else "loaded"
    return tried.row(artifact, route, f"MAX {built}", f"MAX {under}", method)


def folder(root: Path = ROOT) -> Path:
    """Where the other release lies, with what it built."""
    return root / ".nox" / f"max-{OTHER}-py{sys.version_info[0]}.{sys.version_info[1]}"


def install(where: Path, tell: Callable[[str], None] = print) -> tuple[Path | None, str]:
    """The other release's interpreter, installed when it is not there; without it None, and why."""
    python = where / "bin" / "python"
    done = where / "installed"
    if done.exists() and python.exists():
        return python, "was installed by an earlier run"
    shutil.rmtree(where, ignore_errors=True)
    tell(f"installing MAX {OTHER} beside this one, once (1.2 GB)")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(where)],
        [*pip, f"max=={OTHER}"],
    ):
        finished = run_command(command, ROOT, None, INSTALL_SECONDS)
        if finished.code != 0:
            shutil.rmtree(where, ignore_errors=True)
            return None, f"MAX {OTHER} could not be installed: {finished.error}"
    done.touch()
    return python, "installed"


def _program(where: Path) -> str:
    return str(where / "bin" / "mojo")


def _told(finished: Finished, refusal: Outcome = "refused") -> Tried:
    """Of a process that ends with 0 when all is well; `refusal` is what an error message stands for."""
    if finished.code == 0:
        return Tried(None, "works", "")
    if finished.code is None:
        return Tried(None, "fails", f"no end within {finished.seconds:.0f} s")
    if finished.code < 0:
        return Tried(None, "crash", finished.error)
    line = next((line for line in finished.output.splitlines() if re.search(r"\berror: ", line)), finished.error)
    return Tried(None, refusal, without_folders(line).strip()[:600])


def without_folders(text: str) -> str:
    """A compiler's message with the names of files alone."""
    return re.sub(r"(?<![\w.<])/(?:[^\s/':]+/)+", "", text)


def forward(python: Path, built: str, routes: list[str], links: Path) -> list[UpgradeRow]:
    """What this checkout built, under the other release; `links` is an empty folder, for this environment's PyTorch."""
    where = python.parents[1]
    link_packages((package.name for package in closure(["torch"])), links)
    env = environment(links)
    rows: list[UpgradeRow] = []
    if "mojo" in routes:
        shipped = try_route("mojo", str(python), env=env)
        if shipped.outcome == "refused":
            shipped = Tried(shipped.torch, "refused", f"by mojo_ops itself: {shipped.message}")
        rows.append(_row("mojo_ops as it is", "mojo", built, OTHER, shipped))
        alone = try_route("mojo", str(python), _WITHOUT_CHECK.format(built=built), env)
        message = f"with the version check of mojo_ops left out: {alone.message}; no promise of MAX is known"
        rows.append(_row("cpu.mef, libmojo_ops.so", "mojo", built, OTHER, Tried(alone.torch, alone.outcome, message)))
    if "mojo_aot" in routes:
        tried = try_route("mojo_aot", str(python), _LOAD_MAX, env)
        message = f"{tried.message}, with libmax.so of {OTHER} in the process; the library does not use it"
        rows.append(_row("libmojo_aot.so", "mojo_aot", built, OTHER, Tried(tried.torch, tried.outcome, message)))
    if "mojo_stock" in routes:
        file = str(ROOT / ARTIFACTS / "kernels.mojoc")
        tried = _told(run_command([str(python), "-c", _STOCK.format(file=file)], ROOT, env, SECONDS))
        rows.append(_row("kernels.mojoc", "mojo_stock", built, OTHER, tried))
    tried = _compile_sources(where)
    return rows + [_row(SOURCES, route, built, OTHER, tried) for route in routes]


def _compile_sources(where: Path) -> Tried:
    with tempfile.TemporaryDirectory() as temporary:
        package = side_module("library").write_package(ROOT / "mojo_ops/kernels", op_names(), Path(temporary))
        command = [_program(where), "precompile", str(package), "-o", f"{temporary}/kernels.mojoc"]
        finished = run_command(command, ROOT, None, SECONDS)
    tried = _told(finished, "fails")
    if tried.outcome != "fails":
        return Tried(None, tried.outcome, tried.message or "the kernel package compiles")
    errors = [line for line in finished.output.splitlines() if re.search(r"\berror: ", line)]
    first = without_folders(errors[0]) if errors else tried.message
    message = f"{len(errors)} errors, the first: {first}"[:600]
    return Tried(None, "fails", f"{message} (an older compiler; no newer one than this was tried)")


def backward(python: Path, built: str, tell: Callable[[str], None] = print) -> list[UpgradeRow]:
    """What the other release builds, under this one: a graph of one addition, and a Mojo package of one function."""
    where = python.parents[1]
    mef, package = where / "sum.mef", where / "small.mojoc"
    if not mef.exists():
        tell(f"a graph compiled by MAX {OTHER}")
        env = {**os.environ, "MODULAR_CACHE_DIR": str(where / "cache")}
        made = run_command([str(python), "-c", _MAKE_MEF, str(mef)], ROOT, env, SECONDS)
        if made.code != 0:
            tried = Tried(None, "did not run", f"MAX {OTHER} could not write it: {made.error}")
            return [_row("a MEF of one addition", "mojo", OTHER, built, tried)]
    tried = _told(run_command([sys.executable, "-c", _RUN_MEF, str(mef)], ROOT, None, SECONDS))
    message = tried.message or "loads and gives the right sum; no promise of MAX is known"
    rows = [_row("a MEF of one addition", "mojo", OTHER, built, Tried(None, tried.outcome, message))]
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "small")
        source.mkdir()
        (source / "__init__.mojo").write_text(_PACKAGE)
        made = run_command([_program(where), "precompile", str(source), "-o", str(package)], ROOT, None, SECONDS)
        shutil.rmtree(source)
        program = Path(temporary, "program.mojo")
        program.write_text(_PROGRAM.format(package="small"))
        mojo = str(Path(sys.executable).with_name("mojo"))
        command = [mojo, "build", "-I", str(where), "-o", f"{temporary}/program", str(program)]
        tried = _told(run_command(command, ROOT, None, SECONDS))
    if made.code != 0:
        tried = Tried(None, "did not run", f"MAX {OTHER} could not write it: {made.error}")
    rows.append(_row("a .mojoc of one function", "mojo_stock", OTHER, built, tried))
    return rows


def max_rows(routes: Iterable[str], quick: bool, tell: Callable[[str], None] = print) -> list[UpgradeRow]:
    """Every artifact of the Mojo side under another MAX, both ways; one row that says why where that cannot be had."""
    chosen = [route for route in routes if facts()[route].side == route_facts.MOJO and facts()[route].artifacts]
    built = build_record().get("versions", {}).get("max")
    if not chosen:
        return []
    if quick:
        why = "a quick run installs no other MAX"
    elif not built:
        why = "nothing is built by MAX here"
    elif built == OTHER:
        why = f"this is MAX {OTHER} itself"
    else:
        python, why = install(folder(), tell)
        if python is not None:
            tell(f"the Mojo side's artifacts under MAX {OTHER}")
            with tempfile.TemporaryDirectory() as links:
                return forward(python, built, chosen, Path(links)) + backward(python, built, tell)
    return [_row("all artifacts", route, str(built), OTHER, Tried(None, "did not run", why)) for route in chosen]
