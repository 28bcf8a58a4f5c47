"""What the page shows of whole models: by model and dtype, what each stage answers, gives and could give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import order
from evidence.core.status import MUTED, NOT_TRIED, PARTLY, RIGHT, WRONG, Status
from evidence.core.thresholds import COST_CUT, COST_CUT_MOST, COST_FACTOR
from evidence.judge.busy import busy_words
from evidence.judge.prices import Prices, check_prices
from evidence.page.blocks import Block, Details, Figure, Heading, Listing, Text, banner, prose, rows_details
from evidence.page.common import ROUTE_NAMES, by_name, finding, loose_table
from evidence.page.table import BOTH, Cell, Table, columns, numbers, row
from evidence.page.table import Row as Line
from evidence.sections.models.names import AGAIN, INT8, NEITHER, NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.readings import Gain, gains, right
from evidence.sections.models.row import (
    AnswersRow,
    LostRow,
    ModelRow,
    RefusedRow,
    ShareRow,
    SpeedRow,
    StageRow,
    StartRow,
)

HEADS = {OWN_FORMULAS: "PyTorch baseline with the same rewrite", NO_WORK: "Upper limit (ops that do nothing)"}


def content(pack: Pack) -> list[Block]:
    """What the ops give whole models; folded: answers, every phase, shares, start, cost and every row."""
    blocks: list[Block] = [*finding(*_findings(pack)), *banner(pack, "models", "Models", BOTH)]
    if pack.table(AnswersRow):
        blocks += _results(pack)
    if rows := pack.rows("models"):
        blocks.append(rows_details("Every row", loose_table("Models rows", rows, "models")))
    return blocks


def _findings(pack: Pack) -> Iterator[str]:
    """Decoding with all ops in place, by side, and whether the answers stay the same."""
    if not pack.table(AnswersRow):
        return
    gained: dict[str, list[float]] = {}
    for _, variants in _decoded(pack):
        for route, gain in variants.get(FULL, {}).items():
            gained.setdefault(route, []).append(gain.row.ratio)
    ranges = {route: f"{text.short(min(ratios))}–{text.factor(max(ratios))}" for route, ratios in gained.items()}
    if figures := by_name(ranges):
        yield f"Tokens a second with every op that keeps the answers, relative to the original: {figures}."
    checked = [answer for answer in pack.table(AnswersRow) if answer.stage != INT8 and answer.route not in NEITHER]
    kept = sum(map(right, checked))
    yield f"Answers are those of the original, within rounding error, in {kept} of {len(checked)} stages."


METHODS = {
    "models": "Ops are swapped in stage by stage; each stage keeps those before it. Models of transformers with seeded "
    "random weights in the sizes of real ones, or the reader's own. "
    "One process holds a model and puts every stage of every route in and out of it, so that all are timed in the "
    "same rounds (A B B A); a ratio is taken within a round. Decode: single steps from a cache of 128 tokens; "
    "prefill: one pass. The PyTorch baseline with the same rewrite: transformers' own formulas in the same "
    "places, which shows what the rewrite alone is worth. The upper limit: ops that return at once, so the most "
    "that faster ops could give (Amdahl); with the weights read, it adds their bytes at the read bandwidth "
    "measured. A share of what could be saved is given only where a stage is shown to be faster. Greedy tokens: 5 "
    "prompts, 64 new tokens. "
    "Logits are checked against float64: twice the original's error and one rounding step are allowed.",
}


def _results(pack: Pack) -> list[Block]:
    settings = pack.facts("settings")
    prices = check_prices(settings["prices"], "settings.facts.prices of the pack") if settings.get("prices") else None
    remark = _other_run(pack)
    compiled, starts, unchanged = compiled_table(pack), start_table(pack), _unchanged(pack)
    folds = [
        Details("The same answers?", tuple(_answers(pack)), "stage by stage", "models-answers", "data"),
        Details(
            "Tokens a second, stage by stage",
            (Figure("models"), *(block for key, group in gains(pack) for block in _speed(key, group))),
            "prefill and decode, batch 1 and 8",
            "models-speed",
            "data",
        ),
        Details("Share of the time that each op takes", (Listing(tuple(_shares(pack))),), "", "models-shares", "data"),
        *([Details("Under torch.compile", (compiled,), "", "models-compile", "data")] if compiled.rows else []),
        *(
            [Details("Start of a process to its first token", (starts,), "", "models-start", "data")]
            if starts.rows
            else []
        ),
        Details("What does it save?", (Text(_needs(prices)), cost_table(pack, prices)), "", "models-cost", "data"),
        *([Details("Left as it was", (Listing(tuple(unchanged)),), "", "models-left", "data")] if unchanged else []),
    ]
    return [
        *([Text(remark, "note")] if remark else []),
        model_table(pack),
        *([Text(INT8_NOTE, "note", BOTH)] if any(gain.row.stage == INT8 for _, gain in _all_gains(pack)) else []),
        *folds,
    ]


INT8_NOTE = "int8: speed only: random weights, quality not measured."
FULL, QUANTISED = "full", "int8"
"""All ops that keep the answers, and those with int8 weights on top."""

Decoded = dict[str, dict[str, Gain]]


def _all_gains(pack: Pack) -> Iterator[tuple[tuple[str, str, str, int], Gain]]:
    for key, group in gains(pack):
        yield from ((key, gain) for gain in group)


def _decoded(pack: Pack) -> Iterator[tuple[tuple[str, str], Decoded]]:
    """(model, dtype) -> variant -> route -> gain of the two sides and the engine, decode at batch 1.

    The variants are the last stage that keeps the answers, and the one with int8 weights.
    """
    for (model, dtype, phase, batch), group in gains(pack):
        if (phase, batch) != ("decode", 1):
            continue
        variants: Decoded = {}
        for gain in group:
            if gain.row.route in ROUTE_NAMES:
                # Stages follow each other, so the last one of a route is the one with all its ops.
                variant = QUANTISED if gain.row.stage == INT8 else FULL
                variants.setdefault(variant, {})[gain.row.route] = gain
        yield (model, dtype), variants


def model_table(pack: Pack) -> Table:
    """Models against the two sides and the engine: decode with all ops, and with int8 weights on top."""
    originals = {
        key[:2]: gain.row.tokens_per_second
        for key, gain in _all_gains(pack)
        if gain.row.route == ORIGINAL and key[2:] == ("decode", 1)
    }
    decoded = list(_decoded(pack))
    shown = [
        (variant, route)
        for variant in (FULL, QUANTISED)
        for route in ROUTE_NAMES
        if any(route in variants.get(variant, {}) for _, variants in decoded)
    ]
    rows = (
        row(
            Cell(Markup('<span class="nowrap">{}</span>').format(model), notes=(dtype,)),
            text.short(originals[model, dtype]) if (model, dtype) in originals else "–",
            *(_decoded_cell(variants.get(variant, {}).get(route)) for variant, route in shown),
        )
        for (model, dtype), variants in decoded
    )
    names = {FULL: "{}", QUANTISED: "{}, int8"}
    heads = columns(
        "Model", *numbers("Tokens/s", *(names[variant].format(ROUTE_NAMES[route]) for variant, route in shown))
    )
    caption = "Decode at batch 1 with all ops in place, relative to the original (95% interval)."
    return Table("Models", heads, tuple(rows), caption, "short", joint=", ", where=BOTH)


def _decoded_cell(gain: Gain | None) -> Cell:
    if gain is None:
        return Cell("–")
    return Cell(text.factor(gain.row.ratio), notes=(f"{text.short(gain.row.low)}–{text.short(gain.row.high)}",))


def _other_run(pack: Pack) -> str:
    """What must be known of the run that measured the models, first of all whether the machine was busy."""
    settings = pack.facts("settings")
    cores = pack.facts("machine").get("cores_usable")
    warning = busy_words(cores or 1, settings.get("models_load_others_before"), None)
    sentences = [warning] if warning else []
    if settings.get("models_commit") not in (None, settings.get("commit")):
        commit = str(settings["models_commit"])[:10]
        sentences.append(f"The models were measured in a run of their own, of commit {commit}.")
    if settings.get("models_quick"):
        sentences.append("It was a quick one.")
    return " ".join(sentences)


def _routes(rows: Iterable[ModelRow]) -> list[str]:
    """The routes of some rows in report order, between the baseline and the limit."""
    named = {line.route for line in rows}
    baseline = [name for name in (OWN_FORMULAS,) if name in named]
    return [*baseline, *sorted(named - set(NEITHER), key=order), *[name for name in (NO_WORK,) if name in named]]


def _heads(routes: list[str]) -> list[str]:
    return [HEADS.get(route, route) for route in routes]


def _answers(pack: Pack) -> list[Block]:
    """A heading and a table for each model and dtype."""
    rows = pack.table(AnswersRow)
    blocks: list[Block] = []
    for model, dtype in dict.fromkeys((answer.model, answer.dtype) for answer in rows):
        title = f"{model}, {dtype}"
        answers = [answer for answer in rows if (answer.model, answer.dtype) == (model, dtype)]
        swapped = {
            (stage.stage, stage.route): stage.swapped
            for stage in pack.table(StageRow)
            if (stage.model, stage.dtype) == (model, dtype)
        }
        blocks += [Heading(title, 4), answer_table(title, answers, swapped)]
    return blocks


def answer_table(title: str, answers: list[AnswersRow], swapped: Mapping[tuple[str, str], Mapping[str, int]]) -> Table:
    """Stages against routes: whether a variant says what the original says; `swapped` is (stage, route) -> ops."""
    routes = _routes(answers)
    by_key = {(answer.stage, answer.route): answer for answer in answers}
    lines = []
    for stage in dict.fromkeys(answer.stage for answer in answers):
        ops = next((swapped[stage, route] for route in routes if (stage, route) in swapped), {})
        notes = ", ".join(f"{count} {op}" for op, count in ops.items())
        lines.append(row(Cell(stage, notes=(notes,)), *(_answer(by_key.get((stage, route))) for route in routes)))
    heads = columns("Stage", *_heads(routes))
    return Table(f"Answers of {title}", heads, tuple(lines), classes="grid wrap")


def _answer(answer: AnswersRow | None) -> Cell:
    if answer is None:
        return Cell(statuses=(NOT_TRIED.called("not there"),))
    notes = [f"{answer.tokens_same} of {answer.tokens} tokens", f"logits off by {_short(answer.error)}"]
    if answer.stage == INT8:
        notes.append(f"perplexity {answer.own_perplexity:.1f} → {answer.perplexity:.1f}")
        return Cell(statuses=(Status("≈", "speed only", MUTED),), notes=tuple(notes))
    notes[-1] += f", allowed {text.short(answer.allowed)}"
    if answer.how != "generated":
        notes.append("by one pass over the original's text")
    if not right(answer):
        status = WRONG.called("differs")
    elif answer.tokens_same == answer.tokens:
        status = RIGHT.called("the same")
    else:
        status = PARTLY.called("ties broken otherwise")
        notes.append(f"largest gap between the two choices: {_short(answer.largest_gap)}")
    return Cell(statuses=(status,), notes=tuple(notes))


def _short(value: float | None) -> str:
    return "–" if value is None else text.short(value)


def _speed(key: tuple[str, str, str, int], group: list[Gain]) -> list[Block]:
    """A heading, the spread of the original against itself, and a table for one phase of one model."""
    model, dtype, phase, batch = key
    rows = [gain.row for gain in group]
    original = next((measured for measured in rows if measured.route == ORIGINAL), None)
    again = next((measured for measured in rows if measured.route == AGAIN), None)
    rate = f"{text.short(original.tokens_per_second)} tokens/s" if original else "not measured"
    title = f"{model}, {dtype}: {phase}, batch {batch}"
    blocks: list[Block] = [Heading(title, 4, note=f"original: {rate}")]
    if again:
        blocks.append(Text(f"Against itself, elsewhere in the same rounds: {_ratio(again)}.", "note"))
    return [*blocks, speed_table(title, group)]


def speed_table(title: str, group: list[Gain]) -> Table:
    """Stages against routes: tokens a second against the original, and what share of the possible that is."""
    rows = [gain.row for gain in group]
    routes = _routes(rows)
    by_key = {(gain.row.stage, gain.row.route): gain for gain in group}
    stages = dict.fromkeys(measured.stage for measured in rows if measured.stage != ORIGINAL)
    lines = (row(stage, *(_gain(by_key.get((stage, route))) for route in routes)) for stage in stages)
    heads = columns("Stage", *_heads(routes))
    return Table(f"Speed of {title}", heads, tuple(lines), classes="grid wrap")


def _ratio(measured: SpeedRow) -> str:
    return f"{text.factor(measured.ratio)} ({text.short(measured.low)} to {text.short(measured.high)})"


def _gain(gain: Gain | None) -> Cell:
    if gain is None:
        return Cell("–")
    measured = gain.row
    notes = [f"{text.short(measured.tokens_per_second)} tokens/s"]
    if measured.route == NO_WORK:
        if gain.floor and gain.floor < gain.bound * 0.99:  # type: ignore[operator]
            notes.append(f"{text.factor(gain.floor)} if the weights are read")
    elif measured.route not in NEITHER and measured.high < 1.0:
        notes.append("slower than the original")
    elif measured.route not in NEITHER:
        for limit, name in ((gain.bound, "that ops without work would save"), (gain.floor, "that with weights read")):
            share = gain.reached(limit)
            if share is not None:
                notes.append(f"{share:.0%} of the time {name}")
    return Cell(_ratio(measured), notes=tuple(notes))


def _shares(pack: Pack) -> list[str]:
    """Per model and phase, the share of the time that each op takes."""
    shares: dict[str, list[str]] = {}
    for share in pack.table(ShareRow):
        op = f"{share.op} {share.share:.1%} in {text.count(share.places, 'place')}"
        shares.setdefault(f"{share.model}, {share.dtype}, {share.phase}", []).append(op)
    return [f"{variant}: {'; '.join(ops)}." for variant, ops in shares.items()]


def start_table(pack: Pack) -> Table:
    """Seconds from the start of a process to its first token, and its peak memory."""
    starts = pack.table(StartRow)
    marks = list(dict.fromkeys(mark for start in starts for mark in start.marks))
    rows = (
        row(
            Cell(f"{start.model}, {start.dtype}: {start.route}", notes=(start.stage,)),
            text.seconds(sum(value for mark, value in start.marks.items() if mark != "second token")),
            *(text.seconds(start.marks.get(mark)) for mark in marks),
            text.size(start.peak_bytes),
        )
        for start in starts
    )
    heads = columns("Variant", *numbers("First token after", *(mark.capitalize() for mark in marks), "Peak memory"))
    return Table("Start to first token", heads, tuple(rows))


def compiled_table(pack: Pack) -> Table:
    """Variants under torch.compile, against themselves without it."""
    rows = (
        row(
            f"{variant.model}, {variant.dtype}: {variant.route}, {variant.stage}",
            f"{text.short(variant.tokens_per_second)} tokens/s",
            _ratio(variant),
            text.seconds(variant.compile_seconds),
        )
        for variant in pack.table(SpeedRow)
        if variant.how == "torch.compile"
    )
    heads = columns("Variant", *numbers("Decode", "Against itself without compile", "Compile"))
    return Table("Decode under torch.compile", heads, tuple(rows))


def _needs(prices: Prices | None) -> str:
    """What the talk's claims about cost need, and where the reader's own prices go."""
    needs = (
        f"a tenth of the cost needs {text.factor(COST_FACTOR)} the tokens a second",
        *(
            f"{cut:.0%} less needs {text.factor(1 / (1 - cut))} the tokens a second"
            for cut in (COST_CUT, COST_CUT_MOST)
        ),
    )
    sentence = f"At one price an hour, {', '.join(needs)}."
    return sentence if prices else prose(f"{sentence} Costs stand here once `reports/prices.toml` has your own prices.")


def cost_table(pack: Pack, prices: Prices | None) -> Table:
    """The original and the best variant of each route, decode at batch 1: tokens a second and, with prices, cost."""
    heads = columns(
        "Model", "Route", "Its best stage", *numbers("Decode, tokens/s", "Against the original", "Cost saved")
    )
    lines = []
    for (model, dtype, phase, batch), group in gains(pack):
        if (phase, batch) != ("decode", 1):
            continue
        best: dict[str, SpeedRow] = {}
        for measured in (gain.row for gain in group):
            route = measured.route
            if route in NEITHER and route != ORIGINAL:
                continue
            if route not in best or measured.ratio > best[route].ratio:
                best[route] = measured
        lines += [_cost(f"{model}, {dtype}", measured, prices) for measured in best.values()]
    priced = numbers("A million tokens") if prices else ()
    return Table("Cost by route", (*heads, *priced), tuple(lines))


def _cost(model: str, best: SpeedRow, prices: Prices | None) -> Line:
    cost = prices.per_million(best.tokens_per_second) if prices else None
    return row(
        model,
        best.route,
        best.stage,
        text.short(best.tokens_per_second),
        text.factor(best.ratio),
        "–" if best.route == ORIGINAL else _saved(best),
        *(["–" if cost is None else f"{cost:.2f} {prices.currency}"] if prices else []),
    )


def _saved(best: SpeedRow) -> str:
    """Cost saved against the original, where the variant is shown to be faster."""
    return f"{1 - 1 / best.ratio:.0%}" if best.low > 1.0 else "none shown"


def _unchanged(pack: Pack) -> list[str]:
    """Ops that were not replaced, with the reason, and variants that were refused or lost."""
    reasons: dict[str, set[str]] = {}
    for stage in pack.table(StageRow):
        if stage.route not in NEITHER:
            for op, reason in stage.left:
                reasons.setdefault(f"{op}: {reason}", set()).add(stage.model)
    refused = [
        f"{variant.model} {variant.dtype}, {variant.stage}, {variant.route}: {variant.message}"
        for variants in (pack.table(RefusedRow), pack.table(LostRow))
        for variant in variants
    ]
    return [f"{reason} ({', '.join(sorted(models))})" for reason, models in reasons.items()] + refused
