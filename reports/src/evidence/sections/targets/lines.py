"""Code lines that an op's sources have for one kind of processor alone.

C++: the lines that the preprocessor keeps for the target and drops for its counterpart: for a CPU a processor that no
condition names, for a GPU that of the other vendor. Mojo has no preprocessor: counted are the branches of `comptime if`
whose condition asks about the processor, directly or through a comptime name, where all that it asks holds for the
target. Every module that the op's own includes or imports counts.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from functools import cache
from pathlib import Path

from evidence.core.child import run_command
from evidence.core.machine import ROOT
from evidence.sections.targets.processors import AMD, APPLE, CPU, NVIDIA, Target

CSRC = ROOT / "cpp_ext" / "csrc"
KERNELS = ROOT / "mojo_ops" / "kernels"
_MARKER = re.compile(r'# (\d+) "([^"]*)"')
_HIP = ("__HIPCC__", "__HIP_PLATFORM_AMD__")
_X86 = ("__x86_64__", "__SSE2__", "__AVX__", "__AVX2__", "__FMA__", "__F16C__")
_AVX512 = tuple(f"__AVX512{part}__" for part in ("F", "BW", "CD", "DQ", "VL"))


def macros(target: Target) -> tuple[str, ...]:
    """What compilers predefine for a target, of the names that a source may ask for."""
    if target.vendor == NVIDIA:
        return ("__CUDACC__", f"__CUDA_ARCH__={10 * int(target.name.removeprefix('sm_'))}")
    if target.vendor == AMD:
        return _HIP
    if target.name == "aarch64":
        return ("__aarch64__",)
    return (*_X86, *_AVX512) if target.name == "x86-64-v4" else _X86


def _counterpart(target: Target) -> tuple[str, ...]:
    return {NVIDIA: _HIP, AMD: ("__CUDACC__", "__CUDA_ARCH__=900")}.get(target.vendor, ())


def is_code(line: str) -> bool:
    """Whether a line without comments has more than brackets."""
    return bool(line.strip("{}();, \t"))


@cache
def _system_headers() -> frozenset[str]:
    sources = (file.read_text() for file in CSRC.rglob("*.*"))
    return frozenset(name for source in sources for name in re.findall(r"#\s*include\s*<(.+?)>", source))


@cache
def _kept(source: Path, defined: tuple[str, ...]) -> frozenset[tuple[str, int]]:
    """(file, line) of the code lines that the preprocessor keeps, in a source and the headers of the checkout."""
    with tempfile.TemporaryDirectory() as empty:
        # Those of another target need not be installed here, and none of their lines count.
        for header in _system_headers():
            Path(empty, header).parent.mkdir(parents=True, exist_ok=True)
            Path(empty, header).touch()
        flags = (
            "-E",
            "-dD",
            "-undef",
            "-nostdinc",
            "-x",
            "c++",
            f"-I{CSRC}",
            f"-I{empty}",
            *map("-D{}".format, defined),
        )
        preprocessed = Path(empty, "preprocessed")
        command = [*shlex.split(os.environ.get("CXX", "c++")), *flags, "-o", str(preprocessed), str(source)]
        done = run_command(command, Path(empty))
        if done.code != 0:
            raise OSError(f"{source.name} could not be preprocessed: {done.error}")
        output = preprocessed.read_text()
    lines = set()
    file, number = "", 0
    for line in output.splitlines():
        if marker := _MARKER.match(line):
            number, file = int(marker[1]), marker[2]
            continue
        if is_code(line) and not file.startswith("<"):
            lines.add((file, number))
        number += 1
    return frozenset(lines)


def own_lines_cpp(source: Path, target: Target) -> int:
    """Own lines of a C++ source and the headers of the checkout that it includes.

    Raises:
        OSError: there is no C++ compiler, or its preprocessor does not accept the source.
    """
    return len(_kept(source, macros(target)) - _kept(source, _counterpart(target)))


def of_cpp(op: str, target: Target) -> int | None:
    """Own lines of an op's C++ sources for a target; None where no C++ compiler is there to preprocess them."""
    try:
        return own_lines_cpp(CSRC / (f"cpu/{op}.cpp" if target.vendor == CPU else f"cuda/{op}.cu"), target)
    except OSError:
        return None


_CUDA_NAME = re.compile(r"\b(cuda[A-Z]\w*|cu[A-Z]\w*|CU_\w+|cublas\w*|curand\w*|__CUDA\w*__|nvcuda)\b|<cuda\w*\.h>")


def untranslated(file: Path) -> int:
    """Code lines of a translated source that still hold a CUDA name."""
    return sum(bool(_CUDA_NAME.search(line.split("//")[0])) for line in file.read_text().splitlines())


def questions(target: Target) -> dict[str, bool]:
    """What Mojo sources can ask about the processor, with the answers for a target."""
    x86 = target.name.startswith("x86-64")
    return {
        **dict.fromkeys(("is_x86", "has_avx", "has_avx2"), x86),
        "has_avx512f": target.name == "x86-64-v4",
        "has_neon": target.name == "aarch64",
        "is_nvidia_gpu": target.vendor == NVIDIA,
        "is_amd_gpu": target.vendor == AMD,
        "is_apple_gpu": target.vendor == APPLE,
        "_has_feature": False,  # asked about what no target's level includes, such as AVX512-BF16
    }


def own_lines_mojo(text: str, answers: dict[str, bool]) -> int:
    """Own lines of one Mojo file; comptime names that it derives from an answer are added to `answers`."""
    count = 0
    own: list[int] = []  # indentation of the open branches that are the target's own
    for line in (line.split("#")[0] for line in text.splitlines()):
        if not is_code(line):
            continue
        indent = len(line) - len(line.lstrip())
        while own and indent <= own[-1]:
            own.pop()
        conditions = [answers[name] for name in re.findall(r"\w+", line) if name in answers]
        if conditions and (name := re.match(r"\s*comptime (\w+) = ", line)):
            answers[name[1]] = all(conditions)
        if conditions and all(conditions) and re.match(r"\s*(comptime if|elif) ", line):
            own.append(indent)
        count += bool(own)
    return count


@cache
def modules_of(op: str) -> tuple[Path, ...]:
    """An op's Mojo module, last, and before it those of ours that it imports, directly or not."""
    imports: dict[Path, None] = {}
    file = KERNELS / f"{op}.mojo"

    def visit(importer: Path) -> None:
        for name in re.findall(r"^from \.([\w.]+) import", importer.read_text(), re.MULTILINE):
            module = importer.parent / f"{name.replace('.', '/')}.mojo"
            if module not in imports and module.exists():
                imports[module] = None
                visit(module)

    visit(file)
    return (*reversed([module for module in imports if module != file]), file)


def of_mojo(op: str, target: Target) -> int:
    """Own lines of an op's Mojo sources for a target."""
    answers = questions(target)
    return sum(own_lines_mojo(module.read_text(), answers) for module in modules_of(op))
