"""A made-up pack with every section filled, raw rounds included: what a full run on one machine would leave."""

from __future__ import annotations

import random
from typing import Any

from evidence.core.pack import Pack, Row
from evidence.judge.conclude import conclude
from synthetic import synthetic_pack

FURTHER = {"cpp_classic": ("cpp", 1.12, 2.0)}
"""route -> (the route that it is made from, factor, microseconds more a call)"""

FAULTS = {
    "wrong_dtype": ("wrong dtype", "call", "call", "call"),
    "wrong_rank": ("wrong rank", "silent", "call", "call"),
    "read_past_end": ("read past the end", "sanitizer", "silent", "silent"),
    "write_past_end": ("write past the end", "sanitizer", "crash", "silent"),
    "misspelt_name": ("misspelt name", "compile", "compile", "compile"),
    "wrong_argument_count": ("wrong number of arguments", "compile", "compile", "not expressible"),
    "race": ("race between threads", "silent", "silent", "hang"),
    "missing_registration": ("missing registration", "load", "load", "did not run"),
}
FOOTPRINT = {
    ("eager", "run"): {"torch": 720.0},
    ("cpp", "build"): {"torch": 720.0, "g++": 210.0, "ninja": 0.4},
    ("cpp", "run"): {"torch": 720.0, "_C.abi3.so": 0.2},
    ("mojo", "build"): {"torch": 720.0, "modular": 1480.0, "mojo-compiler": 400.0},
    ("mojo", "run"): {"torch": 720.0, "modular": 1480.0, "ops.mef": 0.2},
    ("mojo_aot", "build"): {"torch": 720.0, "modular": 1480.0, "gcc": 90.0, "a": 5.0, "b": 4.0, "c": 3.0},
    ("mojo_aot", "run"): {"torch": 720.0, "libops.so": 0.1},
}
FEATURES = ("fake", "autograd", "vmap", "compile_fullgraph", "export", "fork")


def full_pack() -> Pack:
    """A complete pack in which every section ran."""
    pack = synthetic_pack()
    chance = random.Random(11)
    pack.facts("settings").update(processes=3, device="cpu")
    pack.set_rows("runtime", _runtime(pack.rows("runtime"), chance))
    pack.set_rows("noise", _noise(pack.rows("runtime")))
    pack.set_rows("roofline", _roofline())
    pack.set_rows("dispatch", pack.rows("dispatch") + _further_calls(pack.rows("dispatch")))
    pack.set_rows("build", _build(pack.rows("build")))
    pack.set_rows("code", _code(pack.rows("code")))
    pack.set_rows("integration", _integration())
    pack.set_rows("footprint", _footprint())
    pack.set_rows("upgrade", _upgrade())
    pack.set_rows("faults", _faults())
    conclude(pack)
    return pack


def full_raw(pack: Pack, rounds: int = 90) -> list[dict[str, Any]]:
    """Rounds of three processes behind every timed run-time row, in the form of raw.json.gz."""
    chance = random.Random(5)
    cases: dict[tuple[str, ...], dict[str, float]] = {}
    for row in pack.rows("runtime"):
        if row["median_us"] is not None:
            cases.setdefault((row["op"], row["sample"], row["dtype"], row["mode"]), {})[row["route"]] = row["median_us"]
    return [
        {
            "process": process,
            "case": {"op": op, "sample": sample, "dtype": dtype},
            "mode": mode,
            "times": {
                route: [mid * chance.lognormvariate(0.01 * process, 0.03) for _ in range(rounds)]
                for route, mid in times.items()
            },
        }
        for (op, sample, dtype, mode), times in cases.items()
        for process in range(3)
    ]


def _runtime(rows: list[Row], chance: random.Random) -> list[Row]:
    """The rows and those of the further routes, with the statistical fields of each row."""
    extended: list[Row] = []
    for row in rows:
        extended.append(row)
        for route, (base, factor, more) in FURTHER.items():
            if row["route"] == base and row["mode"] == "call":
                old = row["median_us"]
                new = max(old * factor + (more if row["mode"] == "call" else 0.0), 0.5)
                scaled = {key: row[key] * new / old for key in ("median_us", "ci_low_us", "ci_high_us")}
                keys = ("ratio_to_eager", "ratio_low", "ratio_high", "ratio_to_cpp", "ratio_to_cpp_low",
                        "ratio_to_cpp_high")  # fmt: skip
                scaled |= {key: row[key] * old / new for key in keys}
                extended.append({**row, **scaled, "route": route})
    for row in extended:
        row.update(processes=3, between_eager=chance.uniform(0.001, 0.03), between_cpp=chance.uniform(0.001, 0.03),
                   bound="bandwidth", noisy_because="processes differ by 9 %" if row["noisy"] else None)  # fmt: skip
    return extended


def _size_class(elements: int) -> str:
    return "large" if elements >= 2_000_000 else "small" if elements <= 65_536 else "middle"


def _noise(rows: list[Row]) -> list[Row]:
    groups: dict[tuple[str, ...], int] = {}
    for row in rows:
        for base in ("eager", "cpp"):
            if row["route"] != base:
                key = (row["route"], base, row["mode"], _size_class(row["elements"]))
                groups[key] = groups.get(key, 0) + 1
    spread = {"small": 0.05, "middle": 0.03, "large": 0.015}
    return [
        {"route": route, "base": base, "mode": mode, "size_class": size, "device": "cpu", "rows": number,
         "dof": 2.0 * number, "sd": spread[size], "band": 1 + 2 * spread[size]}
        for (route, base, mode, size), number in groups.items()
    ]  # fmt: skip


