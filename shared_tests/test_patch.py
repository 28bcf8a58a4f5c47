"""`cpp_ext.patch` and `mojo_ops.patch` on small models of transformers: same answers, a way back, clear refusals."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shared_tests.child import run_child
from shared_tests.routes import all_routes

transformers = pytest.importorskip("transformers")
ROOT = Path(__file__).resolve().parent.parent

ROUTES = {
    "cpp": "cpp_ext",
    "cpp_pybind": "cpp_ext",
    "cpp_classic": "cpp_ext",
    "mojo": "mojo_ops",
    "mojo_aot": "mojo_ops",
}
SIZES = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}
# Three layers: two norms each and the last one.
COUNTS = {
    "gpt2": {"layer_norm": 7, "gelu_tanh": 3, "gpt2_mlp": 3, "attention": 3},
    "llama": {"rms_norm": 7, "rope": 3, "silu_and_mul": 3, "add_rms_norm": 3, "attention": 3},
    "mistral": {"rms_norm": 7, "rope": 3, "silu_and_mul": 3, "add_rms_norm": 3, "attention": 3},
    "qwen2": {"rms_norm": 7, "rope": 3, "silu_and_mul": 3, "add_rms_norm": 3, "attention": 3},
}
ANSWERS_KEPT = tuple(dict.fromkeys(op for counts in COUNTS.values() for op in counts))
OPS = (*ANSWERS_KEPT, "linear_w8")


def build(family: str, **more: Any) -> Any:
    torch.manual_seed(0)
    if family == "gpt2":
        config = transformers.GPT2Config(**{"n_layer": 3, "n_head": 4, "n_embd": 64, "vocab_size": 500, **more})
        return transformers.GPT2LMHeadModel(config).eval()
    if family == "llama":
        config = transformers.LlamaConfig(**{**SIZES, "tie_word_embeddings": True, **more})
        return transformers.LlamaForCausalLM(config).eval()
    if family == "mistral":
        config = transformers.MistralConfig(**{**SIZES, "sliding_window": None, **more})
        return transformers.MistralForCausalLM(config).eval()
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**{**SIZES, **more})).eval()


def tokens(batch: int = 2, length: int = 7) -> torch.Tensor:
    return torch.randint(0, 500, (batch, length), generator=torch.Generator().manual_seed(1))


def generated(model: Any, ids: torch.Tensor, **more: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.generate(ids, max_new_tokens=16, do_sample=False, pad_token_id=0, **more)


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(ids).logits


@pytest.fixture(params=list(ROUTES))
def way(request: pytest.FixtureRequest) -> str:
    if why := all_routes()[request.param].unavailable():
        pytest.skip(why)
    return request.param


@pytest.fixture
def patch(way: str) -> Any:
    package = importlib.import_module(ROUTES[way])
    return lambda model, ops=None: package.patch(model, ops, route=way)


@pytest.fixture
def cpp() -> Any:
    """The rules are the same on every route; what only concerns them is tested on one."""
    return pytest.importorskip("cpp_ext").patch


@pytest.mark.parametrize("family", COUNTS)
def test_same_answers_and_the_way_back(patch: Any, family: str) -> None:
    model = build(family)
    ids = tokens()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected, reference = generated(model, ids), logits(model, ids)
    exact = logits(copy.deepcopy(model).double(), ids)
    with patch(model) as done:
        assert done.counts == COUNTS[family]
        assert not done.left
        assert torch.equal(generated(model, ids), expected)
        # No further from the exact logits than a few times the model's own float32 is.
        own = (reference.double() - exact).abs().max()
        assert (logits(model, ids).double() - exact).abs().max() <= 4 * own
        assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(logits(model, ids), reference)
    assert not [name for module in model.modules() for name in vars(module) if name.startswith("_patch_")]


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_bfloat16_is_as_near_as_the_models_own(patch: Any, family: str) -> None:
    model = build(family)
    ids = tokens()
    exact = logits(copy.deepcopy(model).double(), ids)
    model = model.to(torch.bfloat16)
    own = (logits(model, ids).double() - exact).abs().max()
    with patch(model):
        assert (logits(model, ids).double() - exact).abs().max() <= 2 * own


@pytest.mark.parametrize("family", COUNTS)
def test_int8_is_that_of_the_quantised_weights(patch: Any, way: str, family: str) -> None:
    """The patched model against its own float form with each int8 weight times its scale."""
    quantise = importlib.import_module(f"{ROUTES[way]}.patching.int8").quantise
    model = build(family)
    twin = copy.deepcopy(model)
    ids = tokens()
    with patch(model, OPS) as done:
        here = [one.module for one in done.swapped if one.op == "linear_w8"]
        for name in here:
            linear = twin.get_submodule(name)
            stored = linear.weight.data if isinstance(linear, nn.Linear) else linear.weight.data.t()
            values, scales = quantise(stored)
            stored.copy_(values * scales[:, None])
        assert len(here) >= 12
        torch.testing.assert_close(logits(model, ids), logits(twin, ids), rtol=1e-4, atol=1e-5)


def test_padded_batches_give_the_same_answers(patch: Any) -> None:
    """With a mask attention stays the model's own, and rotary tables differ between sequences."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, :3] = 0
    for family in COUNTS:
        model = build(family)
        expected = generated(model, tokens(), attention_mask=mask)
        with patch(model):
            assert torch.equal(generated(model, tokens(), attention_mask=mask), expected)


