"""Backward through a custom op without an autograd formula warns once and continues with a wrong gradient.

What: y = op(x) * x with an op that has a CPU kernel, as in C++, but no autograd kernel; dy/dx = op'(x) x + op(x).
Expected: an error that names the op, as from `torch.library.custom_op` without a formula.
Seen: a UserWarning (by default once per process) and a gradient without the op's part. `torch.func.grad` of the op
alone gives zeros, and `torch.func.jvp` gives zero tangents without any warning.
Whose: PyTorch; the warning says that the behaviour is deprecated.
"""

import platform
import sys
import warnings

import torch

library = torch.library.Library("upstream_autograd", "DEF")
library.define("double(Tensor x) -> Tensor")
library.impl("double", lambda x: torch.tensor(2 * x.item()), "CPU")
double = torch.ops.upstream_autograd.double


def gradient():
    """The gradient of double(x) * x at x = 3, which should be 12, and the number of warnings."""
    x = torch.tensor(3.0, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        (double(x) * x).backward()
    return x.grad.item(), len(caught)


def main() -> int:
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    results = [gradient() for _ in range(3)]
    for value, warned in results:
        print(f"gradient {value:g}, right is 12, {warned} warnings")
    with warnings.catch_warnings(record=True) as caught:
        _, tangent = torch.func.jvp(double, (torch.tensor(3.0),), (torch.tensor(1.0),))
    print(f"torch.func.jvp: tangent {tangent.item():g}, right is 2, {len(caught)} warnings")
    return 0 if any(value != 12 for value, _ in results) else 3


if __name__ == "__main__":
    sys.exit(main())
