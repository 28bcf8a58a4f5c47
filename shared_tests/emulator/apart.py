"""Calls the Mojo side in a child process, where the emulated driver does not meet MAX's other routes.

MAX looks for a GPU once in a process: a process that has used MAX finds no emulated driver later, and one that has
loaded the emulated driver offers MAX's other routes a GPU.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from torch import Tensor

from shared_tests.emulator.devices import EMULATED
from shared_tests.emulator.launches import Launched, LaunchError
from shared_tests.emulator.mojo_bindings import KERNELS
from shared_tests.spec import OpSpec, all_specs


class MojoHostApart:
    """A `MojoHost` whose calls run in a child, one for the process; they are made and answered in turn.

    Args:
        target: the GPU that the launch code finds; kernels are compiled for it.
        kernels: the sources, `mojo_ops/kernels` or a copy of it.
    """

    def __init__(self, target: str = EMULATED, kernels: Path = KERNELS):
        self.target = target
        self.kernels = kernels

    def call(
        self, spec: OpSpec, args: Sequence[Any], outputs: Sequence[Tensor], *, run: bool = True, **options: Any
    ) -> tuple[Launched, ...]:
        """As `MojoHost.call`.

        Raises:
            LaunchError, ToolkitError: as there.
            BrokenProcessPool: the child died.
        """
        question = self.target, self.kernels, spec.name, tuple(args), tuple(outputs), run, options
        answer: _Answer = pickle.loads(_child().submit(_serve, pickle.dumps(question)).result())
        for tensors, contents in ((args, answer.args), (outputs, answer.outputs)):
            for tensor, content in zip(tensors, contents, strict=True):
                if isinstance(tensor, Tensor):
                    tensor.copy_(content)
        if answer.error is not None:
            raise answer.error from answer.cause
        return answer.launches


@dataclass(frozen=True)
class _Answer:
    args: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    launches: tuple[Launched, ...]
    error: LaunchError | None
    cause: BaseException | None  # pickle leaves it out of `error`


def _serve(question: bytes) -> bytes:
    """In the child. Pickled here, since multiprocessing would pass tensors as shared memory."""
    return pickle.dumps(_call(*pickle.loads(question)))


def _call(
    target: str,
    kernels: Path,
    op: str,
    args: tuple[Any, ...],
    outputs: tuple[Tensor, ...],
    run: bool,
    options: dict[str, Any],
) -> _Answer:
    try:
        launches = _host(target, kernels).call(all_specs()[op], args, outputs, run=run, **options)
    except LaunchError as error:
        return _Answer(args, outputs, error.launches, error, error.__cause__)
    return _Answer(args, outputs, launches, None, None)


@functools.cache
def _host(target: str, kernels: Path) -> Any:
    from shared_tests.emulator.mojo_host import MojoHost

    return MojoHost(target, kernels)


@functools.cache
def _child() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))
