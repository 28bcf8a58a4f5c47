"""The section `models` as a page shows it: by model and dtype, what each stage says, gives and could give."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack, Row
from evidence.core.routes import order
from evidence.core.thresholds import COST_CUT, COST_CUT_MOST, COST_FACTOR
from evidence.judge.busy import busy_words
from evidence.judge.judgement import pointed
from evidence.judge.prices import Prices, check_prices
from evidence.page.common import Context, loose_table
from evidence.sections.models.names import AGAIN, INT8, NEITHER, NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.readings import Gain, gains, of_kind, right

HEADS = {OWN_FORMULAS: "PyTorch baseline with the same rewrite", NO_WORK: "Upper limit (ops that do nothing)"}


def models_section(pack: Pack) -> Context:
    """Everything about the models; empty lists where nothing was measured."""
    rows = pointed(pack, "models")
    settings = pack.facts("settings")
    prices = check_prices(settings["prices"], "settings.facts.prices of the pack") if settings.get("prices") else None
    blocks = list(dict.fromkeys((one.row["model"], one.row["dtype"]) for one in rows if one.row["kind"] == "answers"))
    return {
        "answers": [_answers(pack, *block) for block in blocks],
        "speeds": [_speed(key, found) for key, found in gains(pack)],
        "shares": _shares(pack),
        "starts": _starts(pack),
        "compiled": [_compiled(one.row) for one in of_kind(pack, "speed") if one.row["how"] == "torch.compile"],
        "costs": _costs(pack, prices),
        "needs": [
            {"claim": "a tenth of the cost", "speed": text.factor(COST_FACTOR)},
            {"claim": f"{COST_CUT:.0%} less", "speed": text.factor(1 / (1 - COST_CUT))},
            {"claim": f"{COST_CUT_MOST:.0%} less", "speed": text.factor(1 / (1 - COST_CUT_MOST))},
        ],
        "priced": prices is not None,
        "left": _left(pack),
        "rows": loose_table(pack.rows("models")),
        "commit": _other_run(pack),
    }


def _other_run(pack: Pack) -> str:
    """What must be known of the run that measured the models, first of all whether the machine was busy."""
    settings, words = pack.facts("settings"), []
    cores = pack.facts("machine").get("cores_usable")
    warning = busy_words(cores or 1, settings.get("models_load_others_before"), None)
    if warning:
        words.append(warning)
    if settings.get("models_commit") not in (None, settings.get("commit")):
        words.append(
            f"The models were measured in a run of their own, of commit {str(settings['models_commit'])[:10]}."
        )
    if settings.get("models_quick"):
        words.append("It was a quick one.")
    return " ".join(words)


def _routes(rows: list[Row]) -> list[str]:
    named = {row["route"] for row in rows}
    own = [name for name in (OWN_FORMULAS,) if name in named]
    return [*own, *sorted(named - set(NEITHER), key=order), *[name for name in (NO_WORK,) if name in named]]


def _answers(pack: Pack, model: str, dtype: str) -> Context:
    some = [one.row for one in of_kind(pack, "answers") if (one.row["model"], one.row["dtype"]) == (model, dtype)]
    counts = {
        (one.row["stage"], one.row["route"]): one.row["swapped"]
        for one in of_kind(pack, "stage")
        if (one.row["model"], one.row["dtype"]) == (model, dtype)
    }
    routes = _routes(some)
    stages = list(dict.fromkeys(row["stage"] for row in some))
    by_key = {(row["stage"], row["route"]): row for row in some}
    return {
        "title": f"{model}, {dtype}",
        "routes": [HEADS.get(route, route) for route in routes],
        "lines": [
            {
                "stage": stage,
                "swapped": ", ".join(
                    f"{count} {op}"
                    for op, count in next((counts[stage, r] for r in routes if (stage, r) in counts), {}).items()
                ),
                "cells": [_answer(by_key.get((stage, route))) for route in routes],
            }
            for stage in stages
        ],
    }


def _answer(row: Row | None) -> Context:
    if row is None:
        return {"sign": "·", "word": "not there", "tone": "muted", "notes": []}
    notes = [f"{row['tokens_same']} of {row['tokens']} tokens", f"logits off by {text.short(row['error'])}"]
    if row["stage"] == INT8:
        notes.append(f"perplexity {row['own_perplexity']:.1f} → {row['perplexity']:.1f}")
        return {"sign": "≈", "word": "another model", "tone": "muted", "notes": notes}
    notes[-1] += f", allowed {text.short(row['allowed'])}"
    if row["how"] != "generated":
        notes.append("by one pass over the original's text")
    if not right(row):
        return {"sign": "✗", "word": "differs", "tone": "no", "notes": notes}
    if row["tokens_same"] == row["tokens"]:
        return {"sign": "✓", "word": "the same", "tone": "yes", "notes": notes}
    notes.append(f"largest gap between the two choices: {text.short(row['largest_gap'])}")
    return {"sign": "◐", "word": "ties broken otherwise", "tone": "part", "notes": notes}


def _speed(key: tuple[str, str, str, int], found: list[Gain]) -> Context:
    model, dtype, phase, batch = key
    rows = [gain.row for gain in found]
    own = next((row for row in rows if row["route"] == ORIGINAL), None)
    again = next((row for row in rows if row["route"] == AGAIN), None)
    routes = _routes(rows)
    by_key = {(gain.row["stage"], gain.row["route"]): gain for gain in found}
    stages = list(dict.fromkeys(row["stage"] for row in rows if row["stage"] != ORIGINAL))
    return {
        "title": f"{model}, {dtype}: {phase}, batch {batch}",
        "own": f"{text.short(own['tokens_per_second'])} tokens/s" if own else "not measured",
        "again": f"Against itself, elsewhere in the same rounds: {_ratio(again)}." if again else "",
        "routes": [HEADS.get(route, route) for route in routes],
        "lines": [
            {"stage": stage, "cells": [_gain(by_key.get((stage, route))) for route in routes]} for stage in stages
        ],
    }


def _ratio(row: Row) -> str:
    return f"{text.factor(row['ratio'])} ({text.short(row['low'])} to {text.short(row['high'])})"


def _gain(gain: Gain | None) -> Context:
    if gain is None:
        return {"text": "–", "notes": []}
    row = gain.row
    ratio = _ratio(row)
    notes = [f"{text.short(row['tokens_per_second'])} tokens/s"]
    if row["route"] == NO_WORK:
        if gain.floor and gain.floor < gain.bound * 0.99:  # type: ignore[operator]
            notes.append(f"{text.factor(gain.floor)} if the weights are read")
        return {"text": ratio, "notes": notes}
    if row["route"] not in NEITHER:
        if row["high"] < 1.0:
            return {"text": ratio, "notes": [*notes, "slower than the original"]}
        for limit, name in ((gain.bound, "that ops without work would save"), (gain.floor, "that with weights read")):
            share = gain.reached(limit)
            if share is not None:
                notes.append(f"{share:.0%} of the time {name}")
    return {"text": ratio, "notes": notes}


def _shares(pack: Pack) -> list[Context]:
    found: dict[tuple[str, str], list[str]] = {}
    for one in of_kind(pack, "share"):
        row = one.row
        words = f"{row['op']} {row['share']:.1%} in {text.count(row['places'], 'place')}"
        found.setdefault((f"{row['model']}, {row['dtype']}", row["phase"]), []).append(words)
    return [{"model": model, "phase": phase, "text": "; ".join(words)} for (model, phase), words in found.items()]


def _starts(pack: Pack) -> Context:
    rows = [one.row for one in of_kind(pack, "start")]
    marks = list(dict.fromkeys(mark for row in rows for mark in row["marks"]))
    return {
        "marks": marks,
        "lines": [
            {
                "title": f"{row['model']}, {row['dtype']}: {row['route']}",
                "stage": row["stage"],
                "cells": [text.seconds(row["marks"].get(mark)) for mark in marks],
                "first": text.seconds(sum(value for mark, value in row["marks"].items() if mark != "second token")),
                "peak": text.size(row["peak_bytes"]),
            }
            for row in rows
        ],
    }


def _compiled(row: Row) -> Context:
    return {
        "title": f"{row['model']}, {row['dtype']}: {row['route']}, {row['stage']}",
        "rate": f"{text.short(row['tokens_per_second'])} tokens/s",
        "ratio": _ratio(row),
        "compile": text.seconds(row["compile_seconds"]),
    }


def _costs(pack: Pack, prices: Prices | None) -> list[Context]:
    """The original and the best variant of each route, decode at batch 1: tokens a second and, with prices, cost."""
    lines = []
    for (model, dtype, phase, batch), found in gains(pack):
        if (phase, batch) != ("decode", 1):
            continue
        best: dict[str, Row] = {}
        for gain in found:
            row = gain.row
            if row["route"] in NEITHER and row["route"] != ORIGINAL:
                continue
            if row["route"] not in best or row["ratio"] > best[row["route"]]["ratio"]:
                best[row["route"]] = row
        for route, row in best.items():
            cost = prices.per_million(row["tokens_per_second"]) if prices else None
            lines.append(
                {
                    "title": f"{model}, {dtype}",
                    "route": route,
                    "stage": row["stage"],
                    "rate": text.short(row["tokens_per_second"]),
                    "ratio": text.factor(row["ratio"]),
                    "less": "–" if route == ORIGINAL else _saved(row),
                    "cost": f"{cost:.2f} {prices.currency}" if prices and cost is not None else "–",
                }
            )
    return lines


def _saved(row: Row) -> str:
    """Cost saved against the original, where the variant is shown to be faster."""
    return f"{1 - 1 / row['ratio']:.0%}" if row["low"] > 1.0 else "none shown"


def _left(pack: Pack) -> list[str]:
    found: dict[str, set[str]] = {}
    for one in of_kind(pack, "stage"):
        if one.row["route"] not in NEITHER:
            for op, reason in one.row["left"]:
                found.setdefault(f"{op}: {reason}", set()).add(one.row["model"])
    refused = [
        f"{one.row['model']} {one.row['dtype']}, {one.row['stage']}, {one.row['route']}: {one.row['message']}"
        for kind in ("refused", "lost")
        for one in of_kind(pack, kind)
    ]
    return [f"{reason} ({', '.join(sorted(names))})" for reason, names in found.items()] + refused
