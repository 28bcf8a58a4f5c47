"""Code lines that one kind of processor alone has: what a source says by name for a target.

C++: lines of branches of `#if` that are taken for the target and whose condition names processors, with the op's own
file and every header it includes. A branch that is taken because no other is, is not the target's own; but of CUDA and
HIP each has its own. Mojo: the same for `comptime if`, with every module that the op's own imports. Conditions are
evaluated for the target; what a condition says beyond processors counts as true.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from evidence.core.machine import ROOT
from evidence.sections.targets.processors import AMD, CPU, NVIDIA, Target

CSRC = ROOT / "cpp_ext" / "csrc"
KERNELS = ROOT / "mojo_ops" / "kernels"
_X86 = ("__x86_64__", "__SSE2__", "__AVX2__", "__F16C__")
_GPU = ("__CUDACC__", "__HIPCC__", "__HIP_PLATFORM_AMD__", "__CUDA_ARCH__")
_NAMED = re.compile(r"__(AVX\w*|x86_64|SSE2|F16C|aarch64|CUDA\w*|HIP\w*)__")


def macros(target: Target) -> dict[str, int]:
    """What compilers predefine for a target, of the names that our sources ask for."""
    if target.vendor == NVIDIA:
        return {"__CUDACC__": 1, "__CUDA_ARCH__": 10 * int(target.name.removeprefix("sm_"))}
    if target.vendor == AMD:
        return {"__HIPCC__": 1, "__HIP_PLATFORM_AMD__": 1}
    if target.name == "aarch64":
        return {"__aarch64__": 1}
    wide = ("__AVX512F__", "__AVX512BW__") if target.name == "x86-64-v4" else ()
    return dict.fromkeys((*_X86, *wide), 1)


def holds(condition: str, known: dict[str, int]) -> bool:
    """Whether a condition of the preprocessor is true, with the macros `known` and no others."""
    text = re.sub(r"defined\s*\(?\s*(\w+)\s*\)?", lambda m: str(int(m[1] in known)), condition)
    text = re.sub(r"\b[A-Za-z_]\w*", lambda m: str(known.get(m[0], 0)), text)
    text = text.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text)
    if not re.fullmatch(r"(?:[\d\s()<>=!+*-]|and|or|not)*", text):
        raise ValueError(f"condition is {condition!r}, expected names, numbers, comparisons, &&, || and !")
    return bool(eval(text, {"__builtins__": {}}))  # nothing but numbers and operators is in it


def _code(line: str, comment: str) -> bool:
    text = line.split(comment)[0].strip()
    return bool(text) and text.strip("{}();,") != ""


def own_lines_cpp(text: str, known: dict[str, int]) -> int:
    """Own lines of one C++ file; macros that it defines are added to `known`, those of its own branches as named."""
    count = 0
    # of each open #if: (taken now, a branch was taken, lines in it are the target's own, its conditions so far)
    stack: list[tuple[bool, bool, bool, str]] = []
    named = {name for name in known if name.startswith("CPP_EXT_")}
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif|define)\b(.*)", line)
        active = all(one[0] for one in stack)
        own = any(one[2] for one in stack)
        if directive is None:
            count += active and own and _code(line, "//")
            continue
        word, rest = directive[1], directive[2].split("//")[0].strip()
        if word == "define":
            if active and rest:
                name = re.split(r"[\s(]", rest)[0]
                known[name] = 1
                if own:
                    named.add(name)
            count += active and own
        elif word == "endif":
            stack.pop()
        else:
            condition = {"ifdef": f"defined({rest})", "ifndef": f"!defined({rest})"}.get(word, rest)
            before = stack.pop() if word in ("elif", "else") else (False, False, False, "")
            says = f"{before[3]} {condition}"
            taken = not before[1] and (word == "else" or holds(condition, known))
            about = bool(_NAMED.search(says)) or any(name in says for name in named)
            gpu = any(name in says for name in _GPU)
            stack.append((taken, before[1] or taken, about and (word != "else" or gpu), says))
    return count


@cache
def _includes(file: Path) -> tuple[Path, ...]:
    """A source and the headers of ours that it includes, those that it includes last first."""
    found: dict[Path, None] = {}

    def visit(one: Path) -> None:
        for name in re.findall(r'^\s*#include "([^"]+)"', one.read_text(), re.MULTILINE):
            header = CSRC / name
            if header not in found and header.exists():
                visit(header)
                found[header] = None

    visit(file)
    return (*found, file)


def of_cpp(op: str, target: Target) -> int:
    """Own lines of an op's C++ sources for a target."""
    file = CSRC / "cpu" / f"{op}.cpp" if target.vendor == CPU else CSRC / "cuda" / f"{op}.cu"
    known = macros(target)
    return sum(own_lines_cpp(one.read_text(), known) for one in _includes(file))


