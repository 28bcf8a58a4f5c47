"""The GPU kernels as a page shows them: what ran on a device, what was emulated, what only built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evidence.core import text
from evidence.core.pack import Pack, Row
from evidence.core.routes import SIDE_NAMES, SIDES, representative
from evidence.judge.judgement import Pointed, pointed
from evidence.judge.questions import AMD, NVIDIA
from evidence.page.common import Context
from evidence.sections.gpu import readings as gpu
from evidence.sections.targets.processors import BY_NAME
from evidence.sections.targets.readings import coverage

WARP = 32
RIGHT, PART, WRONG, UNKNOWN = ("✓", "yes"), ("◐", "part"), ("✗", "no"), ("–", "muted")


def gpu_section(pack: Pack) -> Context:
    """Vendors with how far each side's kernels came there, ops with their emulation, and every row."""
    rows = pointed(pack, "gpu")
    by_op: dict[str, dict[str, list[Pointed]]] = {}
    for row in rows:
        by_op.setdefault(row.row["op"], {}).setdefault(row.row["side"], []).append(row)
    return {
        "summary": text.upper_first(summary) + "." if (summary := gpu.summary(pack)) else "",
        "sides": [SIDE_NAMES[side] for side in SIDES],
        "reach": [_reach(pack, vendor) for vendor in (NVIDIA, AMD)],
        "ops": [{"op": op, "cells": [_cell(sides.get(side, [])) for side in SIDES]} for op, sides in by_op.items()],
        "rows": [_row(row) for row in rows],
        "kernels": [_kernel(row.row, kernel) for row in rows for kernel in row.row["kernels"]],
        "commit": other_commit(pack),
    }


def _mark(mark: tuple[str, str], word: str, notes: Sequence[str] = ()) -> Context:
    return {"sign": mark[0], "tone": mark[1], "word": word, "notes": list(notes)}


def _reach(pack: Pack, vendor: str) -> Context:
    """How far the kernels of each side came on the GPUs of a vendor."""
    return {"vendor": vendor, "cells": [_reached(pack, vendor, side) for side in SIDES]}


def _reached(pack: Pack, vendor: str, side: str) -> list[Context]:
    return [_on_device(pack, vendor, side), _under_emulation(pack, vendor, side), _built(pack, vendor, side)]


def _on_device(pack: Pack, vendor: str, side: str) -> Context:
    is_amd = bool(pack.facts("versions").get("torch_hip"))
    rows = [
        row
        for row in pack.rows("correctness")
        if row["device"] == "cuda" and is_amd == (vendor == AMD) and row["route"] == representative(side, "cuda")
    ]
    if not rows:
        return _mark(UNKNOWN, "not run on a device")
    passed, failed = (sum(row[key] for row in rows) for key in ("passed", "failed"))
    return _mark(
        WRONG if failed else RIGHT, f"on a device: {passed:,} of {text.count(passed + failed, 'check')} passed"
    )


def _under_emulation(pack: Pack, vendor: str, side: str) -> Context:
    if vendor == AMD:
        return _mark(UNKNOWN, "cannot be emulated")
    shown = gpu.emulated(pack).get(side)
    if shown is None:
        return _mark(UNKNOWN, "not emulated")
    right = len(shown.ops) - len(shown.faulty)
    label = f"emulated: {right} of {text.count(len(shown.ops), 'op')} right, {text.count(shown.cases, 'call')}"
    return _mark(RIGHT if shown.right else WRONG, label)


def _built(pack: Pack, vendor: str, side: str) -> Context:
    covered = coverage(pack, side).get(vendor)
    if covered is None:
        return _mark(UNKNOWN, "not built")
    targets = len(covered.built) + len(covered.failed) + len(covered.untried)
    label = f"built for {len(covered.built)} of {text.count(targets, 'target')}"
    mark = RIGHT if covered.complete else WRONG if covered.failed else PART if covered.built else UNKNOWN
    return _mark(mark, label)