def _roofline() -> list[Row]:
    return [
        {"device": "cpu", "kind": kind, "dtype": "float32", "threads": 2, "bytes": 300_000_000, "elements": None,
         "value": value, "low": value * 0.97, "high": value * 1.02, "unit": unit}
        for kind, value, unit in (("copy", 24.6, "GB/s"), ("matmul", 141.0, "GFLOP/s"))
    ]  # fmt: skip


def _further_calls(rows: list[Row]) -> list[Row]:
    further_rows = []
    for row in rows:
        if row["route"] == "cpp":
            further_rows.append({**row, "route": "cpp_classic"})
    return further_rows


def _build(rows: list[Row]) -> list[Row]:
    extended: list[Row] = []
    for row in rows:
        row = {**row, "cpu_seconds": row["seconds_median"] and row["seconds_median"] * 1.8,
               "artifact_bytes": 180_000 if row["kind"] == "clean" else None}  # fmt: skip
        extended.append(row)
        if row["route"] == "cpp":
            extended.append({**row, "route": "cpp_classic"})
    times = {"cpp": 61.0, "cpp_classic": 61.0, "mojo": 95.0, "mojo_aot": 95.0, "mojo_stock": 80.0}
    for kind, share in (("prerequisites", 1.0), ("binding_edit", 0.3), ("add_op", 0.5), ("add_arch", 0.9)):
        for route, mid in times.items():
            absent = route == "mojo_stock" and kind != "prerequisites"
            time = None if absent else mid * share
            extended.append({
                "route": route,
                "stage": kind,
                "kind": kind,
                "status": "no such stage" if absent else "ok",
                "message": "compiles at the first call" if absent else None,
                "seconds_median": time,
                "seconds_low": time and time * 0.96,
                "seconds_high": time and time * 1.05,
                "peak_mb": time and 640.0,
                "repeats": 0 if absent else 3,
                "packages": 24 if kind == "prerequisites" else None,
                "install_bytes": 1_480_000_000 if kind == "prerequisites" else None,
            })  # fmt: skip
    return extended


def _code(rows: list[Row]) -> list[Row]:
    counted = []
    for row in rows:
        language = "Mojo" if row["route"].startswith("m") and row["bucket"] == "kernel" else "Python"
        language = "C++" if row["route"].startswith("cpp") and row["bucket"] in ("kernel", "binding") else language
        counted.append({**row, "languages": [language], "functions": row["lines"] // 9, "complexity": row["lines"] // 6,
                        "api_names": ["torch.library"] if row["bucket"] == "binding" else []})  # fmt: skip
    return counted + [{**row, "route": "cpp_classic"} for row in counted if row["route"] == "cpp_pybind"]


def _integration() -> list[Row]:
    rows = []
    for route in ("cpp", "cpp_classic", "mojo", "mojo_aot", "mojo_stock"):
        for place, feature in enumerate(FEATURES):
            status = "fails" if (route, feature) == ("mojo", "fork") else "refused" if place == 2 else "works"
            message = {"fails": "the child hangs", "refused": "RuntimeError: no batching rule"}.get(status)
            rows.append({"route": route, "feature": feature, "status": status, "message": message})
    return rows


def _footprint() -> list[Row]:
    rows = []
    for (route, purpose), packages in FOOTPRINT.items():
        for package, megabytes in packages.items():
            kind = "artifact" if "." in package else "system package" if package[0] == "g" else "python package"
            rows.append({"route": route, "purpose": purpose, "package": package, "version": "1.0",
                         "bytes": int(megabytes * 1e6), "files": 12, "kind": kind})  # fmt: skip
    rows.append({"route": "mojo_stock", "purpose": "run", "package": "unknown", "version": None, "bytes": None,
                 "files": None, "kind": "python package", "message": "no record of its files"})  # fmt: skip
    return rows


def _upgrade() -> list[Row]:
    shapes: tuple[tuple[Any, ...], ...] = (
        ("cpp_ext wheel", "cpp", "torch 2.13", "torch 2.12", "loaded", "works", None, 41, 41, 0),
        ("cpp_classic wheel", "cpp_classic", "torch 2.13", "torch 2.12", "loaded", "fails",
         "ImportError: undefined symbol: _ZN3c106detail", 88, 12, 76),
        ("ops.mef", "mojo", "MAX 26.7", "MAX 26.6", "loaded", "refused", "this file needs MAX 26.7", None, None, None),
        ("libops.so", "mojo_aot", "torch 2.13", "torch 2.14", "symbols", "works", None, 30, 30, 0),
        ("ops.mojoc", "mojo_stock", "MAX 26.7", "MAX 26.6", "did not run", "did not run", "no such wheel", None, None,
         None),
    )  # fmt: skip
    return [
        {"artifact": artifact, "route": route, "built_with": built, "loaded_under": under, "method": method,
         "outcome": outcome, "message": message, "symbols_needed": needed, "symbols_stable": stable,
         "symbols_unstable": unstable, "examples": ["_ZN3c106detail"] if unstable else []}
        for artifact, route, built, under, method, outcome, message, needed, stable, unstable in shapes
    ]  # fmt: skip


def _faults() -> list[Row]:
    rows = []
    for fault, (title, *outcomes) in FAULTS.items():
        for side, caught in zip(("cpp", "mojo", "mojo_aot"), outcomes, strict=True):
            message = None if caught in ("silent", "not expressible") else f"error: {title}, seen at {caught}"
            rows.append({"fault": fault, "side": side, "caught": caught, "message": message, "seconds": 3.4,
                         "title": title, "by": "AddressSanitizer" if caught == "sanitizer" else None,
                         "source": f"faults/{fault}.{side}"})  # fmt: skip
    return rows
