"""Runs drawn calls on C++ kernels built with AddressSanitizer and UndefinedBehaviorSanitizer.

    python -m shared_tests.sanitize [--examples 2000] [arguments of pytest]

The build has its own folder, cpp_ext/build/sanitize, and leaves the in-place build alone. It covers route cpp: the
kernels and their registration with the dispatcher. It needs GCC with its sanitizer libraries. On two cores, the build
takes five minutes and the calls take two.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cpp_ext"
BUILD = PACKAGE / "build" / "sanitize"
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

PLANTED = {
    "reads behind the end of a tensor": ("return x[n];", "heap-buffer-overflow"),
    "reads a word from an odd address": ("return *(const int*)((const char*)x + 1);", "misaligned address"),
    "overflows an integer": ("return x[0] + 0x7fffffff;", "signed integer overflow"),
}
CALL = (
    "import ctypes, sys, torch; x = torch.ones(7, dtype=torch.int32); "
    "ctypes.CDLL(sys.argv[1]).f(ctypes.c_void_p(x.data_ptr()), 7)"
)


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def library(name: str) -> str | None:
    """The path of a library of the compiler, or None."""
    command = [*compiler(), f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return path if os.path.isabs(path) else None


def environment() -> dict[str, str]:
    """The environment of a process that loads instrumented libraries.

    Raises:
        FileNotFoundError: the compiler has no AddressSanitizer.
    """
    # libstdc++ is preloaded too, because the sanitizer looks for `__cxa_throw` when it starts.
    preload = [library("libasan.so"), library("libstdc++.so.6")]
    if None in preload:
        raise FileNotFoundError(f"{shlex.join(compiler())} has no AddressSanitizer (Debian: libasan of GCC's version)")
    path = [str(BUILD / "lib"), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)]
    return {
        **os.environ,
        "LD_PRELOAD": ":".join(map(str, preload)),
        "PYTHONPATH": os.pathsep.join(path),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python and PyTorch keep memory until the process ends
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
    }


def sanitizer_failure(name: str) -> str | None:
    """None if the sanitizers stop a call with a planted fault; otherwise a description of how the call ended."""
    body, report = PLANTED[name]
    with tempfile.TemporaryDirectory() as folder:
        source, library_path = Path(folder, "planted.cpp"), Path(folder, "planted.so")
        source.write_text(f'extern "C" int f(const int* x, long n) {{ (void)n; {body} }}\n')
        subprocess.run(
            [*compiler(), *FLAGS.split(), "-g1", "-shared", "-fPIC", str(source), "-o", str(library_path)], check=True
        )
        command = [sys.executable, "-c", CALL, str(library_path)]
        child = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if child.returncode and report in child.stderr:
        return None
    return f"a call that {name} ended with exit code {child.returncode} and without “{report}”: {child.stderr[-300:]}"


def build() -> None:
    """Builds a complete package in BUILD/lib."""
    variables = {"CFLAGS": FLAGS, "LDFLAGS": FLAGS, "CPP_EXT_MARCH": os.environ.get("CPP_EXT_MARCH", "native")}
    command = [sys.executable, "setup.py", "build", "--build-base", str(BUILD), "--build-lib", str(BUILD / "lib")]
    subprocess.run(command, cwd=PACKAGE, env={**os.environ, "FORCE_CPU": "1", **variables}, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sanitize", description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000, help="drawn calls of each op (default: 2000)")
    options, pytest = parser.parse_known_args()
    for name in PLANTED:
        if failure := sanitizer_failure(name):
            print(f"The sanitizers do not work here: {failure}")
            return 1
    build()
    # No capture: a sanitizer ends the process, and output that pytest has captured, such as its report, is lost.
    command = [sys.executable, "-m", "pytest", "-vv", "-s", "-p", "no:xdist", "shared_tests/test_properties.py"]
    variables = {**environment(), "FUZZ_EXAMPLES": str(options.examples)}
    code = subprocess.run([*command, "--routes", "cpp", *pytest], cwd=ROOT, env=variables, check=False).returncode
    print(
        f"{'clean' if code == 0 else 'NOT clean'}: {options.examples} calls of each op under AddressSanitizer and UBSan"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
