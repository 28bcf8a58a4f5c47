"""`kernelize` of one model replaces the rotary function of every model of its family in the process.

What: kernelizes one of two small Llamas with a rotary function that returns its arguments, and calls the other one.
Expected: the second model gives the same result as before.
Seen: it uses the rotary function of the first, because both models share the function of the Python module.
Whose: huggingface/kernels and transformers. Takes about 5 s.
"""

import platform
import sys
import warnings
from importlib.metadata import version

import torch
import transformers
from kernels import Mode, use_kernel_mapping
from torch import nn

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 8}


class Unrotated(nn.Module):
    """A replacement rotary function whose results differ from the original."""

    has_backward = True
    can_torch_compile = True

    def forward(self, q, k, cos, sin, unsqueeze_dim=1):
        return q, k


class Repository:
    """A repository for a kernel mapping that loads a layer of this process."""

    def load(self) -> type[nn.Module]:
        return Unrotated


def main() -> int:
    print(
        f"torch {version('torch')}, transformers {version('transformers')}, kernels {version('kernels')}, "
        f"Python {platform.python_version()}"
    )
    warnings.simplefilter("ignore")  # it warns about marked layers without a mapping
    torch.manual_seed(0)
    first, second = (transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval() for _ in range(2))
    ids = torch.arange(6)[None]
    with torch.no_grad():
        before = second(ids).logits
        with use_kernel_mapping({"rotary_pos_emb": {"cpu": {Mode.INFERENCE: Repository()}}}, inherit_mapping=False):
            first.kernelize()
        after = second(ids).logits
    difference = (after - before).abs().max().item()
    print(f"the model that was not kernelized: largest difference {difference:.2g}")
    return 0 if difference else 3


if __name__ == "__main__":
    sys.exit(main())
