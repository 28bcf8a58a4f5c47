"""Checks, before a library from a wheel is loaded, that the CPU supports its instructions."""

import re
from collections.abc import Collection
from pathlib import Path

# What each x86-64 psABI level adds, as named in /proc/cpuinfo: abm stands for lzcnt, pni for SSE3.
_ADDED = {
    "x86-64": (),
    "x86-64-v2": ("cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"),
    "x86-64-v3": ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"),
    "x86-64-v4": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
}


def cpu_features() -> frozenset[str] | None:
    """The features of this CPU in the names of Linux, or None if the system does not list them."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return frozenset(flags[1].split()) if flags else None


def require(level: str, features: Collection[str] | None) -> None:
    """Checks that a CPU with the features can run code compiled for the level, such as ``x86-64-v3``.

    The check passes if the level is not an x86-64 level, or if the features are unknown (None).

    Raises:
        ImportError: features of the level are missing; the message names them.
    """
    if features is None or level not in _ADDED:
        return
    levels = list(_ADDED)
    required = [name for lower in levels[: levels.index(level) + 1] for name in _ADDED[lower]]
    if missing := [name for name in required if name not in features]:
        raise ImportError(
            f"this build of cpp_ext is for {level} CPUs and this one lacks {', '.join(missing)}; "
            "build it from source on this machine (`python setup.py build_ext --inplace`, or with CPP_EXT_MARCH=native)"
        )
