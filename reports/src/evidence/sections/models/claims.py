"""Claims about whole models: layers replaced one by one, and what that makes cheaper."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, representative, side_of
from evidence.core.thresholds import COST_CUT, COST_FACTOR
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, judges, pointers, word
from evidence.sections.models.names import INT8, NEITHER
from evidence.sections.models.readings import of_kind, right


@judges("replace-layers")
def replace_layers(pack: Pack) -> Judgement | None:
    """Each stage without int8 on each Mojo route in each model and dtype: it gives the original's greedy tokens, or
    another one only where the original's logits are nearer to each other than twice their error allowed, and its logits
    are within that error of float64 (twice the original's own and a rounding step). Holds when all do, in part when
    some do."""
    rows = [one for one in of_kind(pack, "answers") if one.row["stage"] != INT8 and one.row["route"] not in NEITHER]
    mojo = [one for one in rows if side_of(one.row["route"]) == MOJO]
    if not mojo:
        return None
    said = []
    for side, name in ((MOJO, "Mojo"), (CPP, "C++")):
        some = [one.row for one in rows if side_of(one.row["route"]) == side]
        if some:
            same = sum(row["tokens_same"] == row["tokens"] for row in some)
            good = sum(right(row) for row in some)
            said.append(f"{name}: {good} of {len(some)} stages as the original, {same} with the same tokens throughout")
    models = sorted({one.row["model"] for one in mojo})
    yes = sum(right(one.row) for one in mojo)
    return Judgement(word(yes, len(mojo)), f"{', '.join(models)}. {'; '.join(said)}.", pointers(mojo))


@judges("cost")
def cost(pack: Pack) -> Judgement | None:
    """At one price an hour, cost falls as tokens a second rise. Mojo's representative in its best stage of all models,
    decode at batch 1 against the original: holds when it is shown to be {COST_FACTOR:.0f} times as fast, in part when
    it is as fast as a cost cut by {COST_CUT:.0%} needs, else it does not hold. What another machine costs, the reader's
    own prices say."""
    rows = [
        one
        for one in of_kind(pack, "speed")
        if one.row["phase"] == "decode" and one.row["batch"] == 1 and one.row["route"] not in NEITHER
    ]
    mojo = [one for one in rows if one.row["route"] == representative(MOJO)]
    if not mojo:
        return None
    best = max(mojo, key=lambda one: one.row["ratio"])
    others = [one for one in rows if one.row["route"] == representative(CPP)]
    needed = 1 / (1 - COST_CUT)
    row = best.row
    verdict = HOLDS if row["low"] >= COST_FACTOR else IN_PART if row["low"] >= needed else DOES_NOT_HOLD
    said = (
        f"Needed for a tenth of the cost: {COST_FACTOR:.0f}×, for {COST_CUT:.0%} less {needed:.1f}×. Best with Mojo: "
        f"{text.factor(row['ratio'])} ({row['model']} {row['dtype']}, {row['stage']}, {row['route']})"
    )
    if others:
        other = max(others, key=lambda one: one.row["ratio"]).row
        said += f"; with C++: {text.factor(other['ratio'])} ({other['model']} {other['dtype']}, {other['stage']})"
    return Judgement(verdict, f"{said}.", pointers(rows))
