"""An op of the stable ABI cannot ask in C whether a call needs a derivative, so every call goes through Python first.

What: a gradient formula registered from Python (`torch.library.register_autograd`, or a kernel of the Autograd key)
stands in front of the C++ kernel of every call outside inference mode. A boxed kernel on the Autograd key could answer
the calls that need no derivative and hand the others to Python, but the C shim lacks what that takes.
Expected: functions of the shim that tell whether a tensor requires grad or has a tangent, that tell its dispatch keys
or go on with the call below the current key (`OperatorHandle::redispatchBoxed` in C++), and that let an exception
through.
Seen: none of them up to torch 2.16 (as `main` had it in November 2026). A call that goes to Python over
`torch_call_dispatcher` comes back with an error code and a text: the type of the exception is lost, on which
activation checkpointing relies (`_StopRecomputationError`) and every FakeTensor trace. `cpp_ext` and `mojo_ops` work
around it by functions and offsets of libc10 that nothing promises, and go back to Python where those are not found.
Whose: PyTorch.
"""

import ctypes
import platform
import re
import statistics
import sys
import time
from pathlib import Path

import torch

ROUNDS, CALLS = 15, 2000
VERSION = 2 << 56 | 11 << 48  # of the headers that a caller was built with: 2.11
HEADERS = ("csrc/stable/c/shim.h", "csrc/inductor/aoti_torch/c/shim.h")
WANTED = {
    "telling whether a tensor requires grad": r"get_requires_grad|requires_grad\(AtenTensorHandle \w+, bool\*",
    "telling whether it has a tangent": r"fw_grad|tangent",
    "telling its dispatch keys": r"dispatch_key|key_set",
    "calling below the current key": r"redispatch",
}

library = torch.library.Library("upstream_stable_autograd", "DEF")
for op in ("plain", "formula"):
    library.define(f"{op}(Tensor x) -> Tensor")
    library.impl(op, torch.clone, "CPU")
plain, formula = (getattr(torch.ops.upstream_stable_autograd, op).default for op in ("plain", "formula"))
library.impl("plain", torch.library.fallthrough_kernel, "Autograd")
library.define("raises() -> ()")


class Stop(BaseException):
    """What activation checkpointing does: an exception that its own caller waits for."""


def autograd(keys, x):
    """As short as such a kernel can be."""
    if torch.is_grad_enabled() and torch._C._any_requires_grad(x):
        raise NotImplementedError
    return formula.redispatch(keys & torch._C._after_autograd_keyset, x)


def raises():
    raise Stop("from Python")


library.impl("formula", autograd, "Autograd", with_keyset=True)
library.impl("raises", raises, "CompositeExplicitAutograd")


def microseconds(call, x):
    begin = time.perf_counter_ns()
    for _ in range(CALLS):
        call(x)
    return (time.perf_counter_ns() - begin) / CALLS / 1000


def main() -> int:
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    folder = Path(torch.__file__).parent / "include/torch"
    shim = "\n".join(re.sub(r"//.*", "", (folder / name).read_text()) for name in HEADERS)
    missing = [what for what, pattern in WANTED.items() if not re.search(pattern, shim)]
    print(f"the shim has no function {'; '.join(missing)}")

    x = torch.randn(16)
    rounds = [(microseconds(plain._op, x), microseconds(formula._op, x)) for _ in range(ROUNDS)]
    extra = statistics.median(slow - fast for fast, slow in rounds)
    print(f"a kernel of the Autograd key in Python adds {extra:.1f} us to a call that needs no derivative")

    torch_cpu = ctypes.CDLL("libtorch_cpu.so")
    if not hasattr(torch_cpu, "torch_exception_get_what"):  # before torch 2.13
        return 2
    torch_cpu.torch_exception_get_what.restype = ctypes.c_char_p
    stack = (ctypes.c_uint64 * 1)()
    code = torch_cpu.torch_call_dispatcher(b"upstream_stable_autograd::raises", b"", stack, ctypes.c_uint64(VERSION))
    text = torch_cpu.torch_exception_get_what().decode().splitlines()[0]
    print(f"{Stop.__name__} raised in Python comes back as error code {code} and the text {text!r}")
    return 0 if missing and code else 3


if __name__ == "__main__":
    sys.exit(main())
