"""The GPU half of the Mojo side, op by op: what the kernel takes, and the Python that launches it.

The op modules of `mojo_ops` are imported under another name and between stand-ins for their registration with PyTorch
and for the MAX engine. So nothing has to be built, and a launch can be sent elsewhere than to a device.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from shared_tests.op_files import op_file, ops_in

if TYPE_CHECKING:
    from mojo_ops.kernel import Kernel

MOJO_OPS = Path(__file__).resolve().parents[2] / "mojo_ops"
KERNELS = MOJO_OPS / "kernels"
_PACKAGE = "mojo_ops_launched_elsewhere"

Launcher = Callable[["Kernel", list[Tensor], Sequence[float]], None]
"""Runs a kernel on contiguous tensors, outputs first, and the values of its scalars."""

_launchers: list[Launcher] = []
_runs: dict[str, tuple[Callable[..., None], bool]] = {}


@dataclass(frozen=True)
class Binding:
    """How an op reaches its kernel on a GPU.

    Attributes:
        kernel: dtypes and ranks of the kernel's arguments.
        struct: name of the Mojo struct that MAX calls, in the module `source` of the kernel package.
        source: text of that module, written as in a build.
        run: `(outputs, *inputs)`, or `(*inputs)` for an op that writes its inputs; calls the launcher.
        in_place: whether the op writes its inputs.
    """

    kernel: Kernel
    struct: str
    source: str
    run: Callable[..., None]
    in_place: bool

    def call(self, args: Sequence[Any], outputs: Sequence[Tensor], launcher: Launcher) -> None:
        """Runs the op as on a GPU, but with `launcher` in the place of the engine.

        Args:
            args: in the order of the schema; trailing ones may be left to their defaults.
            outputs: contiguous, in the order of the schema; unused where the op writes its inputs.
            launcher: called for each kernel.
        """
        with _launching(launcher):
            if self.in_place:
                self.run(*args)
            else:
                self.run(tuple(outputs) if len(outputs) > 1 else outputs[0], *args)


@cache
def binding(op: str, kernels: Path = KERNELS) -> Binding:
    """The binding of an op.

    Args:
        op: name.
        kernels: folder of the Mojo sources.

    Raises:
        LookupError: the op's Mojo file has no declaration, `struct Op(TorchOp)`.
    """
    artifacts = side_module("artifacts")
    side_module(f"ops.{artifacts.module_of(op)}")
    kernel: Kernel = artifacts.kernel_of(op)
    module = op_file(kernels, op, ".mojo")
    if re.search(rf"^struct Op\(TorchOp\)|^comptime {op} = ", module.read_text(), re.MULTILINE) is None:
        raise LookupError(f"{module.name} has no `struct Op(TorchOp)`, from which the op's entry on a GPU is generated")
    run, in_place = _runs[op]
    return Binding(kernel, kernel.struct, bindings_source([kernel]), run, in_place)


def bindings_source(kernels: Iterable[Kernel]) -> str:
    """The module `bindings` of the kernel package, as a build of these ops writes it."""
    return str(side_module("bindings").module(kernels))


def side_module(name: str) -> ModuleType:
    """A module of `mojo_ops` without the package around it, which loads what has been built."""
    _import_package()
    return importlib.import_module(f"{_PACKAGE}.{name}")


def op_names() -> list[str]:
    """Every op of the Mojo side, sorted."""
    return sorted(op for file in (MOJO_OPS / "src/mojo_ops/ops").glob("*.py") for op in ops_in(file.stem))


@contextmanager
def _launching(launcher: Launcher) -> Iterator[None]:
    _launchers.append(launcher)
    try:
        yield
    finally:
        _launchers.pop()


@cache
def _import_package() -> None:
    folder = MOJO_OPS / "src/mojo_ops"
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[_PACKAGE] = package
    _stand_in("_direct", differentiable=_unchanged, direct=_unchanged)
    _stand_in(
        "register",
        define=_define,
        define_in_place=_define_in_place,
        launch=_launch,
        register_autograd=_nothing,
        no_gradient=_nothing,
    )


def _stand_in(name: str, **members: Callable[..., Any]) -> None:
    module = ModuleType(f"{_PACKAGE}.{name}")
    vars(module).update(members)
    sys.modules[module.__name__] = module


def _unchanged(overload: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: function


def _nothing(*args: Any, **named: Any) -> None:
    pass


def _define(kernel: Kernel, schema: str, run: Callable[..., None], **named: Any) -> None:
    _runs[kernel.name] = run, False


def _define_in_place(kernel: Kernel, schema: str, run: Callable[..., None]) -> None:
    _runs[kernel.name] = run, True


def _launch(
    kernel: Kernel,
    flat: Sequence[Tensor],
    shape: Sequence[int],
    other_tensors: Sequence[Tensor | None] = (),
    scalars: Sequence[float] = (),
) -> None:
    arguments = importlib.import_module(f"{_PACKAGE}.gpu_tensors")
    _launchers[-1](kernel, arguments.kernel_tensors(kernel, flat, shape, other_tensors), scalars)
