"""The integration table of the page: routes against features of PyTorch, and below it what a cell cannot hold."""

from __future__ import annotations

from typing import Any

from evidence.core.pack import Pack, Row
from evidence.core.routes import order

Context = dict[str, Any]

NAMES = {
    "fake": "fake tensors",
    "autograd": "autograd",
    "func": "torch.func",
    "vmap": "vmap",
    "compile_fullgraph": "compile, fullgraph",
    "compile_dynamic": "compile, dynamic",
    "inductor_reuse": "Inductor reuses buffers",
    "export": "torch.export",
    "aot_inductor": "AOTInductor",
    "autocast": "autocast",
    "inference_mode": "inference mode",
    "non_contiguous": "non-contiguous",
    "zero_size": "zero size",
    "threads": "threads",
    "fork": "fork",
    "streams": "streams",
    "cuda_graphs": "CUDA graphs",
}
"""Features in the order of the page, with their names in words."""

CELLS = {
    "works": ("✓", "works", "yes"),
    "refused": ("!", "refused", "part"),
    "fails": ("✗", "fails", "no"),
    "did not run": ("–", "did not run", "muted"),
    "not applicable": ("·", "not applicable", "muted"),
}
"""Sign, word and CSS class of a status; the sign and the word carry the meaning without the colour."""


def integration_table(pack: Pack) -> Context:
    """Features as lines, routes as columns; `notes` lists the messages, one for all routes that share it."""
    rows = pack.rows("integration")
    everywhere = sorted({row["route"] for row in rows}, key=order)
    routes = [route for route in everywhere if not _beside_the_point(rows, route)]
    known = {feature: place for place, feature in enumerate(NAMES)}
    features = sorted({row["feature"] for row in rows}, key=lambda name: (known.get(name, len(known)), name))
    cells = {(row["feature"], row["route"]): (index, row) for index, row in enumerate(rows)}
    lines = []
    for feature in features:
        some = [_cell(*cells[feature, route]) if (feature, route) in cells else _empty() for route in routes]
        lines.append({"name": NAMES.get(feature, feature), "cells": some})
    return {
        "routes": routes,
        "lines": lines,
        "notes": _notes(rows, features),
        "legend": [{"sign": sign, "word": word, "tone": tone} for sign, word, tone in CELLS.values()],
        "counts": _counts(rows, routes),
        "left_out": [
            (route, next(row["message"] for row in rows if row["route"] == route))
            for route in everywhere
            if route not in routes
        ],
    }


def _beside_the_point(rows: list[Row], route: str) -> bool:
    return all(row["status"] == "not applicable" for row in rows if row["route"] == route)


def _cell(index: int, row: Row) -> Context:
    sign, word, tone = CELLS.get(row["status"], (row["status"], row["status"], "plain"))
    return {"id": f"integration-{index}", "sign": sign, "word": word, "tone": tone, "message": row["message"] or ""}


def _empty() -> Context:
    return {"id": None, "sign": "–", "word": "not in this pack", "tone": "muted", "message": ""}


def _notes(rows: list[Row], features: list[str]) -> list[Context]:
    """Feature by feature what failed first, then what was refused, then remarks; equal messages are said once."""
    statuses = list(CELLS)
    urgency = {"fails": 0, "refused": 1, "works": 2}
    notes = []
    for feature in features:
        joined: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            if row["feature"] == feature and row["message"] and row["status"] in urgency:
                joined.setdefault((row["status"], row["message"]), []).append(row["route"])
        entries = [
            {
                "routes": ", ".join(sorted(routes, key=order)),
                "word": CELLS[status][1],
                "tone": CELLS[status][2],
                "message": message,
            }
            for (status, message), routes in sorted(
                joined.items(), key=lambda item: (urgency[item[0][0]], statuses.index(item[0][0]))
            )
        ]
        if entries:
            notes.append({"name": NAMES.get(feature, feature), "entries": entries})
    return notes


def _counts(rows: list[Row], routes: list[str]) -> list[Context]:
    """Per route: works, refused and fails of what was probed."""
    counted = []
    for route in routes:
        statuses = [row["status"] for row in rows if row["route"] == route]
        probed = sum(statuses.count(status) for status in ("works", "refused", "fails"))
        counted.append({"works": statuses.count("works"), "probed": probed, "fails": statuses.count("fails")})
    return counted
