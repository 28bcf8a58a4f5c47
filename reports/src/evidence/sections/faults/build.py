"""How the op of the fault corpus is built on each side: as shipped, and as somebody would who looks for a mistake."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path

from evidence.core import json_lines
from evidence.core.child import run_command
from evidence.core.machine import ROOT
from evidence.sections.faults.corpus import FOLDER

SHIPPED, ASSERTIONS, ADDRESS, THREAD = "shipped", "assertions", "address", "thread"
TOOLS = {ASSERTIONS: "library assertions", ADDRESS: "AddressSanitizer", THREAD: "ThreadSanitizer"}
"""Builds that look for mistakes, with what the reader calls them."""

TOOL_SIDES = ("cpp", "mojo_aot")
"""MAX compiles the op of side mojo itself and has no switch for a sanitizer."""

_CPP = {
    SHIPPED: [],
    # -fno-wrapv: Python's own flags define signed overflow, which hides it from UndefinedBehaviorSanitizer.
    ASSERTIONS: ["-O1", "-g1", "-D_GLIBCXX_ASSERTIONS"],
    ADDRESS: [
        *("-O1", "-g1", "-D_GLIBCXX_ASSERTIONS", "-fno-wrapv"),
        *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ],
    THREAD: ["-O1", "-g1", "-fsanitize=thread"],
}
_MOJO = {
    SHIPPED: ["-D", "ASSERT=none"],
    ASSERTIONS: ["-g1"],  # the level that `mojo build` has by default
    ADDRESS: ["-O0", "-g1", "-D", "ASSERT=all", "--sanitize", "address"],
    THREAD: ["-O0", "-g1", "-D", "ASSERT=none", "--sanitize", "thread"],
}


class Missing(Exception):
    """What a build needs is not on this machine; the message says what."""


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Missing(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _program(name: str) -> str:
    """A program of this environment, else of PATH."""
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if not path:
        raise Missing(f"{name} was not found")
    return path


def cxx() -> str:
    """The C++ compiler's command, chosen as cpp_ext/setup.py chooses it.

    Raises:
        Missing: there is none.
    """
    for candidate in [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]:
        if shutil.which(shlex.split(candidate)[0]):
            return candidate
    raise Missing("no C++ compiler was found")


def _sanitizer(name: str) -> str:
    """Path of a run-time library of the compiler's, to be loaded before everything else."""
    path = run_command([*shlex.split(cxx()), f"-print-file-name=lib{name}.so"], ROOT).output.strip()
    if not os.path.isabs(path):
        raise Missing(f"{cxx()} has no lib{name}.so")
    return path


def _cpp_flags() -> list[str]:
    """What cpp_ext was compiled with: Python's own flags, then those that the library records.

    Raises:
        Missing: cpp_ext is not built.
    """
    code = "import cpp_ext; from cpp_ext import _C; from evidence.core.json_lines import say; "
    code += "say(flags=_C.build_facts['flags'])"
    done = run_command([sys.executable, "-c", code], ROOT)
    if done.code:
        raise Missing(f"cpp_ext is not built: {(done.output.strip().splitlines() or ['no message'])[-1]}")
    (facts,) = json_lines.read(done.output)
    return [*shlex.split(sysconfig.get_config_var("CFLAGS") or ""), *shlex.split(facts["flags"])]


def python(module: str = "evidence.sections.faults.child") -> list[str]:
    """The command that runs the child."""
    return [sys.executable, "-m", module]


