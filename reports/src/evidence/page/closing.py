"""Claims, losses and correctness in tables."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import RAN, Pack, Row
from evidence.core.routes import SIDE_NAMES, SIDES, order, side_of
from evidence.judge.claims import claims as judge_claims
from evidence.judge.losses import Loss, counts, losses
from evidence.page.common import Context, pointers


def claim_rows(pack: Pack) -> list[Row]:
    """The claims as recorded; judged here for a pack that an interruption left without."""
    return pack.rows("claims") if pack.section_status("claims") == RAN else judge_claims(pack)


def claim(row: Row) -> Context:
    """One claim, with its tone and the links to its rows."""
    tones = {"holds": "yes", "holds in part": "part", "does not hold": "no"}
    return {
        "claim": None,
        "rule": None,
        **row,
        "tone": tones.get(row["verdict"], "absent"),
        "links": pointers(row["rows"]),
    }


def loss_lists(pack: Pack, routes: list[str]) -> list[Context]:
    """Per side: how many losses of each kind, and every one of them, worst first."""
    lists = []
    measured = {side: any(side_of(route) == side for route in routes) for side in SIDES}
    for side, found in losses(pack).items():
        lists.append({
            "side": side,
            "name": SIDE_NAMES[side],
            "measured": measured[side],
            "counts": [f"{name}: {number}" for name, number in sorted(counts(found))],
            "rows": [_loss(loss) for loss in found],
        })  # fmt: skip
    return lists


def _loss(loss: Loss) -> Context:
    exact = loss.factor.low == loss.factor.high
    return {
        "kind": loss.kind,
        "what": loss.what,
        "routes": f"{loss.route} against {loss.against}",
        "factor": text.factor(loss.factor.mid) if exact else text.ratio(loss.factor),
        "noisy": loss.noisy,
        "links": pointers(list(loss.rows)),
    }


def correctness_table(pack: Pack) -> Context:
    """Routes against ops: passed of run, with the first message of a failure."""
    ops = list(dict.fromkeys(row["op"] for row in pack.rows("correctness")))
    lines: dict[str, dict[str, list[Row]]] = {}
    for index, row in enumerate(pack.rows("correctness")):
        lines.setdefault(row["route"], {}).setdefault(row["op"], []).append({**row, "id": f"correctness-{index}"})
    rows = []
    for route in sorted(lines, key=order):
        cells = []
        for op in ops:
            some = lines[route].get(op, [])
            passed, failed, skipped = (sum(row[key] for row in some) for key in ("passed", "failed", "skipped"))
            words = "–" if not some else f"{passed} of {passed + failed}" + (f", {skipped} skipped" if skipped else "")
            messages = [f"{row['dtype']}: {row['message']}" for row in some if row["message"]]
            cells.append(
                {"ids": [row["id"] for row in some], "text": words, "failed": bool(failed), "note": "; ".join(messages)}
            )
        rows.append({"route": route, "cells": cells})
    return {"ops": ops, "rows": rows}
