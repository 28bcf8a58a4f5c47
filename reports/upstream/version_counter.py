"""A custom op that declares `Tensor(a!)` does not increase the version counter, so autograd misses its write.

What: `out * out` saves `out` for backward, a custom op registered with `Library.define/impl` writes it (TORCH_LIBRARY
in C++ behaves the same), then backward runs.
Expected: “one of the variables needed for gradient computation has been modified by an inplace operation”, as for
PyTorch's own in-place ops. The dispatcher knows the schema and could increase the counter.
Seen: `_version` is unchanged, and the gradient is wrong without an error.
Whose: PyTorch. `torch.library.custom_op` increases the counter itself. Other registrations need a kernel for the key
ADInplaceOrView, which the tutorials do not show.
"""

import platform
import sys

import torch

library = torch.library.Library("upstream_version", "DEF")
library.define("fill(Tensor(a!) out, float value) -> ()")
library.impl("fill", lambda out, value: out.detach().numpy().fill(value), "CPU")


def main() -> int:
    leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    saved = leaf.clone()
    loss = (saved * saved).sum()
    before = saved._version
    torch.ops.upstream_version.fill(saved, 100.0)
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    print(f"version {before} before the op, {saved._version} after it")
    try:
        loss.backward()
    except RuntimeError as error:
        print(f"noticed: {error}")
        return 3
    print(f"gradient {leaf.grad.tolist()}, right is {(2 * leaf.detach()).tolist()}")
    return 0 if saved._version == before else 3


if __name__ == "__main__":
    sys.exit(main())
