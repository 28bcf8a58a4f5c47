"""Compiles the kernels that a session's emulated tests need: each op once, before the first of these tests."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from shared_tests.emulator import mojo_build, toolkit
from shared_tests.emulator.build import build_sides
from shared_tests.emulator.devices import EMULATED
from shared_tests.emulator.run import SIDES
from shared_tests.emulator.toolkit import ToolkitError

_COMPILERS: dict[str, Callable[[], object]] = {"cpp": toolkit.find, "mojo": mojo_build.mojo}


def missing_toolchain(side: str) -> str | None:
    """The reason why this machine cannot compile the kernels of a side, or None if it can."""
    try:
        toolkit.find()  # both sides need ptxas
        _COMPILERS[side]()
    except ToolkitError as error:
        return str(error)
    return None


def needed_kernels(items: Iterable[pytest.Item]) -> set[tuple[str, str]]:
    """Side and op of the kernels that tests with the fixture `compiled` need.

    They are in `COMPILED` of the test's module, or else the test's parameters `side` and `spec`.
    """
    kernels: set[tuple[str, str]] = set()
    for item in items:
        if isinstance(item, pytest.Function) and "compiled" in item.fixturenames:
            of_module: Iterable[tuple[str, str]] = getattr(item.module, "COMPILED", ())
            parameters: Mapping[str, Any] = {} if of_module else item.callspec.params
            kernels |= set(of_module) or {(parameters["side"], parameters["spec"].name)}
    return kernels


def compile_kernels(kernels: set[tuple[str, str]]) -> None:
    """Compile the kernels that are not in the cache, in parallel. Other processes of the session wait."""
    with open(toolkit.cache_folder() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for side in SIDES:
            ops = [op for op_side, op in sorted(kernels) if op_side == side]
            if ops and missing_toolchain(side) is None:
                build_sides(ops, [side], [EMULATED])
