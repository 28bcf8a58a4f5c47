"""What a shared library asks of others and what it offers: its ELF dynamic symbols, and who promises which of them.

Promised are the C functions that PyTorch's headers declare as its stable ABI, the names of CPython's limited API (as
the package abi3info lists them), and what the system's own libraries have. Not promised is the rest: C++ names of
libtorch and libc10, Python's other names, and MAX, whose headers promise nothing.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from abi3info import DATAS, FUNCTIONS
from abi3info.models import Symbol
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

SHIMS = ("inductor/aoti_torch/c/shim.h", "stable/c/shim.h")
_DECLARED = re.compile(r"AOTI_TORCH_EXPORT\b[^;{]*?\b(\w+)\s*\(")
_SKIPPED = ("_ITM_", "__gmon_start__")  # weak hooks of the compiler: absent on every ordinary system
_PYTHON = re.compile(r"_?Py[A-Z_]")
_MAX = re.compile(r"(M|KGEN)_[A-Za-z]")
_TORCH_CPP = re.compile(r"\b(at|c10|torch|caffe2|pybind11)::")
_SYSTEM = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6")


class NotReadable(ValueError):
    """A file that is no ELF shared library; the message names it."""


@dataclass(frozen=True)
class Library:
    """`undefined`: symbol -> version that it asks for, or None; `exported`: what others may bind to."""

    needed: tuple[str, ...]
    undefined: dict[str, str | None]
    exported: frozenset[str]


@contextmanager
def _opened(file: Path) -> Iterator[ELFFile]:
    try:
        with file.open("rb") as stream:
            yield ELFFile(stream)
    except (OSError, ELFError) as error:
        raise NotReadable(f"{file} is not a readable ELF library, expected a built one: {error}") from error


def read(file: Path) -> Library:
    """The dynamic section and dynamic symbols of a shared library.

    Raises:
        NotReadable: no such file, or no ELF library.
    """
    with _opened(file) as elf:
        sections: dict[str, Any] = {section.name: section for section in elf.iter_sections()}
        if ".dynamic" not in sections or ".dynsym" not in sections:
            raise NotReadable(f"{file} has no dynamic symbols, expected a shared library")
        dynamic, table = sections[".dynamic"], sections[".dynsym"]
        versions, needs = sections.get(".gnu.version"), sections.get(".gnu.version_r")
        names = {
            auxiliary["vna_other"] & 0x7FFF: auxiliary.name
            for _, auxiliaries in (needs.iter_versions() if needs else ())
            for auxiliary in auxiliaries
        }
        undefined: dict[str, str | None] = {}
        exported = set()
        for index, symbol in enumerate(table.iter_symbols()):
            if not symbol.name:
                continue
            if symbol["st_shndx"] == "SHN_UNDEF":
                number = versions.get_symbol(index)["ndx"] if versions else 0
                undefined[symbol.name] = names.get(number & 0x7FFF) if isinstance(number, int) else None
            elif symbol["st_info"]["bind"] != "STB_LOCAL" and symbol["st_other"]["visibility"] != "STV_HIDDEN":
                exported.add(symbol.name)
        needed = tuple(tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED")
    return Library(needed, undefined, frozenset(exported))


def stable_shim(include: Path) -> frozenset[str]:
    """Names of PyTorch's stable C ABI, read from the headers below an `include` folder of an installed PyTorch.

    Raises:
        FileNotFoundError: the headers are not there.
    """
    names: set[str] = set()
    for shim in SHIMS:
        text = re.sub(r"//[^\n]*", "", (include / "torch/csrc" / shim).read_text())
        names |= set(_DECLARED.findall(text))
    return frozenset(names)


@dataclass(frozen=True)
class Needs:
    """Undefined symbols by who has them and what was promised; those of the system are counted only."""

    torch_stable: frozenset[str]
    torch_other: frozenset[str]
    python_limited: frozenset[str]
    python_other: frozenset[str]
    max_other: frozenset[str]
    system: int
    unknown: frozenset[str]

    @property
    def stable(self) -> frozenset[str]:
        return self.torch_stable | self.python_limited

    @property
    def unstable(self) -> frozenset[str]:
        return self.torch_other | self.python_other | self.max_other | self.unknown

    @property
    def torch(self) -> frozenset[str]:
        return self.torch_stable | self.torch_other


def in_system(name: str) -> bool:
    """Whether this system's C or C++ library has a symbol: what a symbol without a version may bind to."""
    return any(hasattr(library, name) for library in _system())


@cache
def _system() -> tuple[ctypes.CDLL, ...]:
    libraries = []
    for name in _SYSTEM:
        try:
            libraries.append(ctypes.CDLL(name))
        except OSError:
            continue
    return tuple(libraries)


def classify(symbols: dict[str, str | None], shim: Iterable[str], system: Callable[[str], bool] = in_system) -> Needs:
    """Sort undefined symbols by who promises them.

    Args:
        symbols: of `Library.undefined`; one that asks for a version comes from a system library.
        shim: names of PyTorch's stable C ABI.
        system: whether the system's libraries have a name. The linker leaves the version out where libtorch, built by
            another compiler, exports a copy of its own of what libstdc++ has.
    """
    stable = frozenset(shim)
    kinds: dict[str, set[str]] = {
        kind: set()
        for kind in ("torch_stable", "torch_other", "python_limited", "python_other", "max_other", "unknown")
    }
    counted = 0
    for name, version in symbols.items():
        if name.startswith(_SKIPPED):
            continue
        kind = None if version is not None else _kind(name, stable, system)
        if kind is None:
            counted += 1
        else:
            kinds[kind].add(name)
    return Needs(system=counted, **{kind: frozenset(names) for kind, names in kinds.items()})


def _kind(name: str, shim: frozenset[str], system: Callable[[str], bool]) -> str | None:
    if name in shim:
        return "torch_stable"
    if _PYTHON.match(name):
        return "python_limited" if _limited(name) else "python_other"
    if _MAX.match(name):
        return "max_other"
    if name.startswith(("aoti_torch_", "torch_")) or _TORCH_CPP.search(demangled(name)):
        return "torch_other"
    return None if system(name) else "unknown"


def _limited(name: str) -> bool:
    return Symbol(name) in FUNCTIONS or Symbol(name) in DATAS


def demangled(name: str) -> str:
    """The C++ name as written in source, without its arguments; other names stay as they are."""
    text = torch._C._demangle(name) if name.startswith("_Z") else name
    return re.sub(r"\(.*", "", text.replace("(anonymous namespace)", "anonymous"))


def examples(names: Iterable[str], most: int = 6) -> list[str]:
    """A few names a reader knows: one of each library's namespace first, then in order."""
    shown = sorted({demangled(name) for name in names}, key=lambda text: (len(text), text))
    order: Counter[str] = Counter()
    ranked = []
    for text in shown:
        group = text.split("::")[0].split("_")[0]
        ranked.append((order[group], text))
        order[group] += 1
    return [text for _, text in sorted(ranked)[:most]]
