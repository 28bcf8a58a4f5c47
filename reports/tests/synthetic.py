"""A made-up pack with realistic proportions: tests and page previews need no machine to measure on."""

from __future__ import annotations

import math
import random
from typing import Any

from evidence.core.pack import Pack, Row, empty_pack
from evidence.judge.conclude import conclude

ROUTES = ("eager", "compile", "cpp", "cpp_pybind", "mojo", "mojo_aot", "mojo_stock", "max_graph")
SAMPLES: dict[str, dict[str, int]] = {
    "add": {"16": 16, "64x4096": 64 * 4096, "2048x4096": 2048 * 4096},
    "grayscale": {"1080p": 1080 * 1920, "4K": 2160 * 3840},
    "gelu_tanh": {"1x4096": 4096, "1024x4096": 1024 * 4096},
    "rms_norm": {"1x4096": 4096, "64x4096": 64 * 4096, "2048x4096": 2048 * 4096},
    "rope": {
        "1x128x4x32": 128 * 4 * 32,
        "1x512x8x64": 512 * 8 * 64,
        "4x2048x16x128": 4 * 2048 * 16 * 128,
        "8x4096x32x128": 8 * 4096 * 32 * 128,
    },
}
DISPATCH_US = {
    "eager": 4.6,
    "compile": 96.0,
    "cpp": 3.7,
    "cpp_pybind": 1.3,
    "mojo": 61.0,
    "mojo_aot": 7.4,
    "mojo_stock": 290.0,
    "max_graph": 310.0,
}
EAGER_NS = {"add": 0.35, "grayscale": 2.6, "gelu_tanh": 1.4, "rms_norm": 0.9, "rope": 4.2}
KERNEL_NS = {
    "compile": {"add": 0.36, "grayscale": 1.1, "gelu_tanh": 0.62, "rms_norm": 0.5, "rope": 1.5},
    "cpp": {"add": 0.34, "grayscale": 0.45, "gelu_tanh": 0.5, "rms_norm": 0.31, "rope": 0.95},
    "mojo": {"add": 0.34, "grayscale": 0.52, "gelu_tanh": 0.41, "rms_norm": 0.33, "rope": 1.0},
    "max_graph": {"add": 0.7, "grayscale": 2.0, "gelu_tanh": 0.9, "rms_norm": 0.8, "rope": 2.4},
}
KERNEL_NS["cpp_pybind"] = KERNEL_NS["cpp"]
KERNEL_NS["mojo_aot"] = KERNEL_NS["mojo"]
KERNEL_NS["mojo_stock"] = {op: 2 * value for op, value in KERNEL_NS["mojo"].items()}


def synthetic_pack(
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16"),
    speed: dict[str, float] | None = None,
    without: tuple[str, ...] = (),
    seed: int = 7,
) -> Pack:
    """A complete pack; `speed` multiplies a route's times, routes in `without` did not build."""
    pack = empty_pack()
    pack.data["created_utc"] = "2026-01-02T03:04:05Z"
    chance = random.Random(seed)
    pack.set_facts(
        "machine",
        {
            "cpu": "Example CPU 3.1 GHz",
            "cores_usable": 2,
            "memory_gib": 16,
            "simd": ["avx2", "fma"],
            "system": "Linux 6.1",
            "gpus": [],
        },
    )
    pack.set_facts(
        "versions",
        {
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "modular": "26.7.0",
            "cxx": ["g++ 12.2.0"],
            "commit": "0123abc",
            "dirty": False,
        },
    )
    pack.set_facts(
        "settings", {"command": "nox -s compare", "quick": False, "threads": {"torch": 2, "max": 2}, "pairs_max": 400}
    )
    slow = speed or {}
    pack.set_rows("correctness", _correctness(dtypes, without))
    pack.set_rows("runtime", _runtime(dtypes, slow, without, chance))
    pack.set_rows("dispatch", _dispatch(slow, without))
    pack.set_rows("waterfall", _waterfall(without))
    pack.set_rows("crossover", _crossover(without))
    pack.set_rows("threads", _threads(without))
    pack.set_rows("build", _build(without))
    pack.set_rows("code", _code())
    for section in (
        "integration",
        "noise",
        "roofline",
        "gpu",
        "targets",
        "footprint",
        "upgrade",
        "faults",
        "models",
        "decisions",
    ):
        pack.skip(section, "not part of this release's compare")
    pack.finish()
    conclude(pack)
    return pack


