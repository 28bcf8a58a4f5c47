"""Locates the built files and checks that they match the sources and this CPU. Imports neither torch nor MAX."""

from __future__ import annotations

import ast
import hashlib
import json
import pkgutil
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from . import kernel as kernel_module
from .kernel import Kernel

PACKAGE = Path(__file__).parent
ARTIFACTS = PACKAGE / "artifacts"
SOURCES = PACKAGE.parents[1] / "kernels"
LIBRARY = "kernels.mojoc"
CHECKS_LIBRARY = "libmojo_ops.so"  # the argument checks of route mojo, built with target cpu
RECORD = "build.json"


def artifact_name(target: str) -> str:
    """File name for a target: “cpu” -> “cpu.mef”, “cuda:sm_90” -> “cuda-sm_90.mef”, “aot” -> “libmojo_aot.so”."""
    return "libmojo_aot.so" if target == "aot" else target.replace(":", "-") + ".mef"


def read_record(folder: Path) -> dict[str, Any]:
    """The build record of a folder, or an empty dictionary if there is none or it cannot be read."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def cpu() -> dict[str, Any]:
    """Model and instruction-set features of this machine's CPU. The compiler may use all of these features."""
    processor: dict[str, Any] = {"machine": platform.machine(), "model": platform.processor(), "features": []}
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        return processor
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    processor["model"] = facts.get("model name", processor["model"])
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    processor["features"] = sorted(flag for flag in flags if flag.startswith(_FEATURES))
    return processor


_FEATURES = (
    "abm",
    "movbe",
    "popcnt",
    "sse",
    "ssse",
    "avx",
    "fma",
    "f16c",
    "bmi",
    "amx",
    "neon",
    "asimd",
    "sve",
    "fphp",
    "bf16",
    "gfni",
)


def missing_features(record: dict[str, Any]) -> list[str]:
    """Instruction-set features of the build machine that this CPU lacks. A kernel that uses one would raise SIGILL."""
    build_cpu, this_cpu = record.get("cpu", {}), cpu()
    if build_cpu.get("machine") != this_cpu["machine"]:
        return [str(build_cpu.get("machine"))]
    return sorted(set(build_cpu.get("features", ())) - set(this_cpu["features"]))


# What each x86-64 psABI level adds to the level below it, as named in /proc/cpuinfo (abm stands for lzcnt).
_LEVELS = {
    "x86-64-v2": ("popcnt", "sse4_1", "sse4_2", "ssse3"),
    "x86-64-v3": ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"),
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}


def missing_library_features(record: dict[str, Any], features: Sequence[str] | None = None) -> list[str]:
    """Like `missing_features`, for target aot, which may be built for an x86-64 level instead of one CPU.

    Args:
        record: the build record.
        features: features of the CPU to check; None for this machine.
    """
    march = record.get("targets", {}).get("aot", {}).get("march", "native")
    if march == "native":
        return missing_features(record)
    build_cpu, this_cpu = record.get("cpu", {}), cpu()
    if build_cpu.get("machine") != this_cpu["machine"]:
        return [str(build_cpu.get("machine"))]
    required = [name for level, names in _LEVELS.items() if level <= march for name in names]
    return sorted(
        set(required if march in _LEVELS else ()) - set(this_cpu["features"] if features is None else features)
    )


def require_cpu(name: str, record: dict[str, Any], missing: Sequence[str]) -> None:
    """Raises an error for a build that this CPU cannot run, because running it would raise SIGILL.

    Args:
        name: name of the build in the error message.
        record: the build record.
        missing: features that this CPU lacks.

    Raises:
        RuntimeError: `missing` is not empty.
    """
    if missing:
        model = record.get("cpu", {}).get("model", "another CPU")
        raise RuntimeError(
            f"{name} was built for {model}; this CPU lacks {', '.join(missing)}. Build it here with: nox -s build_mojo"
        )


def versions() -> dict[str, str]:
    """Versions of the packages that affect the build and its loading. Empty if MAX is not installed."""
    try:
        return {"max": metadata.version("max")}
    except metadata.PackageNotFoundError:
        return {}


def kernel_of(op: str) -> Kernel:
    """The `Kernel` that an op's module defines, evaluated without importing the module, which would import PyTorch.

    Raises:
        ValueError: the module defines no `Kernel` of this name.
    """
    module = PACKAGE / "ops" / f"{module_of(op)}.py"
    for node in ast.parse(module.read_text()).body:
        if not isinstance(node, ast.Assign) or ast.unparse(node.targets[0]) == "OPERANDS":
            continue
        if ast.unparse(node.value).startswith(f"Kernel({op!r}"):
            kernel = eval(compile(ast.Expression(node.value), str(module), "eval"), vars(kernel_module))
            assert isinstance(kernel, Kernel)
            return kernel
    raise ValueError(f"{module}: no Kernel({op!r}, ...), the description of the op's graph")


@cache
def _modules() -> dict[str, str]:
    """Maps each op to its module. A module with several ops has their names joined by two underscores."""
    modules = [module.name for module in pkgutil.iter_modules([str(PACKAGE / "ops")])]
    return {op: module for module in modules for op in module.split("__")}


def module_of(op: str) -> str:
    """The name of the module in `ops` that defines an op, which is also the stem of its Mojo file.

    Raises:
        KeyError: the op does not exist.
    """
    return _modules()[op]


def op_names() -> list[str]:
    """The names of all ops, from the modules in `ops`."""
    return sorted(_modules())


def hashes(ops: list[str]) -> dict[str, str]:
    """SHA-256 of every input of the build of these ops: kernel sources, graph descriptions and the builder."""
    contents = {str(path.relative_to(SOURCES)): path.read_bytes() for path in sorted(SOURCES.rglob("*.mojo"))}
    contents |= {f"ops/{op}.py": repr(kernel_of(op)).encode() for op in ops}
    contents |= {
        name: (PACKAGE / name).read_bytes() for name in ("bindings.py", "kernel.py", "compile.py", "library.py")
    }
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