@pytest.mark.parametrize("op", ANSWERS_KEPT)
def test_each_op_alone(patch: Any, op: str) -> None:
    for family, counts in COUNTS.items():
        if op in counts:
            model = build(family)
            expected = generated(model, tokens())
            with patch(model, op) as done:
                assert done.counts == {op: counts[op]}
                assert torch.equal(generated(model, tokens()), expected)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_compiled_without_a_graph_break(patch: Any, way: str, family: str) -> None:
    if way == "cpp_pybind":
        pytest.skip("a pybind11 function is opaque to torch.compile")
    model = build(family, **({"n_layer": 1} if family == "gpt2" else {"num_hidden_layers": 1}))
    ids = tokens()
    with patch(model):
        eager = logits(model, ids)
        torch._dynamo.reset()
        compiled = torch.compile(lambda given: model(given, use_cache=False).logits, fullgraph=True, dynamic=False)
        with torch.inference_mode():
            torch.testing.assert_close(compiled(ids), eager, rtol=1e-4, atol=1e-5)


def test_off_and_on_again(cpp: Any) -> None:
    model = build("llama")
    ids = tokens()
    own = logits(model, ids)
    done = cpp(model, OPS)
    swapped = logits(model, ids)
    assert not torch.equal(swapped, own)
    done.off()
    assert torch.equal(logits(model, ids), own)
    done.on()
    assert torch.equal(logits(model, ids), swapped)
    done.unpatch()
    done.unpatch()
    with pytest.raises(RuntimeError, match=r"undone by unpatch\(\)"):
        done.on()


def test_patches_that_take_turns(cpp: Any) -> None:
    """Variants of one model, put in and out: undoing one leaves the others, undoing the last one the original."""
    model = build("llama")
    ids = tokens()
    pointers = {name: value.clone() for name, value in model.state_dict().items()}
    own = logits(model, ids)
    first = cpp(model)
    first.off()
    with cpp(model, OPS) as second:
        quantised = logits(model, ids)
        second.off()
        first.on()
        swapped = logits(model, ids)
        first.off()
        second.on()
        assert torch.equal(logits(model, ids), quantised)
    first.on()
    assert torch.equal(logits(model, ids), swapped)
    model.load_state_dict({name: value * 1.5 for name, value in pointers.items()})
    assert not torch.equal(logits(model, ids), swapped)
    model.load_state_dict(pointers)
    assert torch.equal(logits(model, ids), swapped)
    first.unpatch()
    assert torch.equal(logits(model, ids), own)
    assert not [name for module in model.modules() for name in vars(module) if name.startswith("_patch_")]


