"""`torch.library.custom_op` costs several times what `torch.library.Library.define/impl` costs for the same function.

What: the same Python function on two tensors of 16 elements, registered in both ways, with and without grad mode.
Expected: about the same cost, because both APIs end in one Python call.
Seen: see the output. The difference is spent in the Python wrappers of custom_op (autograd, ADInplaceOrView, device
keys).
Whose: PyTorch. Known: pytorch/pytorch#139500, pytorch/pytorch#176592.
"""

import platform
import sys
import timeit

import torch


@torch.library.custom_op("upstream_custom::add", mutates_args=())
def custom(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.add(a, b)


library = torch.library.Library("upstream_impl", "DEF")
library.define("add(Tensor a, Tensor b) -> Tensor")
library.impl("add", torch.add, "CPU")


def microseconds(function, *args):
    """Median time of a call over five runs of 5,000 calls."""
    times = sorted(timeit.repeat(lambda: function(*args), number=5000, repeat=5))
    return times[2] / 5000 * 1e6


def main() -> int:
    a, b = torch.ones(16), torch.ones(16)
    plain = microseconds(torch.add, a, b)
    impl = microseconds(torch.ops.upstream_impl.add.default, a, b)
    both = {"grad mode": microseconds(custom, a, b)}
    with torch.no_grad():
        both["no_grad"] = microseconds(custom, a, b)
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    print(f"torch.add {plain:.1f} us, Library.impl {impl:.1f} us")
    for mode, time in both.items():
        print(f"custom_op, {mode}: {time:.1f} us, {time / impl:.1f}x Library.impl")
    return 0 if min(both.values()) > 1.5 * impl else 3


if __name__ == "__main__":
    sys.exit(main())
