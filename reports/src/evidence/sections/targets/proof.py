"""What an artifact says about the processor that its code is for, read from its bytes.

Formats: ELF headers (System V gABI, chapter 4; AMD's machine flags: LLVM's AMDGPU usage guide, “EF_AMDGPU_MACH”),
NVIDIA's fat binaries (undocumented; the header that cuobjdump reads), clang's offload bundles (clang's documentation,
“Bundled binary file layout”), PTX and AMDGPU assembly by their own directives.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from evidence.core.child import run_command

ELF = b"\x7fELF"
MACHINES = {62: "x86-64", 183: "AArch64", 190: "CUDA", 224: "AMDGPU"}
FATBIN = struct.pack("<I", 0xBA55ED50)
BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
_TARGETS = {".ptx": re.compile(r"^\.target (\w+)", re.M), ".amdgcn": re.compile(r'^\s*\.amdgcn_target "([^"]+)"', re.M)}


def machine(data: bytes) -> str | None:
    """The machine of an ELF file, or None where it is none."""
    if not data.startswith(ELF):
        return None
    number = struct.unpack_from("<H", data, 18)[0]
    return MACHINES.get(number, f"machine {number}")


def cubins(data: bytes) -> Iterator[tuple[str, int]]:
    """(architecture, bytes) of the machine code in the fat binaries of an object; PTX is passed over."""
    start = data.find(FATBIN)
    while start >= 0:
        header, size = struct.unpack_from("<HQ", data, start + 6)
        at, end = start + header, start + header + size
        while at + 32 <= end <= len(data):
            kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", data, at)
            if kind == 2:
                yield f"sm_{struct.unpack_from('<I', data, at + 28)[0]}", entry_size
            if entry_header + entry_size == 0:
                break
            at += entry_header + entry_size
        start = data.find(FATBIN, start + 4)


def bundled(data: bytes) -> Iterator[tuple[str, int]]:
    """(architecture, bytes) of the GPU code in clang's offload bundles of an object."""
    start = data.find(BUNDLE)
    while start >= 0:
        (count,) = struct.unpack_from("<Q", data, start + len(BUNDLE))
        at = start + len(BUNDLE) + 8
        for _ in range(count):
            offset, size, length = struct.unpack_from("<QQQ", data, at)
            triple = data[at + 24 : at + 24 + length].decode("ascii", "replace")
            code = data[start + offset : start + offset + size]
            if "amdgcn" in triple and machine(code) == "AMDGPU":
                yield triple.split(":")[0].rsplit("-", 1)[-1], size
            at += 24 + length
        start = data.find(BUNDLE, start + len(BUNDLE))


def vectors(file: Path) -> str | None:
    """How many instructions of an x86 object use its widest registers, by objdump; None where there is no objdump."""
    program = shutil.which("objdump")
    if program is None:
        return None
    done = run_command([program, "-d", "--no-show-raw-insn", str(file)], file.parent)
    if done.code != 0:
        return None
    for register, name in (("%zmm", "512-bit"), ("%ymm", "256-bit"), ("%xmm", "128-bit")):
        if count := sum(register in line for line in done.output.splitlines()):
            return f"{count} {name} instructions at most wide"
    return "no vector instructions"


def of_object(file: Path, name: str) -> str | None:
    """Evidence that an object file holds code for the target `name`, or None."""
    data = file.read_bytes()
    host = machine(data)
    if name.startswith("sm_"):
        images = [(arch, size) for arch, size in cubins(data) if arch == name]
        return f"{len(images)} cubin of {sum(size for _, size in images)} bytes" if images else None
    if name.startswith("gfx"):
        images = [(arch, size) for arch, size in bundled(data) if arch == name]
        return f"{len(images)} code object of {sum(size for _, size in images)} bytes" if images else None
    if name.startswith("x86-64"):
        return f"ELF for {host}, {vectors(file) or 'not disassembled'}" if host == "x86-64" else None
    return f"ELF for {host}" if host == "AArch64" and name == "aarch64" else None


def of_assembly(files: list[Path], name: str) -> str | None:
    """Evidence that the kernel files that `mojo build` writes beside its output are for the target `name`, or None."""
    counts: Counter[str] = Counter()
    for file in files:
        if pattern := _TARGETS.get(file.suffix):
            counts.update(match.group(1) for match in pattern.finditer(file.read_text(errors="replace")))
        elif file.suffix == ".air":
            counts["AIR" if file.read_bytes()[:4] in (b"BC\xc0\xde", b"\xde\xc0\x17\x0b") else "no bitcode"] += 1
    fitting = {target: count for target, count in counts.items() if _fits(target, name)}
    return ", ".join(f"{count} kernels for {target}" for target, count in sorted(fitting.items())) or None


def _fits(target: str, name: str) -> bool:
    if name.startswith("apple"):
        return target == "AIR"
    return re.fullmatch(rf"(.*-)?{re.escape(name)}[af]?", target) is not None


def of_mef(data: bytes, name: str) -> str | None:
    """Evidence that a MEF holds code for the GPU `name`: its kernels contain the name."""
    count = len(re.findall(rb"\b" + re.escape(name.encode()) + rb"[af]?\b", data))
    return f"“{name}” {count} times in the MEF" if count else None
