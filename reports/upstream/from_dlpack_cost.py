"""`Buffer.from_dlpack(tensor)` costs more than the call of a small op.

What: passes a float32 tensor of 16 elements to MAX without a copy, in each way that the driver offers.
Expected: about the cost of DLPack's C exchange, well below a microsecond.
Seen: microseconds per tensor through the public function, most of them in Python (`Tensor.__dlpack__` and the checks
of both sides). Passing the same capsule to the driver's inner function takes a fraction.
Whose: Modular (a C exchange table would avoid it), in part PyTorch (`Tensor.__dlpack__` is Python).
"""

import platform
import sys
import timeit
from importlib.metadata import version

import torch
from max.driver import Buffer
from torch.utils.dlpack import to_dlpack


class Host:
    """The DLPack methods of a tensor without the checks of `Tensor.__dlpack__`."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **_):
        return to_dlpack(self.tensor)

    def __dlpack_device__(self):
        return (1, 0)


def microseconds(function):
    """Median time of a call over five runs of 5,000 calls."""
    times = sorted(timeit.repeat(function, number=5000, repeat=5))
    return times[2] / 5000 * 1e6


def main() -> int:
    tensor = torch.ones(16)
    ways = {
        "Buffer.from_dlpack(tensor)": lambda: Buffer.from_dlpack(tensor),
        "Buffer.from_numpy(tensor.numpy())": lambda: Buffer.from_numpy(tensor.numpy()),
        "Buffer._from_dlpack(tensor)": lambda: Buffer._from_dlpack(tensor),
        "Buffer._from_dlpack of to_dlpack(tensor)": lambda: Buffer._from_dlpack(Host(tensor)),
        "to_dlpack(tensor) alone": lambda: to_dlpack(tensor),
        "torch.add of two, for comparison": lambda: torch.add(tensor, tensor),
    }
    print(f"torch {torch.__version__}, modular {version('modular')}, Python {platform.python_version()}")
    times = {}
    for name, way in ways.items():
        times[name] = microseconds(way)
        print(f"{name}: {times[name]:.2f} us")
    public, inner = times["Buffer.from_dlpack(tensor)"], times["Buffer._from_dlpack of to_dlpack(tensor)"]
    print(f"the public function takes {public / inner:.1f} times the inner one")
    return 0 if public > 1.5 * inner else 3


if __name__ == "__main__":
    sys.exit(main())
