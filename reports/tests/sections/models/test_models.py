"""The section `models`: what its rows say, the claims that stand on them, prices, and a whole small run."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from evidence.core.machine import ROOT
from evidence.core.pack import RAN, empty_pack, read_pack, write_pack
from evidence.judge.claims import claims
from evidence.judge.conclude import conclude
from evidence.judge.prices import PricesError, check_prices, read_prices
from evidence.page.packed import unpacked
from evidence.page.report import render
from evidence.sections.models import answers, effort, speed, worker, zoo
from evidence.sections.models.command import store
from evidence.sections.models.functions import NOTHING, OWN
from evidence.sections.models.measure import Choice
from evidence.sections.models.names import AGAIN, INT8, NO_WORK, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.readings import gains, right
from evidence.sections.models.row import AnswersRow, LostRow, ModelRow
from evidence.sections.models.variants import Variants
from few_rows import typed
from msgspec import structs
from synthetic_models import FLOAT, answer, models_rows
from synthetic_models import speed as speed_row

transformers = pytest.importorskip("transformers")


def judged(name: str, rows: list) -> dict:
    pack = empty_pack()
    pack.set_rows("models", rows)
    return next(row for row in claims(pack) if row.id == name)


# the rules


def test_right_is_the_same_tokens_or_a_tie_within_the_error() -> None:
    assert right(typed(AnswersRow, answer("cpp")))
    assert right(typed(AnswersRow, answer("cpp", tokens_same=319, largest_gap=5e-6)))
    assert not right(typed(AnswersRow, answer("cpp", tokens_same=319, largest_gap=7e-6)))
    assert not right(typed(AnswersRow, answer("cpp", error=4e-6)))


def test_replace_layers_holds_in_part_or_not() -> None:
    assert judged("replace-layers", [answer("cpp")]).verdict == "not measured here"
    assert judged("replace-layers", [answer("mojo_aot"), answer("cpp", error=1.0)]).verdict == "holds"
    claim = judged("replace-layers", [answer("mojo_aot"), answer("mojo", tokens_same=9, largest_gap=1.0)])
    assert claim.verdict == "holds in part"
    assert "Mojo: 1 of 2 stages as the original, 1 with the same tokens throughout" in claim.evidence
    assert judged("replace-layers", [answer("mojo_aot", error=1.0)]).verdict == "does not hold"


def test_the_tables_that_are_neither_side_enter_no_claim() -> None:
    assert judged("replace-layers", [answer("own formulas")]).verdict == "not measured here"
    assert judged("cost", [speed_row("no work", FLOAT, 1000.0)]).verdict == "not measured here"


def test_cost_needs_the_claimed_factor() -> None:
    assert judged("cost", [speed_row("mojo_aot", FLOAT, 11.0)]).verdict == "does not hold"
    assert judged("cost", [speed_row("mojo_aot", FLOAT, 40.0)]).verdict == "holds in part"
    assert judged("cost", [speed_row("mojo_aot", FLOAT, 110.0)]).verdict == "holds"
    claim = judged("cost", models_rows())
    assert "for 70% less 3.3×" in claim.evidence
    assert "Best with Mojo: 2.40×" in claim.evidence
    assert "with C++: 2.50×" in claim.evidence


def test_what_a_stage_reached_of_its_bound() -> None:
    pack = empty_pack()
    pack.set_rows("models", models_rows())
    ((_, stage_gains),) = list(gains(pack))
    by_key = {(gain.row.stage, gain.row.route): gain for gain in stage_gains}
    cpp = by_key[FLOAT, "cpp"]
    assert cpp.bound == pytest.approx(1.25)
    assert cpp.reached(cpp.bound) == pytest.approx((1 - 10 / 12) / (1 - 10 / 12.5))
    int8 = by_key[INT8, "cpp"]
    # 20 ms without any product and 25 ms to read 1 GB at 40 GB/s, against 100 ms.
    assert int8.floor == pytest.approx(100 / 45)
    assert int8.reached(None) is None
    assert int8.reached(1.01) is None
    assert cpp.floor is None


# prices


def test_prices_are_not_filled_in() -> None:
    assert read_prices() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price_per_hour = 1", "currency is missing"),
        ("price_per_hour = 0\ncurrency = 'EUR'\nutilisation = 1", "price_per_hour is 0, expected a number above 0"),
        ("price_per_hour = true\ncurrency = 'EUR'\nutilisation = 1", "price_per_hour is True"),
        ("price_per_hour = 1\ncurrency = ''\nutilisation = 1", "currency is ''"),
        ("price_per_hour = 1\ncurrency = 'EUR'\nutilisation = 80", "utilisation is 80, expected a number above 0 and"),
        ("price = 1", "'price' is unknown"),
        ("price", "is not TOML"),
    ],
)
def test_bad_prices_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PricesError, match=message):
        read_prices(file)
    with pytest.raises(PricesError, match="does not exist"):
        read_prices(tmp_path / "none.toml")


def test_cost_of_a_million_tokens() -> None:
    prices = check_prices({"price_per_hour": 3.6, "currency": "EUR", "utilisation": 0.5}, "test")
    assert prices.per_million(10.0) == pytest.approx(200.0)  # 0.1 cent a second of which half pays: 5 tokens


# the page


def test_the_page_shows_models_and_costs_only_with_prices(tmp_path: Path) -> None:
    pack = empty_pack()
    pack.set_rows("models", models_rows())
    conclude(pack)
    write_pack(pack, tmp_path)
    render(tmp_path)
    page = unpacked((tmp_path / "report.html").read_text())
    assert "25 layer_norm" in page
    assert "ties broken otherwise" in page
    assert "Against itself, elsewhere in the same rounds: 0.99" in page
    assert " EUR" not in page
    prices = check_prices({"price_per_hour": 3.6, "currency": "EUR", "utilisation": 0.5}, "test")
    conclude(pack, prices=prices)
    write_pack(pack, tmp_path)
    render(tmp_path)
    assert "80.00 EUR" in unpacked((tmp_path / "report.html").read_text())  # 25 tokens a second
    assert read_pack(tmp_path).facts("settings")["prices"]["currency"] == "EUR"
    assert (tmp_path / "models.svg").exists()


def test_rows_take_the_place_of_their_own_kind_only() -> None:
    pack = empty_pack()
    pack.set_rows("models", models_rows())
    rows = pack.table(ModelRow)
    store(pack, rows, "abc", False)
    assert pack.section_status("models") != RAN
    store(pack, [row for row in rows if isinstance(row, AnswersRow)], "abc", False)
    assert len(pack.rows("models")) == len(rows)
    other = [structs.replace(row, dtype="bfloat16") for row in rows if not isinstance(row, LostRow)]
    store(pack, other, "abc", False)
    assert len(pack.rows("models")) == len(rows) + len(other)


def test_the_cases_of_a_run() -> None:
    quick = Choice(("gpt2",), ("float32",), quick=True).cases()
    assert [case["kind"] for case in quick] == ["measure", "start", "start", "start", "start"]
    part = Choice(("llama-1b",), ("float32",), parts=("measure",)).cases()
    assert [case["kind"] for case in part] == ["measure"]
    full = Choice(tuple(zoo.ZOO), ("float32", "bfloat16")).cases()
    assert sum(case["kind"] == "measure" for case in full) == 8
    assert {case["route"] for case in full if case["kind"] == "compiled"} == {"original", "cpp", "mojo_aot", "mojo"}


# a whole small model


@pytest.mark.parametrize("what", ["token", "step"])
@pytest.mark.parametrize("slower", [1.01, 0.99])
def test_a_model_that_would_take_too_long_is_left_out(
    monkeypatch: pytest.MonkeyPatch, slower: float, what: str
) -> None:
    """By what its rows need at least, not by how far a run got before it was stopped."""
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=300)
    case = {"model": "gpt2", "dtype": "float32", "quick": True, "routes": ["cpp", "mojo_aot"], "seconds": 1.0}
    ids = zoo.prompts("gpt2", 300)
    work = effort.least_work(ids, worker.QUICK_TOKENS, len(zoo.GPT2_STAGES), 2, 0.1, quick=True)
    long = slower * worker.MOST_SECONDS
    pace = effort.Pace(long / work.tokens, 0.0) if what == "token" else effort.Pace(1e-9, long / work.steps)
    monkeypatch.setattr(zoo, "load", lambda name, dtype: transformers.GPT2LMHeadModel(config).eval())
    monkeypatch.setattr(effort, "pace", lambda model, ids: pace)
    rows = worker.measure(case)
    first = next(rows)
    if slower > 1:
        assert first["kind"] == "lost"
        assert "0.5 hours" in first["message"]
        assert not list(rows)
    else:
        assert first["kind"] != "lost"


def test_least_work_is_what_the_measurement_does() -> None:
    """Counted by hand for five prompts of 16: 11 variants answer, 9 of a small model and 3 of a large one generate."""
    ids = torch.zeros(5, 16, dtype=torch.int64)
    small = effort.least_work(ids, 16, 5, 2, 0.1, quick=True)
    assert small.tokens == (11 + 9) * 80 + (1 + 2) * 160 + 2 * 8 * 2 * 128
    assert small.steps == 9 * 15
    large = effort.least_work(ids, 64, 5, 2, 1.0, quick=False)
    assert large.tokens == (11 + 3) * 80 + (1 + 8) * 400 + 2 * 8 * 2 * 256
    assert large.steps == 3 * 63 + 2 * 8 * 4


@pytest.mark.parametrize(
    ("readings", "pace"),
    [([0, 8, 8, 12, 12, 14, 14, 17], (4 / 80, 2)), ([0, 21, 21, 24, 24, 26], (21 / 80, 2))],
    ids=["the better of two", "one that takes long"],
)
def test_the_pace_of_five_prompts(
    monkeypatch: pytest.MonkeyPatch, readings: list[float], pace: tuple[float, float]
) -> None:
    """By a clock with these readings before and after each pass over five prompts of 16 tokens, and then each step."""
    clock = iter(readings)
    monkeypatch.setattr(effort, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=300)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.inference_mode():
        assert effort.pace(model, zoo.prompts("gpt2", 300)) == effort.Pace(*pace)
    assert not list(clock)


@pytest.fixture(scope="module")
def small() -> Variants:
    """GPT-2 with two layers on both tables that are neither side's."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=300)
    model = transformers.GPT2LMHeadModel(config).eval()
    return Variants(model, zoo.GPT2_STAGES, [OWN_FORMULAS, NO_WORK, "no such route"])


