"""Small transformers models with seeded weights, one for each family that `patch` is tested on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

VOCABULARY = 120
_SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _llama_like(model: Any, config: Any, **defaults: Any) -> Callable[..., Any]:
    return lambda **overrides: model(config(**{**_SIZES, **defaults, **overrides}))


def _gpt2(**overrides: Any) -> Any:
    sizes = {"n_layer": 2, "n_head": 4, "n_embd": 64, "vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**sizes, **overrides}))


FAMILIES: dict[str, Callable[..., Any]] = {
    "gpt2": _gpt2,
    "llama": _llama_like(transformers.LlamaForCausalLM, transformers.LlamaConfig, tie_word_embeddings=True),
    "mistral": _llama_like(transformers.MistralForCausalLM, transformers.MistralConfig, sliding_window=4),
    "qwen2": _llama_like(transformers.Qwen2ForCausalLM, transformers.Qwen2Config),
    "qwen3": _llama_like(transformers.Qwen3ForCausalLM, transformers.Qwen3Config, head_dim=16),
    "gemma3": _llama_like(transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig, head_dim=16, sliding_window=4),
    "phi3": _llama_like(transformers.Phi3ForCausalLM, transformers.Phi3Config),
    "mixtral": _llama_like(transformers.MixtralForCausalLM, transformers.MixtralConfig, num_local_experts=4),
}


# Families with their own variants of attention or the MLP. Only their results are compared.
VARIANT_FAMILIES: dict[str, dict[str, Any]] = {
    "olmo2": {},
    "granite": {},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16},
    "jetmoe": {"num_key_value_heads": 2, "kv_channels": 16, "num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v32": {
        "num_key_value_heads": 4, "head_dim": 8, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1, "index_topk": 3,
        "index_n_heads": 2, "index_head_dim": 16, "max_position_embeddings": 128,
    },
}  # fmt: skip


def build_variant(family: str) -> Any:
    """A model of a family in `OTHERS` in evaluation mode, with weights so large that attention affects the result."""
    torch.manual_seed(0)
    config = type(transformers.AutoConfig.for_model(family))(**{**_SIZES, **VARIANT_FAMILIES[family]})
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4) if parameter.dim() > 1 else parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def build(family: str, **overrides: Any) -> Any:
    """A model of a family in `FAMILIES` in evaluation mode; `more` is passed to its configuration."""
    torch.manual_seed(0)
    model = FAMILIES[family](**overrides).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # initial ones of norms and zeros of biases would hide mistakes
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def tokens(batch: int = 2, length: int = 7, seed: int = 1) -> torch.Tensor:
    """Prompts, [batch, length], without the special tokens."""
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))
