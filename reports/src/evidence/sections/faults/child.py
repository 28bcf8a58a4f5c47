"""Loads one library of the fault corpus and calls its op; a process of its own, since it may not survive.

    python -m evidence.sections.faults.child '{"side": "cpp", "library": "pick.so", "call": "pick(x, rows, 2.0)", ...}'

Reports in JSON lines: `{"step": "load"}`, then the outcome of the call.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import importlib.util
import json
import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from evidence.core.json_lines import say

HEIGHT, WIDTH = (1 << 21) + 1, 1024
"""Of the tensor whose last row begins at element 2^31."""


def load_cpp(library: str, schema: str) -> Callable[..., Any]:
    """The op of a library that registers itself, schema included."""
    torch.ops.load_library(library)
    return torch.ops.faults.pick


def mojo_native() -> ModuleType:
    """`mojo_ops.native` in a bare package: `import mojo_ops` would load the engine and all that was built.

    Raises:
        ModuleNotFoundError: mojo_ops is not installed.
    """
    spec = importlib.util.find_spec("mojo_ops")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("mojo_ops is not installed")
    package = ModuleType("bare_mojo_ops")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[package.__name__] = package
    return importlib.import_module(f"{package.__name__}.native")


def load_mojo_aot(library: str, schema: str) -> Callable[..., Any]:
    """The op of a Mojo library, put behind the dispatcher as `mojo_ops.aot` does it."""
    native = mojo_native()
    definition = torch.library.Library("faults", "DEF")
    definition.define("pick" + schema)
    definition.define("pick.out" + schema.replace(") -> Tensor", ", *, Tensor(a!) out) -> ()"))
    native.register("faults", "pick", ctypes.CDLL(library))

    def call(*args: Any, _definition: Any = definition) -> Any:  # the definition lives as long as the op is called
        return torch.ops.faults.pick(*args)

    return call


def load_mojo(library: str, schema: str) -> Callable[..., Any]:
    """The op through MAX's `CustomOpLibrary`, which compiles it at its first call."""
    from max.experimental.torch import CustomOpLibrary

    kernel = CustomOpLibrary(Path(library)).pick

    def call(*args: Any) -> torch.Tensor:
        x, rows = args[:2]
        out = torch.full((rows.numel(), x.shape[-1] if x is not None else 1), float("nan"))
        kernel(out, *[torch.tensor(a, dtype=torch.float32) if isinstance(a, float) else a for a in args])
        return out

    return call


LOADERS = {"cpp": load_cpp, "mojo_aot": load_mojo_aot, "mojo": load_mojo}


def huge() -> torch.Tensor:
    """float32 [HEIGHT, WIDTH], 8 GiB of addresses of which one row takes memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    x = torch.frombuffer(mmap.mmap(-1, 4 * HEIGHT * WIDTH, flags=flags), dtype=torch.float32).view(HEIGHT, WIDTH)
    x[-1] = torch.arange(WIDTH)
    return x


def want(x: torch.Tensor, rows: torch.Tensor, scale: float) -> torch.Tensor:
    """The op in float64."""
    picked = x[rows].double()
    return scale * picked + picked.sum(-1, keepdim=True)


def leave_dirt(elements: int) -> None:
    """Blocks with numbers in them go back to the allocator, so that memory taken anew is not zero by chance."""
    blocks = [torch.full((elements,), 1e6) for _ in range(2)]
    del blocks


def compare(result: Any, expected: torch.Tensor | None) -> str | None:
    """What is wrong with a result, or None."""
    if expected is None:
        return "a result where there is no right one"
    if tuple(result.shape) != tuple(expected.shape):
        return f"shape {list(result.shape)}, expected {list(expected.shape)}"
    bad = ~torch.isclose(result.double(), expected, rtol=1e-4, atol=1e-2)
    if not bool(bad.any()):
        return None
    first = bad.flatten().nonzero()[0, 0]
    return (
        f"{int(bad.sum())} of {bad.numel()} elements wrong, the first {result.flatten()[first]:.6g} "
        f"instead of {expected.flatten()[first]:.6g}"
    )


def main(task: dict[str, Any]) -> None:
    """Load, call `repeat` times, compare."""
    begin = time.perf_counter()
    try:
        pick = LOADERS[task["side"]](task["library"], task["schema"])
    except Exception as error:
        say(step="load", outcome="load", message=f"{type(error).__name__}: {error}")
        return
    say(step="load", outcome="ok", seconds=time.perf_counter() - begin)
    torch.manual_seed(0)
    x, rows = torch.randn(64, 37), torch.randint(0, 64, (50,))
    names = {"torch": torch, "x": x, "rows": rows, "huge": huge, "HEIGHT": HEIGHT, "want": want}
    arguments = eval(task["call"], {**names, "pick": lambda *args: args})
    try:
        expected = eval(task["want"], names) if task["want"] else want(*arguments)
    except (IndexError, TypeError):  # the call has no right result
        expected = None
    wrong, first = 0, None
    for _ in range(task["repeat"]):
        leave_dirt(arguments[1].numel() * (x.shape[1] if arguments[0] is x else 1))
        try:
            result = pick(*arguments)
        except Exception as error:
            say(step="call", outcome="call", message=f"{type(error).__name__}: {error}")
            return
        problem = compare(result, expected)
        wrong += problem is not None
        first = first or problem
    calls = task["repeat"]
    if wrong:
        say(step="call", outcome="silent", message=f"{first} ({wrong} of {calls} calls)")
    else:
        say(step="call", outcome="no effect", message=f"the result was right in {calls} of {calls} calls")


if __name__ == "__main__":
    faulthandler.enable()
    main(json.loads(sys.argv[1]))