def _cell(rows: Sequence[Pointed]) -> Context:
    """One op on one side: whether its results are right in every dtype, and its counters."""
    tried = [row.row for row in rows if gpu.tried(row.row)]
    if not tried:
        message = next((row.row["message"] for row in rows if row.row["message"]), None)
        return _mark(UNKNOWN, "not emulated", [message] if message else [])
    wrong, problems = (sum(row[key] for row in tried) for key in ("wrong", "problems"))
    cases = sum(row["cases"] for row in tried)
    if wrong or problems:
        label = f"{wrong} of {text.count(cases, 'call')} wrong, {text.count(problems, 'problem')}"
        return _mark(WRONG, label, [f"{row['dtype']}: {row['message']}" for row in tried if row["message"]][:2])
    notes = [
        note
        for note in (
            _share("memory sectors", (gpu.traffic_share(row) for row in tried)),
            _share("shared memory wavefronts", (_ratio(row["wavefronts"], row["least_wavefronts"]) for row in tried)),
            _instructions(tried),
            _fit(tried),
        )
        if note
    ]
    return _mark(RIGHT, text.count(cases, "call"), notes)


def _ratio(value: int | None, least: int | None) -> float | None:
    return value / least if value is not None and least else None


def _share(name: str, shares: Iterable[float | None]) -> str | None:
    """`memory sectors 1.0–1.1× the least`, over the dtypes."""
    numbers = [share for share in shares if share is not None]
    return f"{name} {gpu.span(min(numbers), max(numbers))}× the least" if numbers else None


def _instructions(rows: Sequence[Row]) -> str | None:
    shares = [per_warp for row in rows if (per_warp := _per_warp(row)) is not None]
    return f"{gpu.span(min(shares), max(shares))} warp instructions per {WARP} elements" if shares else None


def _per_warp(row: Row) -> float | None:
    return WARP * row["warp_instructions"] / row["elements"] if row["warp_instructions"] and row["elements"] else None


def _fit(rows: Sequence[Row]) -> str | None:
    kernels = [kernel for row in rows for kernel in row["kernels"]]
    occupancies = [kernel["occupancy"] for kernel in kernels if kernel["occupancy"] is not None]
    if not kernels:
        return None
    registers = [kernel["registers"] for kernel in kernels]
    label = f"{gpu.span(min(registers), max(registers))} registers"
    return label + (f", occupancy at least {min(occupancies):.0%}" if occupancies else "")


def _row(pointed_row: Pointed) -> Context:
    row = pointed_row.row
    return {
        "id": f"gpu-{pointed_row.pointer.rsplit('/', 1)[-1]}",
        "op": row["op"],
        "side": SIDE_NAMES[row["side"]],
        "dtype": row["dtype"],
        "cases": row["cases"],
        "wrong": row["wrong"],
        "problems": row["problems"],
        "message": row["message"] or "",
        "sample": row["sample"] or "–",
        "loads": _number(row["load_sectors"]),
        "stores": _number(row["store_sectors"]),
        "least": _number(row["least_sectors"]),
        "own": _number(row["op_sectors"]),
        "wavefronts": _number(row["wavefronts"]),
        "least_wavefronts": _number(row["least_wavefronts"]),
        "instructions": "–" if (per_warp := _per_warp(row)) is None else text.short(per_warp),
        "tool": row["tool"] or "",
    }


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _kernel(row: Row, kernel: Row) -> Context:
    target = BY_NAME.get(kernel["target"])
    return {
        "op": row["op"],
        "side": SIDE_NAMES[row["side"]],
        "dtype": row["dtype"],
        "kernel": kernel["kernel"],
        "target": kernel["target"] + (f" ({target.what})" if target else ""),
        "threads": kernel["threads"],
        "registers": kernel["registers"],
        "spills": kernel["spill_bytes"],
        "occupancy": "–" if kernel["occupancy"] is None else f"{kernel['occupancy']:.0%}",
    }


def other_commit(pack: Pack) -> str | None:
    """A sentence where the emulation and the rest of a pack are of different commits."""
    emulated, rest = pack.facts("settings").get("gpu_commit"), pack.facts("versions").get("commit")
    if not emulated or not rest or emulated == rest:
        return None
    return f"The emulation is of commit {str(emulated)[:12]}, the rest of the pack of {str(rest)[:12]}."
