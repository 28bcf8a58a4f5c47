"""The models: built from configurations with seeded random weights, or loaded from where the user has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evidence.sections.models.names import INT8

SEED = 20260101
Stages = tuple[tuple[str, tuple[str, ...]], ...]

# Each stage adds its ops to those before. The first three of GPT-2 are the talk's.
GPT2_STAGES: Stages = (
    ("+ LayerNorm", ("layer_norm",)),
    ("+ NewGELU", ("gelu_tanh",)),
    ("+ MLP", ("gpt2_mlp",)),
    ("+ attention", ("attention",)),
    (INT8, ("linear_w8",)),
)
LLAMA_STAGES: Stages = (
    ("+ RMSNorm", ("rms_norm", "add_rms_norm")),
    ("+ RoPE", ("rope",)),
    ("+ SwiGLU", ("silu_mul",)),
    ("+ attention", ("attention",)),
    (INT8, ("linear_w8",)),
)


@dataclass(frozen=True)
class Known:
    """A model of the zoo: the class of its configuration in transformers, what it sets, and the stages."""

    name: str
    what: str
    config: str
    sizes: dict[str, Any]
    stages: Stages
    billions: float


_LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128_256,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
_QWEN_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
ZOO = {
    model.name: model
    for model in (
        Known("gpt2", "GPT-2 124M", "GPT2Config", {}, GPT2_STAGES, 0.124),
        Known(
            "gpt2-medium",
            "GPT-2 medium, 355M",
            "GPT2Config",
            {"n_embd": 1024, "n_layer": 24, "n_head": 16},
            GPT2_STAGES,
            0.355,
        ),
        Known("llama-1b", "Llama style, sizes of Llama-3.2-1B", "LlamaConfig", _LLAMA_1B, LLAMA_STAGES, 1.236),
        Known("qwen-0.5b", "Qwen style, sizes of Qwen2.5-0.5B", "Qwen2Config", _QWEN_05B, LLAMA_STAGES, 0.494),
    )
}
QUICK = ("gpt2",)

# Bytes are the tokens where a model brings no tokenizer.
PROMPTS = (
    "The best thing about writing a kernel twice is that the two can be compared, and",
    "On the desk lies a model, beside it a profile, and in the profile one layer that",
    "A measurement that nobody repeats is an anecdote; what the second run showed was",
    "def rms_norm(x, weight, eps):\n    return x * (x * x).mean(-1, keepdim=True).add(eps)",
    "Half of all tokens came from the cache, and the other half had to be computed by",
)
PROMPT_TOKENS = 16


def dtype_of(name: str) -> torch.dtype:
    """`float32` or `bfloat16` as torch names it."""
    return getattr(torch, name)


@torch.inference_mode(mode=False)
def load(name: str, dtype: torch.dtype) -> Any:
    """A model in evaluation mode: of the zoo by its name, else of a local folder or a hub id.

    Its parameters are those of any program, which require a gradient, also where inference mode is on: with others
    PyTorch copies the weight of the vocabulary once for every prompt (bfloat16: 80 tokens of GPT-2 took ten times as
    long).

    Raises:
        ValueError: neither is there, with what transformers says about it.
    """
    import transformers

    if name in ZOO:
        known = ZOO[name]
        torch.manual_seed(SEED)
        config = getattr(transformers, known.config)(**known.sizes)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:  # norms and biases begin as ones and zeros, which would hide mistakes
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return model
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"model is {name!r}, expected one of {', '.join(ZOO)}, a folder or a hub id of transformers: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def stages(model: Any) -> Stages:
    """The stages of a model, by whether it is of GPT-2's kind."""
    return GPT2_STAGES if model.config.model_type == "gpt2" else LLAMA_STAGES


def cumulative(stages: Stages) -> list[tuple[str, tuple[str, ...]]]:
    """Each stage with its ops and those of all before it."""
    return [(stage, sum((more for _, more in stages[: index + 1]), ())) for index, (stage, _) in enumerate(stages)]


def float_stages(model: Any) -> list[tuple[str, tuple[str, ...]]]:
    """The stages of a model that keep its answers, each with its ops and those before it."""
    return [(stage, ops) for stage, ops in cumulative(stages(model)) if stage != INT8]


def prompts(name: str, vocabulary: int) -> torch.Tensor:
    """PROMPTS as int64 [5, PROMPT_TOKENS], by the model's own tokenizer if it is loaded with one, else bytes."""
    if name not in ZOO:
        import transformers

        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError):
            tokenizer = None
        if tokenizer is not None:
            rows = [tokenizer(text)["input_ids"][:PROMPT_TOKENS] for text in PROMPTS]
            length = min(map(len, rows))
            return torch.tensor([row[:length] for row in rows])
    return torch.tensor([list(text.encode()[:PROMPT_TOKENS]) for text in PROMPTS]) % vocabulary


def is_known(name: str) -> bool:
    """Whether a name is one of the zoo or a folder that is there; a hub id can only be tried."""
    return name in ZOO or Path(name).exists()
