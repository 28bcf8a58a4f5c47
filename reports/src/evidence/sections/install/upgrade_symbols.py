"""Which symbols other releases of PyTorch export, from their wheels.

`python -m evidence.sections.install.upgrade_symbols` reads them.

A release other than the installed one brings gigabytes of CUDA packages when it is installed, but its wheel alone can
be read. pip downloads it without what it depends on (half a gigabyte, deleted at the end). Of its libraries the dynamic
symbol tables are read, and what this checkout's libraries need and the stable C ABI declares is kept; the C++ sources
are compiled against its headers. `upgrade_symbols.json` has the result with the wheel's name and hash. Nothing of the
release is run.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from evidence.core.child import run_command
from evidence.sections.install.upgrade import asked_symbols
from evidence.sections.install.upgrade_elf import NotReadable, read
from evidence.sections.install.upgrade_releases import Release, store
from evidence.sections.install.upgrade_sources import compile_sources

LIBRARIES = ("libc10.so", "libc10_cuda.so", "libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_python.so")


def read_wheel(wheel: Path, torch: str, symbols: Iterable[str]) -> Release:
    """Read which of `symbols` a wheel of PyTorch exports.

    Raises:
        NotReadable: the wheel holds no library of PyTorch.
    """
    exported: set[str] = set()
    wanted = set(symbols)
    sources: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        members = [name for name in archive.namelist() if name in {f"torch/lib/{library}" for library in LIBRARIES}]
        if not members:
            raise NotReadable(f"{wheel.name} holds none of {', '.join(LIBRARIES)}, expected a Linux wheel of torch")
        for member in members:
            extracted = Path(archive.extract(member, folder))
            exported |= read(extracted).exported & wanted
            extracted.unlink()
        if headers := [name for name in archive.namelist() if name.startswith("torch/include/")]:
            archive.extractall(folder, headers)
            sources = compile_sources(Path(folder, "torch/include"))
    with wheel.open("rb") as stream:
        sha256 = hashlib.sha256()
        while block := stream.read(1 << 24):
            sha256.update(block)
    return Release(
        torch,
        wheel.name,
        sha256.hexdigest(),
        wheel.stat().st_size,
        datetime.now(UTC).strftime("%Y-%m-%d"),
        tuple(sorted(exported)),
        tuple(sorted(wanted - exported)),
        sources,
    )


def download(torch: str, folder: Path) -> Path:
    """The wheel of a release, by pip, without what it depends on.

    Raises:
        RuntimeError: pip could not have it; its last words.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = run_command([*command, "--dest", str(folder), f"torch=={torch}"], folder, timeout=3600)
    wheels = sorted(folder.glob("torch-*.whl"))
    if done.code != 0 or not wheels:
        last = (done.output.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"pip could not download torch {torch}: {last}")
    return wheels[0]


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m evidence.sections.install.upgrade_symbols", description=__doc__)
    parser.add_argument("--torch", action="append", required=True, metavar="VERSION", help="a release, such as 2.14.1")
    parser.add_argument("--wheel", type=Path, help="read this file in place of a download; with one --torch")
    options = parser.parse_args(argv)
    if options.wheel and len(options.torch) != 1:
        parser.error(f"--wheel goes with one --torch, {len(options.torch)} are given")
    symbols = asked_symbols()
    for torch in options.torch:
        with tempfile.TemporaryDirectory(prefix="torch-wheel-") as folder:
            try:
                wheel = options.wheel or download(torch, Path(folder))
                release = read_wheel(wheel, torch, symbols)
            except (RuntimeError, NotReadable, zipfile.BadZipFile) as error:
                print(error, file=sys.stderr)
                return 1
        store(release)
        exports = f"exports {len(release.exported)} of the {len(symbols)} symbols"
        print(f"torch {torch}: {exports}; sources: {release.sources}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
