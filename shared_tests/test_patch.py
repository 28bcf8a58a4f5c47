"""`cpp_ext.patch` and `mojo_ops.patch`: what is replaced, how it is undone, and the error messages.

`test_patched_models.py` tests that a patched model behaves like the original.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shared_tests.child import run_child
from shared_tests.routes import all_routes

transformers = pytest.importorskip("transformers")
pytest.importorskip("kernels")

from shared_tests.small_models import FAMILIES, build, tokens  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
ROUTES = {
    "cpp": "cpp_ext",
    "cpp_pybind": "cpp_ext",
    "cpp_classic": "cpp_ext",
    "mojo": "mojo_ops",
    "mojo_aot": "mojo_ops",
}
# Each of the two layers has two norms, and there is a last norm. Qwen 3 also normalises query and key.
_LLAMA = {"rms_norm": 5, "rope": 2, "silu_mul": 2, "add_rms_norm": 2, "attention": 2}
COUNTS = {
    "gpt2": {"layer_norm": 5, "gelu_tanh": 2, "gpt2_mlp": 2, "attention": 2},
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "rms_norm": 9},
    "gemma3": {"gelu_tanh": 2, "rope": 2, "attention": 2},
    "phi3": {"rms_norm": 5, "silu_and_mul": 2, "attention": 2},
    "mixtral": {"rms_norm": 5, "rope": 2, "add_rms_norm": 2, "attention": 2},
}
LEFT_REASONS = {
    "gemma3": {
        "rms_norm": "Gemma3RMSNorm computes another formula than Llama's RMSNorm",
        "add_rms_norm": "Gemma3DecoderLayer adds in another order than Llama's decoder layer",
        "silu_mul": "its activation is GELUTanh, the op's is SiLU",
    },
    "phi3": {
        "rope": "Phi3Attention rotates in another form than by the halves of a head",
        "add_rms_norm": "Phi3DecoderLayer adds in another order than Llama's decoder layer",
    },
    "mixtral": {"silu_mul": "MixtralExperts is no gated MLP of a known form"},
}


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(ids).logits


def traces(model: nn.Module) -> list[str]:
    """Attributes that a patch has left on modules."""
    return [name for module in model.modules() for name in vars(module) if name == "forward" or "patch" in name]


@pytest.fixture(params=list(ROUTES))
def way(request: pytest.FixtureRequest) -> str:
    if reason := all_routes()[request.param].unavailable():
        pytest.skip(reason)
    return request.param


@pytest.fixture
def patch(way: str) -> Any:
    package = importlib.import_module(ROUTES[way])
    return lambda model, ops=None: package.patch(model, ops, route=way)


@pytest.fixture
def cpp() -> Any:
    """`patch` of one side, for tests of rules that are the same on every route."""
    return pytest.importorskip("cpp_ext").patch


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_swapped_what_is_left_and_the_way_back(patch: Any, family: str) -> None:
    model, ids = build(family), tokens()
    weights, unpatched = {name: value.clone() for name, value in model.state_dict().items()}, logits(model, ids)
    twin = copy.deepcopy(model).double()
    twin.set_experts_implementation("eager")  # grouped products do not support float64
    exact = logits(twin, ids)
    with patch(model) as active_patch:
        assert active_patch.counts == COUNTS[family]
        assert {left.op: left.reason for left in active_patch.left} == LEFT_REASONS.get(family, {})
        error = (unpatched.double() - exact).abs().max()
        assert (logits(model, ids).double() - exact).abs().max() <= 4 * error
        assert not torch.equal(logits(model, ids), unpatched), "no op was called"
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(logits(model, ids), unpatched)
    assert model.config._attn_implementation == "sdpa"
    assert not traces(model)


class Counting:
    """Functions of a package, with the number of their calls."""

    def __init__(self, package: Any, names: Any):
        self.calls = dict.fromkeys(names, 0)
        self.functions = {name: self._count_calls(name, getattr(package, name)) for name in names}

    def _count_calls(self, name: str, function: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls[name] += 1
            return function(*args)

        return call


@pytest.mark.parametrize("family", FAMILIES)
def test_every_op_that_is_swapped_is_called(family: str) -> None:
    """Every op is called once per place in a plain call without gradients, so no guard excludes it needlessly."""
    package = pytest.importorskip("cpp_ext")
    patching = importlib.import_module("cpp_ext.patching.patch")
    table = Counting(package, COUNTS[family])
    model = build(family)
    with patching.patch_with(model, patching.Ops("counting", table.functions)), torch.no_grad():
        model(tokens(1, 3), use_cache=False)  # shorter than any sliding window
    expected = dict(COUNTS[family])
    if "gpt2_mlp" in expected:
        expected["gelu_tanh"] = 0  # part of the MLP
    if "add_rms_norm" in expected:
        expected["rms_norm"] -= expected["add_rms_norm"]
    assert table.calls == expected


def test_ops_with_a_gradient_are_called_in_training() -> None:
    package = pytest.importorskip("cpp_ext")
    patching = importlib.import_module("cpp_ext.patching.patch")
    table = Counting(package, COUNTS["llama"])
    model = build("llama").train()
    with patching.patch_with(model, patching.Ops("counting training", table.functions)):
        model(tokens(1, 3), labels=tokens(1, 3)).loss.backward()
    assert table.calls == {"rms_norm": 3, "rope": 2, "silu_mul": 2, "add_rms_norm": 2, "attention": 0}


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_bfloat16_is_as_near_as_the_models_own(patch: Any, family: str) -> None:
    model, ids = build(family), tokens()
    exact = logits(copy.deepcopy(model).double(), ids)
    model = model.to(torch.bfloat16)
    unpatched_error = (logits(model, ids).double() - exact).abs().max()
    with patch(model):
        assert (logits(model, ids).double() - exact).abs().max() <= 2 * unpatched_error


INT8 = ("linear_w8", "rms_norm", "layer_norm")


@pytest.mark.parametrize("family", ["gpt2", "llama", "phi3"])
def test_int8_is_that_of_the_quantised_weights(patch: Any, way: str, family: str) -> None:
    """The patched model agrees with a float model whose weights are the int8 weights times their scales."""
    quantise = importlib.import_module(f"{ROUTES[way]}.patching.int8").quantise
    model = build(family)
    twin = copy.deepcopy(model)
    ids = tokens()
    with patch(model, INT8) as active_patch:
        names = [swapped.module for swapped in active_patch.swapped if swapped.op == "linear_w8"]
        for name in names:
            linear = twin.get_submodule(name)
            stored = linear.weight.data if isinstance(linear, nn.Linear) else linear.weight.data.t()
            values, scales = quantise(stored)
            stored.copy_(values * scales[:, None])
        assert len(names) >= 8
        torch.testing.assert_close(logits(model, ids), logits(twin, ids), rtol=1e-4, atol=1e-5)


def _by_data(weight: nn.Parameter, value: torch.Tensor) -> None:
    weight.data = value


def _in_place(weight: nn.Parameter, value: torch.Tensor) -> None:
    with torch.no_grad():
        weight.copy_(value)


@pytest.mark.parametrize("change", [_by_data, _in_place])
@pytest.mark.parametrize("inference", [False, True])
def test_int8_weights_follow_the_parameter(cpp: Any, change: Any, inference: bool) -> None:
    model, changed_model = build("qwen2"), build("qwen2")
    with torch.no_grad():
        for parameter in changed_model.parameters():
            parameter.mul_(torch.rand_like(parameter) + 0.5)
    ids = tokens()
    with cpp(changed_model, INT8):
        expected = logits(changed_model, ids)
    with cpp(model, INT8):
        if inference:
            logits(model, ids)
        else:
            with torch.no_grad():
                model(ids)
        for original, changed_parameter in zip(model.parameters(), changed_model.parameters(), strict=True):
            change(original, changed_parameter.detach().clone())
        assert torch.equal(logits(model, ids), expected)


def test_int8_leaves_a_gradient_to_the_float_weights(cpp: Any) -> None:
    model, ids = build("llama"), tokens()
    model(ids, labels=ids).loss.backward()
    unpatched_grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with cpp(model, "linear_w8"):
        quantised = logits(model, ids)
        model(ids, labels=ids).loss.backward()
        assert all(torch.equal(p.grad, unpatched_grads[name]) for name, p in model.named_parameters())
    assert not torch.equal(logits(model, ids), quantised)


@pytest.mark.parametrize("op", sorted({op for counts in COUNTS.values() for op in counts}))
def test_each_op_alone(patch: Any, op: str) -> None:
    family = next(family for family, counts in COUNTS.items() if op in counts)
    model = build(family)
    expected = logits(model, tokens())
    with patch(model, op) as active_patch:
        assert active_patch.counts == {op: COUNTS[family][op]}
        torch.testing.assert_close(logits(model, tokens()), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_compiled_without_a_graph_break(patch: Any, way: str, family: str) -> None:
    if way == "cpp_pybind":
        pytest.skip("a pybind11 function is opaque to torch.compile")
    model = build(family, **({"n_layer": 1} if family == "gpt2" else {"num_hidden_layers": 1}))
    ids = tokens()
    with patch(model):
        eager = logits(model, ids)
        torch._dynamo.reset()
        compiled = torch.compile(lambda batch: model(batch, use_cache=False).logits, fullgraph=True, dynamic=False)
        with torch.inference_mode():
            torch.testing.assert_close(compiled(ids), eager, rtol=1e-4, atol=1e-5)


def test_compiled_training(cpp: Any) -> None:
    model, ids = build("llama", num_hidden_layers=1), tokens()
    model(ids, labels=ids).loss.backward()
    unpatched_grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with cpp(model):
        torch._dynamo.reset()
        torch.compile(lambda: model(ids, labels=ids, use_cache=False).loss, fullgraph=True)().backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, unpatched_grads[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_second_derivative_raises_and_names_the_op(patch: Any, way: str, family: str) -> None:
    """The ops have no second derivative, so a gradient penalty raises instead of silently losing their part."""
    model = build(family, attn_implementation="eager")
    with patch(model):
        embeddings = model.get_input_embeddings()(tokens()).detach().requires_grad_()
        loss = model(inputs_embeds=embeddings, use_cache=False).logits.square().sum()
        (gradient,) = torch.autograd.grad(loss, embeddings, create_graph=True)
        if way == "cpp_pybind":  # has no gradients, so the model's own forward runs, which has second derivatives
            gradient.square().sum().backward()
            return
        with pytest.raises(RuntimeError, match=r"(layer_norm|rms_norm|gelu_tanh|silu_mul)_backward"):
            gradient.square().sum().backward()


def test_patching_in_inference_mode_leaves_parameters_alone(patch: Any) -> None:
    model, ids = build("llama"), tokens()
    with torch.inference_mode(), patch(model):
        model(ids)
    model(ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_off_and_on_again(cpp: Any) -> None:
    model, ids = build("llama"), tokens()
    unpatched = logits(model, ids)
    active_patch = cpp(model)
    patched_logits = logits(model, ids)
    assert not torch.equal(patched_logits, unpatched)
    active_patch.off()
    assert torch.equal(logits(model, ids), unpatched)
    active_patch.on()
    assert torch.equal(logits(model, ids), patched_logits)
    active_patch.unpatch()
    active_patch.unpatch()
    with pytest.raises(RuntimeError, match=r"undone by unpatch\(\)"):
        active_patch.on()


def test_patches_that_take_turns(cpp: Any) -> None:
    """Several patches of one model take turns; undoing one keeps the other, and undoing both restores the model."""
    model, ids = build("llama"), tokens()
    unpatched = logits(model, ids)
    first = cpp(model)
    patched_logits = logits(model, ids)
    first.off()
    with cpp(model, "linear_w8") as second:
        quantised = logits(model, ids)
        with pytest.raises(RuntimeError, match="another patch of LlamaForCausalLM is in place"):
            first.on()
        second.off()
        first.on()
        assert torch.equal(logits(model, ids), patched_logits)
        first.off()
        second.on()
        assert torch.equal(logits(model, ids), quantised)
    first.on()
    assert torch.equal(logits(model, ids), patched_logits)
    first.unpatch()
    assert torch.equal(logits(model, ids), unpatched)
    assert not traces(model)


def test_the_same_patch_again_is_the_one_in_place(cpp: Any) -> None:
    """The same call may run twice, as in a notebook cell."""
    model = build("gpt2")
    first = cpp(model, "layer_norm")
    assert cpp(model, ["layer_norm"]) is first
    first.unpatch()
    assert cpp(model, "layer_norm") is not first


def test_another_patch_is_refused_and_says_how_to_undo_the_first(cpp: Any) -> None:
    model = build("gpt2")
    active_patch = cpp(model, "layer_norm")
    message = "is patched already, by route cpp with layer_norm; patch.* returns it, and unpatch.* undoes it"
    with pytest.raises(ValueError, match=message):
        cpp(model, "attention")
    with pytest.raises(ValueError, match=message):
        cpp(nn.ModuleList([model]))
    with pytest.raises(ValueError, match=r"h\.0\.ln_1 of GPT2Model is patched already, as a part of another model"):
        cpp(model.transformer)
    active_patch.unpatch()
    with cpp(model, "attention") as second_patch:
        assert second_patch.counts == {"attention": 2}


def test_one_patched_model_leaves_others_alone(cpp: Any) -> None:
    model, other_model, ids = build("llama"), build("llama"), tokens()
    unpatched = logits(other_model, ids)
    with cpp(model):
        assert not torch.equal(logits(model, ids), unpatched)
        assert torch.equal(logits(other_model, ids), unpatched)


def test_a_deep_copy_has_a_patch_of_its_own(cpp: Any) -> None:
    model, ids = build("llama"), tokens()
    unpatched = logits(model, ids)
    active_patch = cpp(model)
    twin = copy.deepcopy(model)
    patched_logits = logits(model, ids)
    active_patch.unpatch()
    assert torch.equal(logits(twin, ids), patched_logits)
    assert torch.equal(logits(model, ids), unpatched)
    handle = cpp(twin)
    assert handle.model is twin
    handle.unpatch()
    assert torch.equal(logits(twin, ids), unpatched)


def test_a_pickled_model_loads_where_the_package_is_not(cpp: Any, tmp_path: Path) -> None:
    model, ids = build("llama"), tokens()
    expected = logits(model, ids)
    with cpp(model):
        torch.save(model, tmp_path / "model.pt")
        assert pickle.loads(pickle.dumps(model)) is not None
    torch.save((ids, expected), tmp_path / "expected.pt")
    code = (
        f"import sys, torch\n"
        f"model = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False)\n"
        f"ids, expected = torch.load({str(tmp_path / 'expected.pt')!r})\n"
        f"assert torch.equal(model(ids).logits, expected)\n"
        f"assert 'cpp_ext' not in sys.modules\n"
        f"import cpp_ext\n"
        f"print(cpp_ext.patch(model).counts['rms_norm'])"
    )
    child = run_child(code, timeout=180)
    assert child.code == 0, child
    assert child.output.split()[-1] == "5"


def test_a_spawned_process_gets_the_model(cpp: Any) -> None:
    model = build("gpt2")
    expected = logits(model, tokens())
    with cpp(model):
        context = torch.multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            result = pool.apply(logits, (model, tokens()))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


# Refusals


def test_nothing_to_swap_is_refused(cpp: Any) -> None:
    with pytest.raises(ValueError, match="nothing to swap in Sequential"):
        cpp(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="no module of GPT2LMHeadModel has a place for it"):
        cpp(build("gpt2"), "rope")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((42,), TypeError, "model is a int, expected a torch.nn.Module"),
        ((nn.LayerNorm(4), ["layernorm"]), ValueError, "ops has 'layernorm', expected some of layer_norm"),
        ((nn.LayerNorm(4), ()), ValueError, "ops is empty"),
        ((nn.LayerNorm(4), None, "fast"), ValueError, "route is 'fast', expected one of cpp"),
    ],
)
def test_bad_arguments_are_refused(cpp: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cpp(*arguments)


def test_missing_requirements_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = importlib.import_module("cpp_ext.patching.requirements")
    monkeypatch.setattr(requirements, "REQUIREMENTS", {"torch": ">=2.11", "no-such-package": ">=1"})
    with pytest.raises(ImportError, match="no-such-package is not installed; run `pip install 'no-such-package>=1'`"):
        requirements.check()
    monkeypatch.setattr(requirements, "REQUIREMENTS", {"torch": "<2.0"})
    with pytest.raises(ImportError, match=r"torch is 2\S*, expected <2.0"):
        requirements.check()


def test_requirements_are_those_of_the_wheels() -> None:
    import tomllib

    requirements = importlib.import_module("cpp_ext.patching.requirements").REQUIREMENTS
    for side in ("cpp_ext", "mojo_ops"):
        project = tomllib.loads((ROOT / side / "pyproject.toml").read_text())["project"]
        assert set(project["optional-dependencies"]["models"]) == {name + v for name, v in requirements.items()}


def test_a_forward_function_set_since_is_not_thrown_away(cpp: Any) -> None:
    model = build("gpt2")
    active_patch = cpp(model)
    norm = model.transformer.ln_f
    original_forward = norm.forward
    norm.forward = lambda x: original_forward(x)
    with pytest.raises(RuntimeError, match="something replaced forward functions of modules of the patch: LayerNorm;"):
        active_patch.unpatch()
    norm.forward = original_forward
    active_patch.off()
    norm.forward = lambda x: original_forward(x)
    with pytest.raises(RuntimeError, match="something replaced forward functions of modules of the patch: LayerNorm;"):
        active_patch.on()
    del norm.forward
    active_patch.unpatch()
    assert not traces(model)


def test_modules_that_were_moved_or_removed_are_restored(cpp: Any) -> None:
    model = build("gpt2")
    active_patch = cpp(model)
    norm = model.transformer.ln_f
    model.transformer.ln_f = nn.Sequential(norm, nn.Identity())
    active_patch.unpatch()
    assert "forward" not in vars(norm)


def test_an_attention_set_since_is_kept(cpp: Any) -> None:
    model = build("llama")
    active_patch = cpp(model)
    model.set_attn_implementation("eager")
    active_patch.unpatch()
    assert model.config._attn_implementation == "eager"


def test_eager_attention_is_left(cpp: Any) -> None:
    model = build("llama", attn_implementation="eager")
    with cpp(model) as active_patch:
        assert [left.reason for left in active_patch.left] == ["the model's attention is 'eager', expected 'sdpa'"] * 2


def test_mixed_dtypes_are_left(cpp: Any) -> None:
    model = build("llama").to(torch.bfloat16)
    model.model.norm.float()
    with cpp(model, ("rms_norm",)) as active_patch:
        assert active_patch.counts == {"rms_norm": 4}
        assert [(left.module, left.reason) for left in active_patch.left] == [
            ("model.norm", "a weight is float32 in a model of bfloat16: the op takes one dtype")
        ]


def test_tied_weights_are_left(cpp: Any) -> None:
    with cpp(build("gpt2"), "linear_w8") as active_patch:
        assert [left.module for left in active_patch.left] == ["lm_head"]
        assert "tied to transformer.wte.weight" in active_patch.left[0].reason


class Sharded(torch.Tensor):
    """A subclass of Tensor, as a stand-in for DTensor."""


def test_sharded_weights_are_left(cpp: Any) -> None:
    model = build("llama")
    norm = model.model.norm
    norm.weight = nn.Parameter(norm.weight.data.as_subclass(Sharded))
    with cpp(model, "rms_norm") as active_patch:
        assert [left.module for left in active_patch.left] == ["model.norm"]
        assert "a weight is a Sharded" in active_patch.left[0].reason


def test_what_only_looks_known_is_left(cpp: Any) -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    class Scaled(nn.LayerNorm):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 2

    class ScaledRMSNorm(LlamaRMSNorm):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states) * 2

    model = nn.Sequential(
        nn.LayerNorm(8), Scaled(8), nn.LayerNorm(8), nn.LayerNorm((4, 8)), nn.LayerNorm(8, elementwise_affine=False),
        ScaledRMSNorm(8),
    )  # fmt: skip
    model[2].forward = lambda x: x
    with cpp(model.eval()) as active_patch:
        assert [swapped.module for swapped in active_patch.swapped] == ["0"]
        assert [left.reason.split(",")[0] for left in active_patch.left if left.module] == [
            "Scaled is a subclass of LayerNorm",
            "its forward was replaced on the instance",
            "normalises the last 2 dimensions",
            "has no weight",
            "ScaledRMSNorm computes another formula than Llama's RMSNorm",
        ]


def test_both_sides_have_one_source() -> None:
    folders = [ROOT / f"{side}/src/{side}/patching" for side in ("cpp_ext", "mojo_ops")]
    assert folders[1].resolve() == folders[0]


def test_a_side_patches_by_its_own_routes_with_every_op(way: str) -> None:
    side = importlib.import_module(f"{ROUTES[way]}._routes")
    catalogue = importlib.import_module(f"{ROUTES[way]}.patching.catalogue")
    assert {name for name in all_routes() if all_routes()[name].side == all_routes()[way].side} == set(side.ROUTES)
    assert set(catalogue.OPS) == {op for counts in COUNTS.values() for op in counts} | {"linear_w8"}


def test_neither_side_needs_the_other() -> None:
    for side, other_side in (("cpp_ext", "mojo_ops"), ("mojo_ops", "cpp_ext")):
        if all_routes()[{"cpp_ext": "cpp", "mojo_ops": "mojo"}[side]].unavailable():
            continue
        code = (
            f"import sys, torch, {side}\n"
            f"assert 'transformers' not in sys.modules\n"
            f"with {side}.patch(torch.nn.Sequential(torch.nn.LayerNorm(8)).eval()) as done: print(done.counts)\n"
            f"assert {other_side!r} not in sys.modules"
        )
        child = run_child(code, timeout=120)
        assert child.code == 0, child
        assert "{'layer_norm': 1}" in child.output
