"""With Hugging Face's `kernels` installed, models of transformers with rotary embedding cannot be pickled.

What: pickles a small Llama that was built from a configuration and not kernelized.
Expected: it can be pickled, as without `kernels`.
Seen: AttributeError about a local class in which `kernels` wraps the rotary function that each attention module holds.
Whose: huggingface/kernels, or transformers, which keeps the wrapped function in the module. Takes about 5 s.
"""

import pickle
import platform
import sys
from importlib.metadata import version

import transformers

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 8}


def main() -> int:
    print(
        f"torch {version('torch')}, transformers {version('transformers')}, kernels {version('kernels')}, "
        f"Python {platform.python_version()}"
    )
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    try:
        pickle.dumps(model)
    except (AttributeError, pickle.PicklingError) as error:
        print(f"pickle.dumps: {type(error).__name__}: {error}")
        return 0
    print("pickle.dumps: works")
    return 3


if __name__ == "__main__":
    sys.exit(main())
