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
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from evidence.sections.install.upgrade_elf import NotReadable, read
from evidence.sections.install.upgrade_sources import compile_sources

DATA = Path(__file__).with_name("upgrade_symbols.json")
LIBRARIES = ("libc10.so", "libc10_cuda.so", "libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_python.so")


@dataclass(frozen=True)
class Release:
    """What a release exports of the symbols that were asked for; neither list says anything of other symbols.

    `sources`: for a route, whether its C++ compiled against the release's headers.
    """

    torch: str
    wheel: str
    sha256: str
    bytes: int
    read_utc: str
    exported: tuple[str, ...]
    absent: tuple[str, ...]
    sources: dict[str, dict[str, str]] = field(default_factory=dict)

    def missing(self, symbols: Iterable[str]) -> list[str]:
        """Those of the symbols that the release does not export."""
        return sorted(set(symbols) & set(self.absent))

    def unknown(self, symbols: Iterable[str]) -> list[str]:
        """Those of the symbols that nobody asked for when the release was read."""
        return sorted(set(symbols) - set(self.absent) - set(self.exported))


def releases(file: Path = DATA) -> list[Release]:
    """The releases that were read, oldest first.

    Raises:
        ValueError: the file is not what this tool writes.
    """
    if not file.exists():
        return []
    try:
        found = [
            Release(**{**row, "exported": tuple(row["exported"]), "absent": tuple(row["absent"])})
            for row in json.loads(file.read_text())["releases"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} holds no releases as this tool writes them: {error}") from None
    return sorted(found, key=lambda release: [int(part) for part in release.torch.split("+")[0].split(".")])


def read_wheel(wheel: Path, torch: str, asked: Iterable[str]) -> Release:
    """What a wheel of PyTorch exports of the symbols that are asked for.

    Raises:
        NotReadable: the wheel holds no library of PyTorch.
    """
    exported: set[str] = set()
    wanted = set(asked)
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
    done = subprocess.run(
        [*command, "--dest", str(folder), f"torch=={torch}"], capture_output=True, text=True, check=False
    )
    found = sorted(folder.glob("torch-*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"pip could not download torch {torch}: {last}")
    return found[0]


def store(release: Release, file: Path = DATA) -> None:
    """Put a release into the file, in the place of an earlier reading of it."""
    kept = [one for one in releases(file) if one.torch != release.torch]
    rows = [asdict(one) for one in sorted([*kept, release], key=lambda one: one.torch)]
    file.write_text(json.dumps({"releases": rows}, indent=1) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    from evidence.sections.install.upgrade import asked_symbols

    parser = argparse.ArgumentParser(prog="python -m evidence.sections.install.upgrade_symbols", description=__doc__)
    parser.add_argument("--torch", action="append", required=True, metavar="VERSION", help="a release, such as 2.14.1")
    parser.add_argument("--wheel", type=Path, help="read this file in place of a download; with one --torch")
    options = parser.parse_args(argv)
    if options.wheel and len(options.torch) != 1:
        parser.error(f"--wheel goes with one --torch, {len(options.torch)} are given")
    asked = asked_symbols()
    for torch in options.torch:
        with tempfile.TemporaryDirectory(prefix="torch-wheel-") as folder:
            try:
                wheel = options.wheel or download(torch, Path(folder))
                release = read_wheel(wheel, torch, asked)
            except (RuntimeError, NotReadable, zipfile.BadZipFile) as error:
                print(error, file=sys.stderr)
                return 1
        store(release)
        print(f"torch {torch}: exports {len(release.exported)} of the {len(asked)} symbols; sources: {release.sources}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