@pytest.mark.parametrize("ops", [ANSWERS_KEPT, OPS], ids=["float", "int8"])
def test_new_weights_are_used(cpp: Any, ops: Any) -> None:
    """What is made of the weights (one matrix of two, int8) follows load_state_dict and `.to(...)`."""
    ids = tokens()
    model = build("qwen2")
    other = {name: value * 1.5 for name, value in model.state_dict().items()}
    with cpp(model, ops):
        model.load_state_dict(other)
        loaded = logits(model, ids)
    with cpp(model, ops):
        assert torch.equal(logits(model, ids), loaded)
        model.to(torch.bfloat16)
        moved = logits(model, ids)
    with cpp(model, ops):
        assert torch.equal(logits(model, ids), moved)


def test_a_copy_of_a_patched_model_is_its_own(cpp: Any) -> None:
    model = build("llama")
    ids = tokens()
    with cpp(model):
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        expected = logits(model, ids)
        assert not torch.equal(logits(twin, ids), expected)
    torch.testing.assert_close(logits(model, ids), expected, rtol=1e-4, atol=1e-5)


# refusals


def test_nothing_to_swap_is_refused(cpp: Any) -> None:
    with pytest.raises(ValueError, match="nothing to swap in Sequential"):
        cpp(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="no module of GPT2LMHeadModel has a place for it"):
        cpp(build("gpt2"), "rope")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((42,), TypeError, "model is a int, expected a torch.nn.Module"),
        ((nn.LayerNorm(4), ["layernorm"]), ValueError, "ops has 'layernorm', expected some of layer_norm"),
        ((nn.LayerNorm(4), ()), ValueError, "ops is empty"),
        ((nn.LayerNorm(4), None, "fast"), ValueError, "route is 'fast', expected one of cpp"),
    ],
)
def test_bad_arguments_are_refused(cpp: Any, arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cpp(*arguments)


def test_patching_twice_is_refused(cpp: Any) -> None:
    model = build("gpt2")
    with cpp(model, "layer_norm"), pytest.raises(ValueError, match=r"transformer\.h\.0\.ln_1 .* is patched already"):
        cpp(model, "attention")
    with cpp(model, "attention") as done:
        assert done.counts == {"attention": 3}


def test_unpatching_a_changed_model_is_refused_and_changes_nothing(cpp: Any) -> None:
    model = build("gpt2")
    done = cpp(model)
    own, model.transformer.ln_f = model.transformer.ln_f, nn.LayerNorm(64)
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(RuntimeError, match=r"transformer\.ln_f is another LayerNorm"):
        done.unpatch()
    assert [type(module) for module in model.modules()] == kinds
    del model.transformer.ln_f
    with pytest.raises(RuntimeError, match=r"transformer\.ln_f is gone"):
        done.unpatch()
    model.transformer.ln_f = own
    done.unpatch()
    assert type(own) is nn.LayerNorm


def test_training_mode_keeps_what_has_no_gradient(cpp: Any) -> None:
    model = build("gpt2").train()
    with cpp(model) as done:
        assert done.counts == {"layer_norm": 7, "gelu_tanh": 3}
        assert {one.op for one in done.left} == {"gpt2_mlp", "attention"}
        assert all("in training mode" in one.reason for one in done.left)
        model(tokens()).logits.sum().backward()
        assert model.transformer.h[0].ln_1.weight.grad is not None


def test_training_after_patching_raises_where_there_is_no_gradient(cpp: Any) -> None:
    model = build("gpt2")
    with cpp(model, "gpt2_mlp"):
        model.train()
        with pytest.raises(RuntimeError, match="gpt2_mlp: is for inference and has no gradient"):
            model(tokens()).logits.sum().backward()


def test_mixed_dtypes_are_left(cpp: Any) -> None:
    model = build("llama").to(torch.bfloat16)
    model.model.norm.float()
    with cpp(model, ("rms_norm",)) as done:
        assert done.counts == {"rms_norm": 6}
        assert [(one.module, one.reason) for one in done.left] == [
            ("model.norm", "a weight is float32 in a model of bfloat16: the op takes one dtype")
        ]


def test_a_sliding_window_is_left(cpp: Any) -> None:
    model = build("mistral", sliding_window=4)
    expected = generated(model, tokens())
    with cpp(model) as done:
        assert [(one.op, one.reason) for one in done.left] == [
            ("attention", "it has a sliding window, the op none")
        ] * 3
        assert torch.equal(generated(model, tokens()), expected)


def test_tied_weights_are_left(cpp: Any) -> None:
    with cpp(build("gpt2"), "linear_w8") as done:
        assert [one.module for one in done.left] == ["lm_head"]
        assert "tied to transformer.wte.weight" in done.left[0].reason


class Sharded(torch.Tensor):
    """Stands for a DTensor: a subclass of Tensor that holds a part."""


def test_sharded_weights_are_left(cpp: Any) -> None:
    model = build("llama")
    norm = model.model.norm
    norm.weight = nn.Parameter(norm.weight.data.as_subclass(Sharded))
    with cpp(model, "rms_norm") as done:
        assert [one.module for one in done.left] == ["model.norm"]
        assert "a weight is a Sharded" in done.left[0].reason


def test_what_only_looks_known_is_left(cpp: Any) -> None:
    class Scaled(nn.LayerNorm):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 2

    model = nn.Sequential(nn.LayerNorm(8), Scaled(8), nn.LayerNorm(8), nn.LayerNorm((4, 8)))
    model[2].forward = lambda x: x
    with cpp(model.eval()) as done:
        assert [one.module for one in done.swapped] == ["0"]
        assert [one.reason.split(",")[0] for one in done.left] == [
            "Scaled is a subclass of LayerNorm",
            "its forward was replaced on the instance",
            "normalises the last 2 dimensions",
        ]


def test_both_sides_have_the_same_rules() -> None:
    """Each is complete in itself, so that the folder is there twice: what is mended in one is mended in both."""
    folders = [ROOT / f"{side}/src/{side}/patching" for side in ("cpp_ext", "mojo_ops")]
    names = [sorted(file.name for file in folder.glob("*.py")) for folder in folders]
    assert names[0] == names[1]
    for name in set(names[0]) - {"routes.py"}:
        assert (folders[0] / name).read_text() == (folders[1] / name).read_text(), f"patching/{name} differs"


def test_a_side_patches_by_its_own_routes_with_every_op(way: str) -> None:
    side = importlib.import_module(f"{ROUTES[way]}.patching.routes")
    assert way in side.ROUTES
    assert {name for name in all_routes() if all_routes()[name].side == all_routes()[way].side} == set(side.ROUTES)
    assert set(importlib.import_module(f"{ROUTES[way]}.patching.site").OPS) == set(OPS)


def test_neither_side_needs_the_other() -> None:
    for side, other in (("cpp_ext", "mojo_ops"), ("mojo_ops", "cpp_ext")):
        if all_routes()[{"cpp_ext": "cpp", "mojo_ops": "mojo"}[side]].unavailable():
            continue
        code = (
            f"import sys, torch, {side}\n"
            f"with {side}.patch(torch.nn.Sequential(torch.nn.LayerNorm(8)).eval()) as done: print(done.counts)\n"
            f"assert {other!r} not in sys.modules and 'transformers' not in sys.modules"
        )
        ended = run_child(code, timeout=120)
        assert ended.code == 0, ended
        assert "{'layer_norm': 1}" in ended.output
