"""Packs of a few rows, made where they are needed: a rule is tested with the rows that it reads and nothing else."""

from __future__ import annotations

from typing import Any

from evidence.core.pack import Pack, Row, T, check, empty_pack
from evidence.core.tables import convert

MACHINE = {
    "cpu": "Example CPU",
    "cores_usable": 2,
    "memory_gib": 16.0,
    "gpus": [],
    "simd": ["avx2"],
    "torch_simd": "AVX2",
}
RATIOS = ("ratio_to_eager", "ratio_low", "ratio_high")
TO_CPP = ("ratio_to_cpp", "ratio_to_cpp_low", "ratio_to_cpp_high")


def typed(row_type: type[T], row: Row) -> T:
    """A row as `Pack.table` gives it."""
    return convert(row_type, [row])[0]


def pack_of(**sections: list[Row]) -> Pack:
    """A complete, schema-checked pack with these row sections; the others did not run."""
    pack = empty_pack("not needed by this test")
    pack.set_facts("machine", dict(MACHINE))
    pack.set_facts("versions", {"torch": "2.13.0", "torch_cuda": None, "torch_hip": None})
    pack.set_facts("settings", {"quick": False})
    for name, rows in sections.items():
        pack.set_rows(name, rows)
    pack.finish()
    check(pack.data)
    return pack


def times(
    op: str, elements: int, us: dict[str, float], wide: float = 0.01, sample: str | None = None, **more: Any
) -> list[Row]:
    """`runtime` rows of one case as called; `us` by route, intervals of `wide` on both sides."""
    rows = []
    for route, mid in us.items():
        row: Row = {
            "op": op, "route": route, "device": "cpu", "dtype": "float32", "sample": sample or str(elements),
            "mode": "call", "status": "ok", "elements": elements, "noisy": False, "label": None,
        }  # fmt: skip
        row |= _around(("median_us", "ci_low_us", "ci_high_us"), mid, wide)
        row |= _around(RATIOS, us["eager"] / mid if "eager" in us and route != "eager" else None, wide)
        row |= _around(TO_CPP, us["cpp"] / mid if "cpp" in us and route != "cpp" else None, wide)
        rows.append(row | more)
    return rows


def _around(names: tuple[str, str, str], mid: float | None, wide: float) -> Row:
    if mid is None:
        return dict.fromkeys(names)
    return dict(zip(names, (mid, mid * (1 - wide), mid * (1 + wide)), strict=True))


def noise(route: str, size_class: str, band: float, base: str = "cpp", mode: str = "call") -> Row:
    """A `noise` row on the CPU."""
    return {
        "route": route, "base": base, "mode": mode, "size_class": size_class, "device": "cpu",
        "rows": 5, "dof": 10, "sd": 0.01, "band": band,
    }  # fmt: skip


def call(route: str, us: float, mode: str = "hot", **more: Any) -> Row:
    """A `dispatch` row of two tensors."""
    row = {
        "route": route, "tensors": 2, "mode": mode, "threads": 1, "openmp": "idle", "status": "ok", "noisy": False,
        "median_us": us, "low_us": us * 0.98, "high_us": us * 1.02,
        **dict(zip(RATIOS, (5 / us, 4.9 / us, 5.1 / us), strict=True)),
    }  # fmt: skip
    return row | more


def stage(route: str, kind: str, seconds: float, wide: float = 0.02, repeats: int = 3, **more: Any) -> Row:
    """A `build` row."""
    return {
        "route": route, "stage": kind, "kind": kind, "status": "ok", "seconds_median": seconds,
        "seconds_low": seconds * (1 - wide), "seconds_high": seconds * (1 + wide), "peak_mb": None, "repeats": repeats,
    } | more  # fmt: skip


def code(route: str, bucket: str, lines: int, op: str | None = "add", **more: Any) -> Row:
    """A `code` row; `op` None is what all ops share."""
    return {
        "op": op, "route": route, "bucket": bucket, "files": [f"{route}.{bucket}"], "lines": lines,
        "tokens": 9 * lines, "gzip_bytes": 14 * lines, "shared": op is None,
    } | more  # fmt: skip


def fault(name: str, side: str, caught: str, kind: str = "memory") -> Row:
    """A `faults` row."""
    return {"fault": name, "side": side, "caught": caught, "message": None, "seconds": 1.0, "title": name, "kind": kind}


def feature(route: str, name: str, status: str = "works", message: str | None = None) -> Row:
    """An `integration` row."""
    return {"route": route, "feature": name, "status": status, "message": message}


def upgraded(route: str, outcome: str, method: str = "loaded", under: str = "torch 2.14") -> Row:
    """An `upgrade` row."""
    return {
        "artifact": f"{route}.so", "route": route, "built_with": "torch 2.13", "loaded_under": under,
        "method": method, "outcome": outcome, "message": None,
    }  # fmt: skip


def target(side: str, name: str, status: str = "built", op: str = "add") -> Row:
    """A `targets` row."""
    return {
        "op": op, "side": side, "target": name, "status": status, "seconds": 1.0, "bytes": None, "message": None,
        "tool": None, "proof": None, "together": 1, "target_lines": None, "untranslated": None,
    }  # fmt: skip


def emulated(side: str, op: str = "add", dtype: str = "float32", **values: Any) -> Row:
    """A `gpu` row: right, with the least memory traffic, unless `values` say otherwise."""
    row = {
        "op": op, "side": side, "dtype": dtype, "cases": 10, "wrong": 0, "problems": 0, "message": None,
        "tool": "ptxas", "sample": "8x4104", "elements": 32832, "op_sectors": 12312, "least_sectors": 12312,
        "load_sectors": 8208, "store_sectors": 4104, "wavefronts": 0, "least_wavefronts": 0,
        "warp_instructions": 3078, "kernels": [],
    }  # fmt: skip
    return row | values


def fits(kernel: str, target: str = "sm_90", **values: Any) -> Row:
    """An entry of `kernels` in a `gpu` row."""
    row = {
        "kernel": kernel, "target": target, "threads": 256, "registers": 32, "spill_bytes": 0, "occupancy": 1.0
    }  # fmt: skip
    return row | values


def package(route: str, purpose: str, name: str, size: int | None, kind: str = "python package") -> Row:
    """A `footprint` row."""
    return {
        "route": route, "purpose": purpose, "package": name, "version": None, "bytes": size, "files": None, "kind": kind
    }  # fmt: skip


def checks(route: str, failed: int = 0, op: str = "add", passed: int = 20, device: str = "cpu") -> Row:
    """A `correctness` row."""
    return {
        "op": op, "route": route, "dtype": "float32", "device": device, "passed": passed, "failed": failed,
        "skipped": 0, "message": None,
    }  # fmt: skip