def _of(op: str, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    return ("uint8",) if op == "grayscale" else dtypes


def _correctness(dtypes: tuple[str, ...], without: tuple[str, ...]) -> list[Row]:
    return [
        {
            "op": op,
            "route": route,
            "dtype": dtype,
            "device": "cpu",
            "passed": 21,
            "failed": 0,
            "skipped": 1,
            "message": None,
        }
        for op in SAMPLES
        for dtype in _of(op, dtypes)
        for route in ROUTES
        if route not in without
    ]


def _time(op: str, route: str, dtype: str, elements: int, slow: dict[str, float]) -> float:
    half = 0.6 if dtype in ("bfloat16", "float16") else 1.0
    rate = EAGER_NS[op] if route == "eager" else KERNEL_NS[route][op]
    return slow.get(route, 1.0) * (DISPATCH_US[route] + rate * half * elements / 1e3)


def _runtime(
    dtypes: tuple[str, ...], slow: dict[str, float], without: tuple[str, ...], chance: random.Random
) -> list[Row]:
    rows = []
    for op, samples in SAMPLES.items():
        for dtype in _of(op, dtypes):
            for sample, elements in samples.items():
                for mode in ("call", "kernel"):
                    routes = ROUTES if mode == "call" else ("eager", "cpp", "mojo", "mojo_aot")
                    times = {r: _time(op, r, dtype, elements, slow) * chance.uniform(0.99, 1.01) for r in routes}
                    for route in routes:
                        rows.append(_row(op, route, dtype, sample, elements, mode, times, route in without, chance))
    return rows


def _row(
    op: str,
    route: str,
    dtype: str,
    sample: str,
    elements: int,
    mode: str,
    times: dict[str, float],
    absent: bool,
    chance: random.Random,
) -> Row:
    noisy = op == "add" and sample == "64x4096" and route in ("compile", "max_graph")
    wide = 0.2 if noisy else chance.uniform(0.004, 0.03)
    row: dict[str, Any] = {
        "op": op,
        "route": route,
        "device": "cpu",
        "dtype": dtype,
        "sample": sample,
        "label": sample,
        "elements": elements,
        "mode": mode,
        "bytes": 8 * elements,
        "flops": 3 * elements,
        "pairs": 0 if absent else 60,
        "noisy": noisy and not absent,
    }
    names = (
        "median_us",
        "ci_low_us",
        "ci_high_us",
        "ratio_to_eager",
        "ratio_low",
        "ratio_high",
        "ratio_to_cpp",
        "ratio_to_cpp_low",
        "ratio_to_cpp_high",
        "gb_per_s",
        "roofline_share",
    )
    if absent:
        message = "g++: error: unrecognized command-line option"
        return row | dict.fromkeys(names) | {"status": "did not build", "message": message}
    mid = times[route]
    eager, cpp = times["eager"] / mid, times["cpp"] / mid
    speed = 8 * elements / mid / 1e3
    values = (
        mid,
        mid * (1 - wide),
        mid * (1 + wide),
        eager,
        eager * (1 - wide),
        eager * (1 + wide),
        cpp,
        cpp * (1 - wide),
        cpp * (1 + wide),
        speed,
        min(0.99, speed / 25),
    )
    return row | dict(zip(names, values, strict=True)) | {"status": "ok", "message": None}


def _dispatch(slow: dict[str, float], without: tuple[str, ...]) -> list[Row]:
    cells = [("hot", 1, "idle", 2, 1.0), ("gap", 1, "idle", 2, 1.6), ("compiled", 1, "idle", 2, 3.0)]
    cells += [("hot", 1, "idle", tensors, 1 + tensors / 4) for tensors in (1, 4, 8)]
    cells += [("hot", 4, "active", 2, 5.0)]
    return [
        _dispatch_row(mode, threads, openmp, tensors, route, scale * slow.get(route, 1.0), route not in without)
        for mode, threads, openmp, tensors, scale in cells
        for route in ROUTES
        if not (mode == "compiled" and route == "eager")
    ]


def _dispatch_row(mode: str, threads: int, openmp: str, tensors: int, route: str, scale: float, ok: bool) -> Row:
    mid = DISPATCH_US[route] * scale if ok else None
    ratio = DISPATCH_US["eager"] / DISPATCH_US[route] if ok and route != "eager" else None
    return {
        "op": {1: "gelu_tanh", 2: "add"}.get(tensors, f"sum{tensors}"),
        "route": route,
        "tensors": tensors,
        "elements": 16,
        "mode": mode,
        "threads": threads,
        "openmp": openmp,
        "median_us": mid,
        "low_us": mid and mid * 0.97,
        "high_us": mid and mid * 1.05,
        "ratio_to_eager": ratio,
        "ratio_low": ratio and ratio * 0.97,
        "ratio_high": ratio and ratio * 1.03,
        "noisy": False,
        "status": "ok" if ok else "did not build",
        "message": None,
    }


# route, context -> part -> microseconds; the whole is their sum and a little that nothing explains
WATERFALL = {
    ("cpp", "call"): {"dispatcher": 1.1, "output allocation": 0.7, "argument checks": -0.1, "kernel": 0.004},
    ("mojo", "call"): {"dispatcher": 1.1, "output allocation": 0.7, "argument checks": 0.1, "engine hand-off": 24.0,
                       "kernel": 0.004},
    ("mojo_stock", "call"): {"dispatcher and custom_op": 18.0, "DLPack and Buffer": 22.0, "engine hand-off": 37.0},
    ("mojo", "compiled"): {"the op itself": 26.2, "guards and wrapper": 22.0, "slower engine hand-off": 40.0},
}  # fmt: skip
NOT_EXPLAINED = 0.3


def _waterfall(without: tuple[str, ...]) -> list[Row]:
    rows = []
    for (route, context), parts in WATERFALL.items():
        whole = ("whole call", "whole", sum(parts.values()) + NOT_EXPLAINED)
        segments = [whole, *((n, "part", v) for n, v in parts.items()), ("not explained", "remainder", NOT_EXPLAINED)]
        if (route, context) == ("mojo", "call"):
            segments += [
                (f"engine hand-off after {gap} µs of other work", "detail", 24.0 + gap / 5) for gap in (0, 100)
            ]
        if (route, context) == ("cpp", "call"):
            segments += [("op with its gradient formula", "form", 1.6), ("overload without gradient", "form", 1.5)]
        for part, kind, value in segments:
            ok = route not in without
            rows.append(
                {
                    "route": route,
                    "context": context,
                    "part": part,
                    "kind": kind,
                    "how": f"how {part} was measured",
                    "median_us": value if ok else None,
                    "low_us": value - 0.05 if ok else None,
                    "high_us": value + 0.05 if ok else None,
                    "status": "ok" if ok else "did not build",
                    "message": None if ok else "g++: error: unrecognized command-line option",
                }
            )
    return rows


LADDER = (16, 256, 4096, 65536, 1 << 20, 1 << 24)


def _crossover(without: tuple[str, ...]) -> list[Row]:
    rows = []
    for op, reached in (("add", {"eager": 65536.0, "cpp": None}), ("rope", {"eager": 16.0, "cpp": 4096.0})):
        for against, elements in reached.items():
            ok = "mojo" not in without
            points = [
                {
                    "elements": n,
                    "us": 25.0 + n / 1e4,
                    "against_us": 2.0 + n / 5e3,
                    "ratio": (2.0 + n / 5e3) / (25.0 + n / 1e4),
                    "low": 0.97 * (2.0 + n / 5e3) / (25.0 + n / 1e4),
                    "high": 1.03 * (2.0 + n / 5e3) / (25.0 + n / 1e4),
                }
                for n in LADDER
            ]
            rows.append(
                {
                    "op": op,
                    "route": "mojo",
                    "against": against,
                    "factor": 1.0 if against == "eager" else 0.9,
                    "elements": elements if ok else None,
                    "elements_low": elements if ok else None,
                    "elements_high": elements if ok else None,
                    "largest": LADDER[-1] if ok else None,
                    "points": points if ok else [],
                    "status": "ok" if ok else "did not build",
                    "message": None if ok else "g++: error: unrecognized command-line option",
                }
            )
    return rows


# setting -> (pattern -> factor of the default for route mojo); eager is the same under all of them
THREADS = {
    "default": {"alone": 1.0, "alternating": 1.0},
    "OMP_WAIT_POLICY=passive": {"alone": 1.0, "alternating": 3.0},
    "OMP_NUM_THREADS=1": {"alone": 0.5, "alternating": 2.0},
}


def _threads(without: tuple[str, ...]) -> list[Row]:
    rows = []
    for setting, patterns in THREADS.items():
        for pattern, faster in patterns.items():
            for route, base in (("eager", 2.0), ("mojo", 40.0 if pattern == "alone" else 400.0)):
                ok = route not in without
                factor = faster if route == "mojo" else 1.0
                ratio = factor if ok and setting != "default" else None
                rows.append(
                    {
                        "setting": setting,
                        "what": f"what {setting} is",
                        "route": route,
                        "op": "add",
                        "elements": 16,
                        "pattern": pattern,
                        "median_us": base / factor if ok else None,
                        "low_us": base / factor * 0.95 if ok else None,
                        "high_us": base / factor * 1.05 if ok else None,
                        "ratio_to_default": ratio,
                        "ratio_low": ratio and ratio * 0.9,
                        "ratio_high": ratio and ratio * 1.1,
                        "status": "ok" if ok else "did not build",
                        "message": None if ok else "g++: error: unrecognized command-line option",
                    }
                )
    return rows


def _build(without: tuple[str, ...]) -> list[Row]:
    seconds: dict[str, dict[str, float | None]] = {
        "cpp": {"clean": 41.0, "noop": 2.1, "edit": 9.6, "import_load": 0.021, "first_call_new_shape": 0.00001},
        "mojo": {"clean": 118.0, "noop": 0.31, "edit": 96.0, "import_load": 0.44, "first_call_new_shape": 0.0001},
        "mojo_aot": {"clean": 98.0, "noop": 0.31, "edit": 48.0, "import_load": 0.2, "first_call_new_shape": 0.0001},
        "mojo_stock": {"clean": None, "noop": None, "edit": 33.0, "import_load": 1.9, "first_call_new_shape": 27.4},
    }
    rows = []
    for route, stages in seconds.items():
        for kind, mid in stages.items():
            status = "did not build" if route in without else "no such stage" if mid is None else "ok"
            message = {
                "did not build": "g++: error: unrecognized command-line option",
                "no such stage": "compiles at the first call",
            }.get(status)
            mid = mid if status == "ok" else None
            rows.append(
                {
                    "route": route,
                    "stage": kind,
                    "kind": kind,
                    "status": status,
                    "message": message,
                    "seconds_median": mid,
                    "seconds_low": mid and mid * 0.95,
                    "seconds_high": mid and mid * 1.08,
                    "peak_mb": mid and 900.0,
                    "repeats": 3 if mid else 0,
                }
            )
    return rows


def _code() -> list[Row]:
    kernel = {
        "cpp": {"add": 60, "grayscale": 58, "gelu_tanh": 66, "rms_norm": 97, "rope": 110},
        "mojo": {"add": 42, "grayscale": 48, "gelu_tanh": 47, "rms_norm": 74, "rope": 92},
        "max_graph": {"add": 4, "grayscale": 9, "gelu_tanh": 6, "rms_norm": 8, "rope": 12},
    }
    beside = {
        "cpp": (24, 6, 18),
        "cpp_pybind": (17, 0, 8),
        "mojo": (16, 0, 18),
        "mojo_aot": (16, 0, 18),
        "mojo_stock": (16, 0, 9),
        "max_graph": (0, 0, 9),
    }
    shared = {
        "cpp": (60, 92, 44),
        "cpp_pybind": (44, 92, 12),
        "mojo": (40, 130, 210),
        "mojo_aot": (40, 100, 210),
        "mojo_stock": (10, 12, 60),
        "max_graph": (0, 0, 40),
    }
    rows = []
    for route, own in beside.items():
        base = "cpp" if route.startswith("cpp") else "max_graph" if route == "max_graph" else "mojo"
        for op in SAMPLES:
            lines = (kernel[base][op], *own)
            rows += [
                _code_row(op, route, bucket, n, False)
                for bucket, n in zip(("kernel", "binding", "build", "glue"), lines, strict=True)
            ]
        rows += [
            _code_row(None, route, bucket, n, True)
            for bucket, n in zip(("binding", "build", "glue"), shared[route], strict=True)
        ]
    return rows


def _code_row(op: str | None, route: str, bucket: str, lines: int, shared: bool) -> Row:
    return {
        "op": op,
        "route": route,
        "bucket": bucket,
        "files": [f"{route}/{op or 'shared'}.{bucket}"] if lines else [],
        "lines": lines,
        "tokens": lines * 9,
        "gzip_bytes": int(lines * 14 + math.sqrt(lines)),
        "shared": shared,
    }
