"""What users of PyTorch and transformers do to a model, as functions `(model, tokens) -> results`.

Each function is run on a model and on its patched copy, and both must give the same results. Tensors are compared by
value, anything else by equality. A manipulation may change the model. `test_patched_models.py` runs them.
"""

from __future__ import annotations

import copy
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, distributed, nn
from torch.nn.utils import parameters_to_vector, parametrize, vector_to_parameters

Manipulation = Callable[[Any, Tensor], Any]

MANIPULATIONS: dict[str, Manipulation] = {}


def manipulation(function: Manipulation) -> Manipulation:
    """Adds the decorated function to those that are run."""
    MANIPULATIONS[function.__name__] = function
    return function


def logits(model: Any, ids: Tensor, **kwargs: Any) -> Tensor:
    """Logits without gradients, from a call without a cache."""
    with torch.no_grad():
        return model(ids, use_cache=False, **kwargs).logits


def gradients(model: Any, ids: Tensor, **kwargs: Any) -> dict[str, Tensor | None]:
    """The gradient of every parameter under the language model's loss."""
    model.zero_grad()
    model(ids, labels=ids, use_cache=False, **kwargs).loss.backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def first_layer(model: Any) -> nn.Module:
    """The first decoder layer."""
    return model.transformer.h[0] if hasattr(model, "transformer") else model.model.layers[0]


def _other_weights(model: Any) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: p.detach() * (1 + torch.rand(p.shape, generator=generator)) for name, p in model.named_parameters()}


# Calls


@manipulation
def plain_call(model: Any, ids: Tensor) -> Any:
    return logits(model, ids)


@manipulation
def a_single_token(model: Any, ids: Tensor) -> Any:
    return logits(model, ids[:, :1])


@manipulation
def left_and_right_padding(model: Any, ids: Tensor) -> Any:
    left, right = torch.ones_like(ids), torch.ones_like(ids)
    left[0, :3], right[1, -2:] = 0, 0
    return [logits(model, ids, attention_mask=left)[:, 3:], logits(model, ids, attention_mask=right)[:, :-2]]


@manipulation
def a_mask_of_one_s_own(model: Any, ids: Tensor) -> Any:
    mask = torch.rand(ids.shape[0], 1, ids.shape[1], ids.shape[1], generator=torch.Generator().manual_seed(3)) < 0.6
    mask = mask | torch.eye(ids.shape[1], dtype=torch.bool)
    if model.config.model_type.startswith("gemma3"):
        return logits(model, ids, attention_mask={"full_attention": mask, "sliding_attention": mask})
    return logits(model, ids, attention_mask=mask)


@manipulation
def positions_and_embeddings_of_one_s_own(model: Any, ids: Tensor) -> Any:
    positions = torch.arange(ids.shape[1]).expand_as(ids) + torch.tensor([[2], [5]])
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(ids) * 1.5
        by_embedding = model(inputs_embeds=embeddings, use_cache=False).logits
    return [logits(model, ids, position_ids=positions, attention_mask=torch.ones_like(ids)), by_embedding]


@manipulation
def packed_sequences(model: Any, ids: Tensor) -> Any:
    positions = torch.cat((torch.arange(3), torch.arange(ids.shape[1] - 3))).expand_as(ids)
    return logits(model, ids, position_ids=positions)


@manipulation
def bidirectional_by_configuration(model: Any, ids: Tensor) -> Any:
    model.config.is_causal = False
    return logits(model, ids)


@manipulation
def bidirectional_by_module(model: Any, ids: Tensor) -> Any:
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    return logits(model, ids)


@manipulation
def bidirectional_by_argument(model: Any, ids: Tensor) -> Any:
    return logits(model, ids, is_causal=False)


@manipulation
def hidden_states_are_recorded(model: Any, ids: Tensor) -> Any:
    with torch.no_grad():
        return list(model(ids, output_hidden_states=True, use_cache=False).hidden_states)


@manipulation
def attention_weights_are_recorded(model: Any, ids: Tensor) -> Any:
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return list(model(ids, output_attentions=True, use_cache=False).attentions)


@manipulation
def another_attention_is_chosen(model: Any, ids: Tensor) -> Any:
    calls = []

    def uniform(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        calls.append(query.shape)
        groups = query.shape[1] // value.shape[1]
        mean = value.mean(2, keepdim=True).expand(-1, -1, query.shape[2], -1).repeat_interleave(groups, 1)
        return mean.transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register("uniform", uniform)
    model.set_attn_implementation("uniform")
    return [logits(model, ids), calls]


@manipulation
def calls_from_two_threads(model: Any, ids: Tensor) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda n: logits(model, ids[:, :n]), (3, 5, 7, 6)))


