"""Builds the op library ``_C`` (stable ABI, abi3) and the pybind11 module ``_pybind``.

In place, for this machine's CPU: ``python setup.py build_ext --inplace``. A wheel, which holds ``_C`` only:
``pip wheel --no-build-isolation --no-deps .``
``python setup.py build_classic`` then builds, in place only, the module ``_classic``: the same ops behind
torch/extension.h, in functions that are written from the schemas of ``_C``.

Environment: MAX_JOBS (parallel compiles, default: all cores), CPP_EXT_MARCH (the compiler's -march; default native in
place, x86-64-v3 in a wheel), CXX, TORCH_CUDA_ARCH_LIST, and FORCE_CPU=1 to leave the GPU kernels out.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import setuptools
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
os.chdir(ROOT)  # setuptools wants source paths relative to the project

# The oldest supported PyTorch, 2.11, in the stable ABI's encoding (major and minor version in the two top bytes).
TORCH_TARGET = "0x020b000000000000"


def stop(message: str) -> None:
    """Ends the build with a one-line message instead of a traceback."""
    raise SystemExit(f"cpp_ext: {message}")


def need_torch() -> tuple[types.ModuleType, types.ModuleType]:
    """Imports PyTorch and its extension helpers, or ends the build with the reason."""
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError:
        stop("PyTorch is missing in this environment; install it with `pip install torch`")
    return torch, cpp_extension


def host_compiler() -> str:
    """The command of the C++ compiler; ends the build with the reason if there is none."""
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    for candidate in candidates:
        if shutil.which(shlex.split(candidate)[0]):
            return candidate
    stop(
        f"no C++ compiler found (looked for {', '.join(candidates)}); a C++20 compiler is usually installed with "
        "`apt install g++`, `dnf install gcc-c++` or `xcode-select --install`"
    )
    raise AssertionError


def check_prerequisites() -> str:
    """Ends the build if a prerequisite is missing, before a compiler error can; returns the C++ compiler's command."""
    compiler = host_compiler()
    probe = subprocess.run(
        [*shlex.split(compiler), "-std=c++20", "-x", "c++", "-fsyntax-only", "-"],
        input="#include <concepts>\nstatic_assert(std::same_as<int, int>);\n",
        text=True,
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        first = (probe.stderr.strip() or "no message").splitlines()[0]
        stop(f"{compiler} does not compile C++20 ({first}); GCC 12, Clang 15 or newer is needed")
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        stop(
            f"Python.h is not in {include}; the headers of this Python are usually installed with "
            f"`apt install python{sys.version_info.major}.{sys.version_info.minor}-dev` or `dnf install python3-devel`"
        )
    if not shutil.which("ninja"):
        stop("ninja is missing; install it with `pip install ninja`")
    return compiler


torch, cpp_extension = need_torch()


def gpu_toolchain() -> str | None:
    """``cuda`` or ``hip`` if PyTorch was built for it and its compiler is installed."""
    if os.environ.get("FORCE_CPU") == "1":
        return None
    if torch.version.hip and shutil.which("hipcc", path=f"{cpp_extension.ROCM_HOME or ''}/bin:{os.environ['PATH']}"):
        return "hip"
    if torch.version.cuda and cpp_extension.CUDA_HOME and Path(cpp_extension.CUDA_HOME, "bin", "nvcc").exists():
        return "cuda"
    return None


def sources(*patterns: str) -> list[str]:
    """Files below this folder that match, without the source of the pybind11 module."""
    paths = sorted(str(path) for pattern in patterns for path in Path().glob(pattern))
    return [path for path in paths if path != "csrc/bindings/pybind.cpp"]


def write_header(path: Path, text: str) -> str:
    """Writes a generated header and returns its path. An unchanged header keeps its time stamp."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(path)


def build_facts(**facts: str) -> str:
    """Writes the header with facts about the build."""
    lines = ["#pragma once", *(f"#define CPP_EXT_{name.upper()} {json.dumps(text)}" for name, text in facts.items())]
    return "\n".join(lines) + "\n"


GPU = gpu_toolchain()
HEADERS = sources("csrc/**/*.h")
INCLUDES = [str(ROOT.resolve() / "csrc")]


def march(in_place: bool) -> list[str]:
    """The CPU to compile for: this machine's, unless a wheel is built."""
    level = os.environ.get("CPP_EXT_MARCH")
    if not level:
        if in_place:
            level = "native"
        elif platform.machine() in ("x86_64", "AMD64"):
            level = "x86-64-v3"
    return [f"-march={level}"] if level else []


def op_library() -> setuptools.Extension:
    """The extension with kernels and registrations, including GPU kernels if they can be built."""
    extension = cpp_extension.CUDAExtension if GPU else cpp_extension.CppExtension
    return extension(
        "cpp_ext._C",
        sources("csrc/cpu/*.cpp", "csrc/bindings/*.cpp", *(["csrc/cuda/*.cu"] if GPU else [])),
        include_dirs=INCLUDES,
        depends=HEADERS,
        define_macros=[
            ("TORCH_TARGET_VERSION", TORCH_TARGET),
            *([("CPP_EXT_WITH_GPU", None), ("USE_CUDA", None)] if GPU else []),
        ],
        py_limited_api=True,
    )


def pybind_module() -> setuptools.Extension:
    """The extension with the functions of route cpp_pybind, separate so that _C stays abi3."""
    import pybind11

    torch_include = str(
        Path(str(torch.__file__)).parent / "include"
    )  # for ATen/dlpack.h, which includes no other header
    return setuptools.Extension(
        "cpp_ext._pybind",
        ["csrc/bindings/pybind.cpp"],
        include_dirs=[pybind11.get_include(), *INCLUDES, torch_include],
        depends=HEADERS,
        language="c++",
    )


def classic_module() -> setuptools.Extension:
    """The same kernels behind torch/extension.h, pybind11 and TORCH_LIBRARY, bound to this Python and this PyTorch."""
    extension = cpp_extension.CUDAExtension if GPU else cpp_extension.CppExtension
    return extension(
        "cpp_ext._classic",
        sources("csrc/cpu/*.cpp", "csrc/classic/*.cpp", *(["csrc/cuda/*.cu"] if GPU else [])),
        include_dirs=INCLUDES,
        depends=[*HEADERS, "classic_ops.py"],
        define_macros=[("CPP_EXT_CLASSIC", None), *([("CPP_EXT_WITH_GPU", None)] if GPU else [])],
    )


class Build(cpp_extension.BuildExtension):
    """Adds the flags that depend on the command and the compiler."""

    folder = "inplace"

    def finalize_options(self) -> None:
        """Sets options that PyTorch's command would set differently."""
        super().finalize_options()
        self.native = bool(self.inplace)  # setuptools resets `inplace` while it compiles
        # A build in place has its own folders, because a wheel has other flags.
        if self.native:
            self.build_temp, self.build_lib = (str(Path("build", self.folder, part)) for part in ("temp", "lib"))
        else:
            # A wheel works with Python 3.10 and newer, but the pybind11 module only with a single version.
            self.extensions = [e for e in self.extensions if e.py_limited_api]
        # PyTorch's command lets ninja find out what is out of date, which always links again. The time stamps that
        # setuptools checks are enough, because the header with the build facts changes with the flags.
        self.force = False
        os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 1))

    def build_extensions(self) -> None:
        """Checks the prerequisites, completes the flags, and builds."""
        compiler = check_prerequisites()
        os.environ.setdefault("CXX", compiler)
        # -g0: Python's own -g doubles the build time. -Wno-psabi: vectors never cross a real call.
        common = ["-std=c++20", "-fvisibility=hidden", "-Wall", "-Wno-psabi", "-g0"]
        kernel = ["-O3", *march(self.native)]
        version = subprocess.run([*shlex.split(compiler), "--version"], capture_output=True, text=True, check=False)
        arch_list = os.environ.get("TORCH_CUDA_ARCH_LIST") or ";".join(torch.cuda.get_arch_list())
        facts = build_facts(
            compiler=version.stdout.splitlines()[0],
            flags=" ".join(common + kernel),
            torch=torch.__version__,
            gpu=GPU or "",
            arch_list=arch_list if GPU else "",
        )
        generated = Path(self.build_temp).resolve() / "generated"
        headers = [write_header(generated / "build_facts.h", facts), *self.write_headers(generated)]
        for extension in self.extensions:
            extension.include_dirs.append(str(generated))
            extension.depends = [*extension.depends, *headers]
            optimise = ["-O2"] if extension.name.endswith("._pybind") else kernel
            extension.extra_compile_args = {"cxx": common + optimise, "nvcc": ["-std=c++20", "-O3"]}
        try:
            super().build_extensions()
        except (RuntimeError, subprocess.CalledProcessError) as error:
            stop(f"the build failed, see the compiler's messages above ({error})")
        if not self.native:  # checked before the library is loaded on another machine
            level = "".join(march(False)).removeprefix("-march=")
            Path(self.build_lib, "cpp_ext", "cpu_level.txt").write_text(level)

    def write_headers(self, folder: Path) -> list[str]:
        """Writes other generated headers and returns their paths."""
        return []


class BuildClassic(Build):
    """build_classic: a separate command, because torch/extension.h takes longer to compile than everything else."""

    description = "build the module _classic (torch/extension.h) in place"
    folder = "classic"

    def finalize_options(self) -> None:
        """Replaces the extensions by the classic one."""
        self.inplace = True
        self.distribution.ext_modules = [classic_module()]
        super().finalize_options()

    def write_headers(self, folder: Path) -> list[str]:
        """Writes the functions and registrations of every op."""
        from classic_ops import generate, registered_ops

        try:
            ops = registered_ops()
        except (FileNotFoundError, OSError) as error:
            stop(str(error))
        return [write_header(folder / "classic_ops.h", generate(ops))]


class BuildPython(build_py):
    """Empties build_lib first, because a wheel contains all files in it, including those of an earlier build."""

    def run(self) -> None:
        """Copies the Python files."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setuptools.setup(
    ext_modules=[op_library(), pybind_module()],
    cmdclass={"build_py": BuildPython, "build_ext": Build, "build_classic": BuildClassic},
    package_dir={"": "src"},
    options={"build": {"build_base": "build/wheel"}, "bdist_wheel": {"py_limited_api": "cp310"}},
)
