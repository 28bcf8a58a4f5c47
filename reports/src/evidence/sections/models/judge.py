"""Claims about whole models: layers replaced one by one, and what that makes cheaper."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, representative, side_of
from evidence.core.thresholds import COST_CUT, COST_FACTOR
from evidence.judge.claims import Claim
from evidence.judge.judgement import DOES_NOT_HOLD, HOLDS, IN_PART, Judgement, pointers, word
from evidence.sections.models.names import INT8, NEITHER
from evidence.sections.models.readings import right
from evidence.sections.models.row import AnswersRow, SpeedRow


def replace_layers(pack: Pack) -> Judgement | None:
    """Each stage without int8 on each Mojo route in each model and dtype: it gives the original's greedy tokens, or
    another one only where the original's logits are nearer to each other than twice their error allowed, and its logits
    are within that error of float64 (twice the original's own and a rounding step). Holds when all do, in part when
    some do."""
    rows = [row for row in pack.pointed(AnswersRow) if row.row.stage != INT8 and row.row.route not in NEITHER]
    mojo = [row for row in rows if side_of(row.row.route) == MOJO]
    if not mojo:
        return None
    parts = []
    for side, name in ((MOJO, "Mojo"), (CPP, "C++")):
        stages = [row.row for row in rows if side_of(row.row.route) == side]
        if stages:
            same = sum(row.tokens_same == row.tokens for row in stages)
            good = sum(right(row) for row in stages)
            parts.append(
                f"{name}: {good} of {len(stages)} stages as the original, {same} with the same tokens throughout"
            )
    models = sorted({row.row.model for row in mojo})
    yes = sum(right(row.row) for row in mojo)
    return Judgement(word(yes, len(mojo)), f"{', '.join(models)}. {'; '.join(parts)}.", pointers(mojo))


def cost(pack: Pack) -> Judgement | None:
    """At one price an hour, cost falls as tokens a second rise. Mojo's representative in its best stage of all models,
    decode at batch 1 against the original: holds when it is shown to be {COST_FACTOR:.0f} times as fast, in part when
    it is as fast as a cost cut by {COST_CUT:.0%} needs, else it does not hold. What another machine costs, the reader's
    own prices say."""
    rows = [
        row
        for row in pack.pointed(SpeedRow)
        if row.row.phase == "decode" and row.row.batch == 1 and row.row.route not in NEITHER
    ]
    mojo = [row for row in rows if row.row.route == representative(MOJO)]
    if not mojo:
        return None
    best = max(mojo, key=lambda row: row.row.ratio).row
    cpp = [row for row in rows if row.row.route == representative(CPP)]
    needed = 1 / (1 - COST_CUT)
    verdict = HOLDS if best.low >= COST_FACTOR else IN_PART if best.low >= needed else DOES_NOT_HOLD
    evidence = (
        f"Needed for a tenth of the cost: {COST_FACTOR:.0f}×, for {COST_CUT:.0%} less {needed:.1f}×. Best with Mojo: "
        f"{text.factor(best.ratio)} ({best.model} {best.dtype}, {best.stage}, {best.route})"
    )
    if cpp:
        other = max(cpp, key=lambda row: row.row.ratio).row
        evidence += f"; with C++: {text.factor(other.ratio)} ({other.model} {other.dtype}, {other.stage})"
    return Judgement(verdict, f"{evidence}.", pointers(rows))


CLAIMS = (
    Claim("replace-layers", 170, "LLM ops and layers can be replaced one by one.",
          "GPT-2 and a Llama-style model with replaced layers: same greedy tokens, tokens per second", replace_layers),
    Claim("cost", 180, "Up to 10x lower cost; 70-85 % cost reduction.",
          "end-to-end tokens per second of both sides and the reader's own prices", cost),
)  # fmt: skip