# Training


@manipulation
def training_in_evaluation_mode(model: Any, ids: Tensor) -> Any:
    return gradients(model, ids)


@manipulation
def training_in_training_mode(model: Any, ids: Tensor) -> Any:
    model.train()
    torch.manual_seed(3)  # dropout draws the same numbers
    return gradients(model, ids)


@manipulation
def training_steps(model: Any, ids: Tensor) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, logits(model, ids)]


@manipulation
def training_after_inference_mode(model: Any, ids: Tensor) -> Any:
    with torch.inference_mode():
        model(ids)
    return gradients(model, ids)


@manipulation
def training_of_some_parameters(model: Any, ids: Tensor) -> Any:
    """Only one small part, early in the model, requires a gradient, as with adapters."""
    model.requires_grad_(False)
    trained = [
        p
        for name, p in first_layer(model).named_parameters()
        if name.endswith(("ln_1.weight", "input_layernorm.weight"))
    ]
    for parameter in trained:
        parameter.requires_grad_(True)
    return gradients(model, ids)


@manipulation
def training_of_the_last_layers_alone(model: Any, ids: Tensor) -> Any:
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        if ".1." in name:
            parameter.requires_grad_(True)
    return gradients(model, ids)


@manipulation
def gradient_of_the_input(model: Any, ids: Tensor) -> Any:
    model.requires_grad_(False)
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
    model(inputs_embeds=embeddings, use_cache=False).logits.square().sum().backward()
    return embeddings.grad


@manipulation
def gradient_checkpointing(model: Any, ids: Tensor) -> Any:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.gradient_checkpointing_enable()
    return gradients(model, ids)


@manipulation
def accumulated_gradients(model: Any, ids: Tensor) -> Any:
    model.zero_grad()
    for row in ids:
        model(row[None], labels=row[None], use_cache=False).loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


@manipulation
def autocast(model: Any, ids: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        out = logits(model, ids)
    return [out.dtype, Rounded(out, torch.bfloat16)]


@manipulation
def training_under_autocast(model: Any, ids: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    return {name: None if p.grad is None else Rounded(p.grad, torch.bfloat16) for name, p in model.named_parameters()}


@manipulation
def per_sample_gradients(model: Any, ids: Tensor) -> Any:
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: Any, row: Tensor) -> Tensor:
        out = torch.func.functional_call(model, weights, (row[None],), {"use_cache": False}).logits[0]
        return F.cross_entropy(out[:-1], row[1:])

    return torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, ids)


@manipulation
def forward_mode_derivative(model: Any, ids: Tensor) -> Any:
    model.set_attn_implementation("eager")
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    tangents = {name: torch.full_like(p, 1e-2) for name, p in parameters.items()}

    def run(weights: Any) -> Tensor:
        return torch.func.functional_call(model, weights, (ids,), {"use_cache": False}).logits

    return list(torch.func.jvp(run, (parameters,), (tangents,)))


def _process_group() -> None:
    """A process group of this process alone. It stays, because PyTorch can hang if it ends before the models in it."""
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)


@manipulation
def distributed_data_parallel(model: Any, ids: Tensor) -> Any:
    _process_group()
    parallel = nn.parallel.DistributedDataParallel(model)
    parallel(ids, labels=ids, use_cache=False).loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


@manipulation
def fully_sharded(model: Any, ids: Tensor) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    _process_group()
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(first_layer(model), mesh=mesh)
    fully_shard(model, mesh=mesh)
    model(ids, labels=ids, use_cache=False).loss.backward()
    return {name: p.grad.full_tensor() for name, p in model.named_parameters()}


