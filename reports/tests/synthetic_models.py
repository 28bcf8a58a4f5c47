"""Made-up rows of the section `models`: one model, two stages, three routes, and every kind of row."""

from __future__ import annotations

from typing import Any

from evidence.core.pack import Row
from evidence.sections.models.names import INT8, ORIGINAL

FLOAT = "+ LayerNorm"


def answer(route: str, stage: str = FLOAT, **more: Any) -> Row:
    """A variant that says the same."""
    row = {
        "kind": "answers", "model": "gpt2", "dtype": "float32", "stage": stage, "route": route, "how": "generated",
        "tokens": 320, "tokens_same": 320, "largest_gap": None, "error": 1e-6, "own_error": 1e-6, "allowed": 3e-6,
    }  # fmt: skip
    return {**row, **more}


def speed(route: str, stage: str, rate: float, own: float = 10.0, **more: Any) -> Row:
    """Decode at batch 1, against an original of `own` tokens a second."""
    ratio = rate / own
    row = {
        "kind": "speed", "model": "gpt2", "dtype": "float32", "stage": stage, "route": route, "how": "eager",
        "phase": "decode", "batch": 1, "tokens_per_second": rate, "ratio": ratio, "low": ratio * 0.98,
        "high": ratio * 1.02, "rounds": 8,
    }  # fmt: skip
    return {**row, **more}


def models_rows(name: str = "gpt2") -> list[Row]:
    """Every kind of row; `name` stands for every text that a pack may have from elsewhere."""
    rows: list[Row] = [
        speed(ORIGINAL, ORIGINAL, 10.0),
        speed("original again", ORIGINAL, 9.95),
        speed("own formulas", FLOAT, 10.1),
        speed("no work", FLOAT, 12.5),
        speed("cpp", FLOAT, 12.0),
        speed("mojo_aot", FLOAT, 11.0),
        speed("no work", INT8, 50.0),
        speed("cpp", INT8, 25.0),
        speed("mojo_aot", INT8, 24.0),
        speed("cpp", FLOAT, 14.0, how="torch.compile", compile_seconds=31.0),
        answer("cpp"),
        answer("mojo_aot", tokens_same=300, largest_gap=1e-6),
        answer("mojo_aot", INT8, perplexity=501.0, own_perplexity=500.0, tokens_same=12, largest_gap=0.1, error=0.01),
        {"kind": "stage", "stage": FLOAT, "route": "cpp", "swapped": {"layer_norm": 25}, "left": [[name, name]]},
        {"kind": "weights", "stage": INT8, "route": "no work", "bytes": 1_000_000_000, "bandwidth": 4e10},
        {"kind": "share", "stage": ORIGINAL, "route": ORIGINAL, "phase": "decode", "batch": 1, "op": name,
         "share": 0.2, "places": 25},
        {"kind": "start", "stage": FLOAT, "route": "cpp", "marks": {"import torch": 1.5, "first token": 0.2},
         "peak_bytes": 900_000_000},
        {"kind": "memory", "stage": name, "route": name, "peak_bytes": 2_000_000_000},
        {"kind": "refused", "stage": FLOAT, "route": name, "message": name},
        {"kind": "lost", "stage": name, "route": name, "message": name},
    ]  # fmt: skip
    return [{**row, "model": name, "dtype": row.get("dtype", "float32")} for row in rows]