_CUDA_NAME = re.compile(r"\b(cuda[A-Z]\w*|cu[A-Z]\w*|CU_\w+|cublas\w*|curand\w*|__CUDA\w*__|nvcuda)\b|<cuda\w*\.h>")


def untranslated(file: Path) -> int:
    """Code lines of a translated source that still hold a CUDA name."""
    return sum(bool(_CUDA_NAME.search(line.split("//")[0])) for line in file.read_text().splitlines())


def _processor(name: str, target: Target) -> bool | None:
    """What a question of Mojo's to the target answers, or None where it is none about processors."""
    x86 = target.name.startswith("x86-64")
    answers = {
        "is_x86": x86,
        "has_avx": x86,
        "has_avx2": x86,
        "has_avx512f": target.name == "x86-64-v4",
        "has_neon": target.name == "aarch64",
        "is_nvidia_gpu": target.vendor == NVIDIA,
        "is_amd_gpu": target.vendor == AMD,
        "is_apple_gpu": target.vendor == "Apple",
        "_has_feature": False,  # asked for what is beyond the levels: AVX512-BF16
    }
    return answers.get(name)


def _answer(node: ast.expr, target: Target, names: dict[str, ast.expr]) -> tuple[bool, bool]:
    """(value, whether it is about processors) of a condition."""
    if isinstance(node, ast.BoolOp):
        parts = [_answer(value, target, names) for value in node.values]
        value = (all if isinstance(node.op, ast.And) else any)(value for value, _ in parts)
        return value, any(about for _, about in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        value, about = _answer(node.operand, target, names)
        return not value if about else True, about
    if isinstance(node, ast.Name) and node.id in names:
        return _answer(names[node.id], target, {name: one for name, one in names.items() if name != node.id})
    asked = node.func if isinstance(node, ast.Call) else node
    asked = asked.value if isinstance(asked, ast.Subscript) else asked
    name = asked.attr if isinstance(asked, ast.Attribute) else asked.id if isinstance(asked, ast.Name) else ""
    answer = _processor(name, target)
    return (True, False) if answer is None else (answer, True)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def own_lines_mojo(text: str, target: Target, names: dict[str, ast.expr]) -> int:
    """Own lines of one Mojo file; comptime names that it defines are added to `names`."""
    count = 0
    own: list[int] = []  # indentation of the branches that are open and the target's own
    for line in text.splitlines():
        if not _code(line, "#"):
            continue
        indent = len(line) - len(line.lstrip())
        while own and indent <= own[-1]:
            own.pop()
        if found := re.match(r"\s*comptime (\w+) = (.*?)(?:\s+#.*)?$", line):
            value = _parsed(found[2])
            if value is not None:
                names[found[1]] = value
        branch = re.match(r"\s*(?:comptime if|elif) (.*):(?:\s+#.*)?$", line)
        condition = _parsed(branch[1]) if branch else None
        if condition is not None and all(_answer(condition, target, names)):
            own.append(indent)
            count += 1
        else:
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
    names: dict[str, ast.expr] = {}
    return sum(own_lines_mojo(one.read_text(), target, names) for one in modules_of(op))