class _Logits(nn.Module):
    """A model as a function from token ids to logits."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(ids, use_cache=False).logits


@manipulation
def traced(model: Any, ids: Tensor) -> Any:
    with torch.no_grad():
        return torch.jit.trace(_Logits(model), (ids,))(ids)


@manipulation
def exported(model: Any, ids: Tensor) -> Any:
    with torch.no_grad():
        return torch.export.export(_Logits(model), (ids,), strict=False).module()(ids)


@manipulation
def quantised_by_torch(model: Any, ids: Tensor) -> Any:
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    return Rounded(logits(quantised, ids), torch.bfloat16)


# Hooks


@manipulation
def forward_hooks_on_every_module(model: Any, ids: Tensor) -> Any:
    names: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: names.append(name))
    return [logits(model, ids), sorted(names)]


@manipulation
def each_forward_hook_alone(model: Any, ids: Tensor) -> Any:
    counts = {}
    for name, module in first_layer(model).named_modules():
        outputs: list[Any] = []
        with module.register_forward_hook(lambda module, args, out, outputs=outputs: outputs.append(out)):
            logits(model, ids)
        counts[name] = [len(outputs), *(out for out in outputs if isinstance(out, Tensor))]
    return counts


@manipulation
def each_module_ablated_by_a_hook(model: Any, ids: Tensor) -> Any:
    results = {}
    for name, module in first_layer(model).named_modules():
        zero = lambda module, args, out: out * 0 if isinstance(out, Tensor) else None  # noqa: E731
        with module.register_forward_hook(zero):
            results[name] = logits(model, ids)
    return results


@manipulation
def inputs_changed_by_a_hook(model: Any, ids: Tensor) -> Any:
    results = {}
    for name, module in first_layer(model).named_modules():
        double = lambda module, args: tuple(a * 2 if isinstance(a, Tensor) else a for a in args)  # noqa: E731
        with module.register_forward_pre_hook(double):
            results[name] = logits(model, ids)
    return results


@manipulation
def backward_hooks(model: Any, ids: Tensor) -> Any:
    names: list[str] = []
    for name, module in first_layer(model).named_modules():
        module.register_full_backward_hook(lambda *_, name=name: names.append(name))
    return [gradients(model, ids), sorted(names)]


@manipulation
def a_hook_on_all_modules(model: Any, ids: Tensor) -> Any:
    class_names: list[str] = []
    with nn.modules.module.register_module_forward_hook(lambda module, *_: class_names.append(type(module).__name__)):
        out = logits(model, ids)
    return [out, sorted(class_names)]


# New weights. Each runs after a first call of the model, which may have cached something derived from the old ones.


def _after_a_call(change: Callable[[Any], Any]) -> Manipulation:
    def run(model: Any, ids: Tensor) -> Any:
        logits(model, ids)
        change(model)
        return logits(model, ids)

    run.__name__ = change.__name__
    return manipulation(run)


@_after_a_call
def weights_by_data(model: Any) -> None:
    for name, value in _other_weights(model).items():
        model.get_parameter(name).data = value


@_after_a_call
def weights_by_new_parameters(model: Any) -> None:
    for name, value in _other_weights(model).items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, nn.Parameter(value))


@_after_a_call
def weights_in_place(model: Any) -> None:
    with torch.no_grad():
        for name, value in _other_weights(model).items():
            model.get_parameter(name).copy_(value)


@_after_a_call
def weights_by_vector(model: Any) -> None:
    vector_to_parameters(parameters_to_vector(model.parameters()) * 1.25, model.parameters())


@_after_a_call
def weights_by_state_dict(model: Any) -> None:
    model.load_state_dict(_other_weights(model), strict=False)


@_after_a_call
def weights_by_assigned_state_dict(model: Any) -> None:
    model.load_state_dict({**model.state_dict(), **_other_weights(model)}, assign=True)
    model.tie_weights()


@manipulation
def weights_by_functional_call(model: Any, ids: Tensor) -> Any:
    logits(model, ids)
    with torch.no_grad():
        other_logits = torch.func.functional_call(model, _other_weights(model), (ids,), {"use_cache": False}).logits
    return [other_logits, logits(model, ids)]


class _Scaled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 1.5


@manipulation
def parametrized_weights(model: Any, ids: Tensor) -> Any:
    logits(model, ids)
    for module in list(first_layer(model).modules()):
        if isinstance(module.__dict__.get("_parameters", {}).get("weight"), nn.Parameter):
            parametrize.register_parametrization(module, "weight", _Scaled())
    return [logits(model, ids), gradients(model, ids)]


@manipulation
def pruned_weights(model: Any, ids: Tensor) -> Any:
    from torch.nn.utils import prune

    for module in list(first_layer(model).modules()):
        if isinstance(module, (nn.Linear, transformers.pytorch_utils.Conv1D)):
            prune.l1_unstructured(module, "weight", amount=0.3)
    return [logits(model, ids), gradients(model, ids)]


class _Adapter(nn.Module):
    """A low-rank adapter that replaces a linear layer, as in peft."""

    def __init__(self, base: Any):
        super().__init__()
        self.base_layer = base
        columns, rows = base.weight.shape if isinstance(base, nn.Linear) else base.weight.shape[::-1]
        generator = torch.Generator().manual_seed(7)
        self.a = nn.Parameter(torch.randn(4, rows, generator=generator) * 0.1)
        self.b = nn.Parameter(torch.randn(columns, 4, generator=generator) * 0.1)

    @property
    def weight(self) -> Tensor:
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor | None:
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + x @ self.a.T @ self.b.T


@manipulation
def adapters(model: Any, ids: Tensor) -> Any:
    model.requires_grad_(False)
    for layer in [first_layer(model)]:
        for name, module in list(layer.named_modules()):
            if isinstance(module, (nn.Linear, transformers.pytorch_utils.Conv1D)):
                owner, _, leaf = name.rpartition(".")
                setattr(layer.get_submodule(owner), leaf, _Adapter(module))
    return [logits(model, ids), gradients(model, ids)]


@manipulation
def replaced_modules(model: Any, ids: Tensor) -> Any:
    """Each leaf module of the first layer outside attention is replaced in turn by one that computes something else."""
    results = {}
    layer = first_layer(model)
    for name, module in list(layer.named_modules()):
        if name and not list(module.children()) and "attn" not in name:
            owner, _, leaf = name.rpartition(".")
            parent = layer.get_submodule(owner)
            setattr(parent, leaf, nn.Sequential(module, nn.Tanh()))
            results[name] = logits(model, ids)
            setattr(parent, leaf, module)
    return results


@manipulation
def another_rotary_function_and_norm_of_the_family(model: Any, ids: Tensor) -> Any:
    """Replaces functions in classes and Python modules of transformers, as Liger does."""
    attention = next((m for m in first_layer(model).modules() if "Attention" in type(m).__name__), None)
    norm = next(m for m in first_layer(model).modules() if "Norm" in type(m).__name__)
    home, kind = sys.modules[type(attention).__module__], type(norm)
    rotate, forward = getattr(home, "apply_rotary_pos_emb", None), kind.forward
    try:
        home.apply_rotary_pos_emb = lambda q, k, *args, **kwargs: (q, k)  # type: ignore[attr-defined]
        kind.forward = lambda self, x: forward(self, x) * 2
        return logits(model, ids)
    finally:
        kind.forward = forward
        if rotate is None:
            del home.apply_rotary_pos_emb
        else:
            home.apply_rotary_pos_emb = rotate  # type: ignore[attr-defined]


@manipulation
def a_norm_with_one_weight(model: Any, ids: Tensor) -> Any:
    norm = next(m for m in first_layer(model).modules() if "Norm" in type(m).__name__)
    norm.weight = nn.Parameter(torch.full((1,), 2.0))
    return logits(model, ids)


@manipulation
def a_copied_configuration(model: Any, ids: Tensor) -> Any:
    twin = type(model)(copy.deepcopy(model.config)).eval()
    twin.load_state_dict(model.state_dict())
    return [logits(twin, ids), model.config._attn_implementation]


@manipulation
def a_forward_function_of_one_s_own(model: Any, ids: Tensor) -> Any:
    """The forward function of each module of the first layer is wrapped in turn."""
    results = {}
    for name, module in first_layer(model).named_modules():
        instance_forward = module.__dict__.get("forward")
        inner = module.forward

        def wrapper(*args: Any, inner: Any = inner, **kwargs: Any) -> Any:
            out = inner(*args, **kwargs)
            return out * 2 if isinstance(out, Tensor) else out

        module.forward = wrapper
        results[name] = logits(model, ids)
        if instance_forward is None:
            del module.forward
        else:
            module.forward = instance_forward
    return results


# Dtypes, devices, sizes


@manipulation
def moved_to_bfloat16(model: Any, ids: Tensor) -> Any:
    model.to(torch.bfloat16)
    return Rounded(logits(model, ids), torch.bfloat16)


@manipulation
def moved_to_float64(model: Any, ids: Tensor) -> Any:
    model.double()
    return [logits(model, ids), gradients(model, ids)]


@manipulation
def last_norm_and_head_in_float32(model: Any, ids: Tensor) -> Any:
    model.to(torch.bfloat16)
    decoder = model.get_decoder()
    (decoder.ln_f if hasattr(decoder, "ln_f") else decoder.norm).float()
    model.lm_head.float()
    return Rounded(logits(model, ids), torch.bfloat16)


@manipulation
def shared_memory(model: Any, ids: Tensor) -> Any:
    logits(model, ids)
    model.share_memory()
    return [logits(model, ids), all(p.is_shared() for p in model.parameters())]


@manipulation
def resized_embeddings(model: Any, ids: Tensor) -> Any:
    model.resize_token_embeddings(model.config.vocab_size - 8, mean_resizing=False)
    return logits(model, ids.clamp(max=model.config.vocab_size - 1))


# Copies


@manipulation
def a_deep_copy(model: Any, ids: Tensor) -> Any:
    twin = copy.deepcopy(model)
    twin_logits = logits(twin, ids)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    return [twin_logits, logits(twin, ids), logits(model, ids), gradients(twin, ids)]


@manipulation
def saved_and_loaded(model: Any, ids: Tensor) -> Any:
    logits(model, ids)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return logits(torch.load(file, weights_only=False), ids)


@manipulation
def saved_by_safetensors(model: Any, ids: Tensor) -> Any:
    from safetensors.torch import load_model, save_model

    with tempfile.TemporaryDirectory() as folder:
        save_model(model, f"{folder}/model.safetensors")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        load_model(model, f"{folder}/model.safetensors")
    return [logits(model, ids), sorted(model.state_dict())]


@manipulation
def saved_as_pretrained(model: Any, ids: Tensor) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = (Path(folder) / "config.json").read_text()
        loaded = type(model).from_pretrained(folder).eval()
    return [logits(loaded, ids), config]


@manipulation
def names_and_classes(model: Any, ids: Tensor) -> Any:
    return [
        [(name, type(module).__name__) for name, module in model.named_modules()],
        [(name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()],
        sorted(name for name, _ in model.named_buffers()),
        list(model.state_dict()),
        repr(model),
    ]


# Generation


def _generated(model: Any, ids: Tensor, **options: Any) -> Tensor:
    with torch.no_grad():
        return model.generate(ids, max_new_tokens=8, **{"do_sample": False, "pad_token_id": 0, **options})


@manipulation
def greedy_tokens(model: Any, ids: Tensor) -> Any:
    return _generated(model, ids)


@manipulation
def greedy_tokens_of_a_padded_batch(model: Any, ids: Tensor) -> Any:
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    return _generated(model, ids, attention_mask=mask)


@manipulation
def beams(model: Any, ids: Tensor) -> Any:
    return _generated(model, ids, num_beams=3, num_return_sequences=2)


@manipulation
def sampled_tokens(model: Any, ids: Tensor) -> Any:
    torch.manual_seed(11)
    return _generated(model, ids, do_sample=True, temperature=0.7, top_k=5)


@manipulation
def without_a_cache(model: Any, ids: Tensor) -> Any:
    return _generated(model, ids, use_cache=False)


@manipulation
def a_static_cache(model: Any, ids: Tensor) -> Any:
    return _generated(model, ids, cache_implementation="static", disable_compile=True)


@manipulation
def continuous_batching(model: Any, ids: Tensor) -> Any:
    """Requests of several lengths in one batch, separated only by masks."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(6)  # with small weights the model repeats one token whatever it reads
    options = transformers.GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    requests = [ids[0, :length].tolist() for length in (5, 7, 4, 6)]
    # Without a size, transformers fills most of the machine's memory with its cache.
    cache = transformers.ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=64)
    results = model.generate_batch(
        inputs=requests, generation_config=options, continuous_batching_config=cache, progress_bar=False
    )
    return [results[key].generated_tokens for key in sorted(results)]


@manipulation
def prompt_lookup(model: Any, ids: Tensor) -> Any:
    return _generated(model, ids[:1], prompt_lookup_num_tokens=3)


@manipulation
def chunks_of_a_prompt(model: Any, ids: Tensor) -> Any:
    """A prompt in three calls, of which the later ones extend the cache by several tokens."""
    with torch.no_grad():
        first = model(ids[:, :3], use_cache=True)
        second = model(ids[:, 3:6], past_key_values=first.past_key_values, use_cache=True)
        third = model(ids[:, 6:], past_key_values=second.past_key_values, use_cache=True)
    return [first.logits, second.logits, third.logits]


class Rounded:
    """A tensor computed in a narrower dtype, whose values may therefore differ by the order of rounding."""

    def __init__(self, values: Tensor, dtype: torch.dtype):
        self.values, self.eps = values, torch.finfo(dtype).eps