@dataclass
class Builder:
    """Commands for one side; asks the machine once.

    Raises:
        Missing: the side cannot be built here.
    """

    side: str
    folder: Path
    _flags: list[str] = field(default_factory=list)
    _once: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        torch = _folder_of("torch")
        if self.side == "cpp":
            include = [str(ROOT / "cpp_ext" / "csrc"), str(torch / "include")]
            include.append(str(torch / "include" / "torch" / "csrc" / "api" / "include"))
            self._flags = [
                *shlex.split(cxx()), *_cpp_flags(), "-fPIC", "-shared", "-DTORCH_TARGET_VERSION=0x020b000000000000",
                *(f"-I{path}" for path in include), f"-L{torch / 'lib'}", "-ltorch_cpu",
            ]  # fmt: skip
        elif self.side == "mojo_aot":
            kernels = _folder_of("mojo_ops") / "artifacts" / "kernels.mojoc"
            if not kernels.is_file():
                raise Missing("mojo_ops is not built")
            self._flags = [
                _program("mojo"), "build", "--emit", "shared-lib", "-D", "MOJO_OPS_WITHOUT_MAX=1",
                "-I", str(kernels.parent),
                *(part for flag in ("-Bsymbolic", f"-L{torch / 'lib'}", "-ltorch_cpu") for part in ("-Xlinker", flag)),
            ]  # fmt: skip
        else:
            _folder_of("max")

    def compile(self, source: Path, library: Path, build: str) -> list[str] | None:
        """The compiler's command; None where the op is compiled when it is called."""
        if self.side == "cpp":
            head, tail = self._flags[:-2], self._flags[-2:]
            return [*head, *_CPP[build], str(source), "-o", str(library), *tail]
        if self.side == "mojo_aot":
            return [*self._flags, *_MOJO[build], "-o", str(library), str(source)]
        return None

    def environment(self, build: str) -> dict[str, str]:
        """What the process that calls the op needs.

        Raises:
            Missing: the run-time library of a sanitizer.
        """
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "reports" / "src"), str(ROOT)])}
        if build == ADDRESS:
            # libstdc++ too: its `__cxa_throw` must be there when the sanitizer starts.
            env["LD_PRELOAD"] = ":".join([_sanitizer("asan"), _sanitizer("stdc++"), *self._preload(build)])
            env["ASAN_OPTIONS"] = "detect_leaks=0:exitcode=66"
        elif build == THREAD:
            env["LD_PRELOAD"] = ":".join([_sanitizer("tsan"), *self._preload(build)])
            env["TSAN_OPTIONS"] = "ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66"
        return env

    def finish(self, library: Path, build: str) -> None:
        """Let ThreadSanitizer start: it ends the process when Mojo's run-time libraries reserve their memory.

        What the op calls of them is in base/preload.cpp.

        Raises:
            Missing: patchelf is not there.
        """
        if self.side != "mojo_aot" or build != THREAD:
            return
        patchelf = _program("patchelf")
        needed = run_command([patchelf, "--print-needed", str(library)], ROOT).output.split()
        theirs = {path.name for path in (_folder_of("modular") / "lib").glob("*.so")}
        for name in set(needed) & theirs:
            done = run_command([patchelf, "--remove-needed", name, str(library)], ROOT)
            if done.code:
                raise Missing(f"patchelf could not change {library.name}: {done.error}")

    def _preload(self, build: str) -> list[str]:
        """The library of base/preload.cpp, built once."""
        library = self.folder / f"preload-{self.side}-{build}.so"
        with self._once:
            if not library.exists():
                flags = ["-fsanitize=thread"] if build == THREAD else []
                source = str(FOLDER / "base" / "preload.cpp")
                command = [*shlex.split(cxx()), "-O1", "-g1", *flags, "-shared", "-fPIC", source, "-o", str(library)]
                done = run_command(command, ROOT)
                if done.code != 0:
                    raise Missing(f"base/preload.cpp did not build: {done.output.strip()[:200]}")
        return [str(library)]


def tools_for(side: str, kind: str) -> tuple[str, ...]:
    """The builds that are tried, in this order, when the shipped one has let a mistake through."""
    if side not in TOOL_SIDES:
        return ()
    if kind == "memory":  # what these tools are for: which is the cheapest that finds it?
        return (ASSERTIONS, ADDRESS)
    return (THREAD,) if kind == "concurrency" else (ADDRESS,)  # assertions are on there too