def test_every_op_has_its_own_formula_and_none() -> None:
    assert set(OWN) == set(NOTHING) == set(pytest.importorskip("cpp_ext.patching.catalogue").OPS)


def test_a_route_that_is_not_there_is_a_result(small: Variants) -> None:
    assert set(small.refused) == {(stage, "no such route") for stage, _ in zoo.GPT2_STAGES}


def test_own_formulas_answer_as_the_original_and_no_work_does_not(small: Variants) -> None:
    ids = torch.randint(0, 300, (2, 6), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact = answers.exact_logits(small.model, ids)
        held = answers.Answers(small, ids, exact, 8)
        named = {"model": "gpt2", "dtype": "float32"}
        for stage, _ in zoo.GPT2_STAGES[:-1]:
            for generated in (True, False):
                row = held.row((stage, OWN_FORMULAS), generated)
                assert right(typed(AnswersRow, named | row)), row
                assert row["tokens_same"] == row["tokens"] == 16
        assert not right(typed(AnswersRow, named | held.row(("+ attention", NO_WORK), False)))
        rows = list(answers.answers(small, ids, exact, billions=0.1, count=4))
        int8 = held.row((INT8, OWN_FORMULAS), generated=False)
    assert [(row["stage"], row["route"], row["how"]) for row in rows] == [("+ attention", OWN_FORMULAS, "generated")]
    assert int8["perplexity"] == pytest.approx(int8["own_perplexity"], rel=0.05)


def test_parameters_are_those_of_any_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of inference mode, for which PyTorch's products of them take another way."""
    small = dataclasses.replace(zoo.ZOO["gpt2"], sizes={"n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 300})
    monkeypatch.setitem(zoo.ZOO, "gpt2", small)
    with torch.inference_mode():
        model = zoo.load("gpt2", torch.bfloat16)
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in model.parameters())


def test_exact_logits_leave_the_model_as_it_was() -> None:
    config = transformers.LlamaConfig(
        num_hidden_layers=1, hidden_size=32, intermediate_size=48, num_attention_heads=2, vocab_size=90,
        tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval().to(torch.bfloat16)
    before = {name: value.clone() for name, value in (*model.state_dict().items(), *model.named_buffers())}
    ids = torch.randint(0, 90, (2, 5))
    with torch.inference_mode():
        exact = answers.exact_logits(model, ids)
        torch.testing.assert_close(exact, copy.deepcopy(model).double()(ids).logits[:, -1])
    after = dict((*model.state_dict().items(), *model.named_buffers()))
    assert all(torch.equal(value, before[name]) and value.dtype == before[name].dtype for name, value in after.items())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not any(parameter.is_inference() for parameter in model.parameters())


def test_speed_rows_leave_the_model_as_it_was(small: Variants) -> None:
    kinds = [type(module) for module in small.model.modules()]
    with torch.inference_mode():
        budget = speed.Budget(0.2, least_rounds=2, most_rounds=4)
        for phase in ("decode", "prefill"):
            rows = speed.rows_of(small, small.keys(), phase, 1, budget)
            again = [row for row in rows if row["route"] == AGAIN]
            assert [row["stage"] for row in again] == [ORIGINAL]
            assert [(row["stage"], row["route"]) for row in rows if row not in again] == small.keys()
            assert rows[0]["ratio"] == 1.0
            assert all(row["tokens_per_second"] > 0 for row in rows)
        shares = speed.shares(small, "+ attention", "decode")
    assert {row["op"] for row in shares} == {"layer_norm", "gelu_tanh", "gpt2_mlp", "attention"}
    assert all(0 < row["share"] < 1 for row in shares)
    assert [type(module) for module in small.model.modules()] == kinds


def test_weights_that_a_stage_reads(small: Variants) -> None:
    layer = 2 * 32 * 128  # both matrices
    assert speed.weight_bytes(small, ("+ LayerNorm", NO_WORK)) == 0
    assert speed.weight_bytes(small, ("+ MLP", NO_WORK)) == 2 * 4 * (layer + 128 + 32)
    assert speed.weight_bytes(small, (INT8, NO_WORK)) == 2 * (layer + 32 * 96 + 32 * 32)


def test_a_step_begins_with_the_same_cache_every_time(small: Variants) -> None:
    with torch.inference_mode():
        step = speed.Step(small.model, 2, context=5)
        step.rewind()
        first = step(small.model)
        step(small.model)
        step.rewind()
        assert torch.equal(step(small.model), first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt5"], "model is 'gpt5', expected one of gpt2"),
        (["--dtypes", "int8"], "dtype is 'int8'"),
        (["--routes", "cuda"], "route is 'cuda'"),
    ],
)
def test_bad_options_are_refused(capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    from evidence.__main__ import main

    assert main(["models", *arguments]) == 2
    assert message in capsys.readouterr().out


def test_the_notebook_in_git_has_no_outputs() -> None:
    cells = json.loads((ROOT / "reports" / "talk.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


def test_a_notebook_that_fails_is_written_up_to_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from evidence.__main__ import main

    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in ("print(6 * 7)", "1 / 0", "print('never')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    assert main(["notebook", str(tmp_path / "in.ipynb"), "--out", str(tmp_path / "out.ipynb")]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert done.cells[0].outputs[0].text == "42\n"
    assert not done.cells[2].outputs
    assert main(["notebook", str(tmp_path / "none.ipynb")]) == 2
