"""Pytest plugin with the options of the suite, loaded by pyproject.toml so that every test file has them.

The default part tests every op, route and dtype. `--all` adds what takes long and concerns packaging, toolchains and
sanitizers (marker `full`). `--all-combinations` takes the whole product where the default part takes pairs
(`selection.py`), and adds the tests that repeat one of the default part case by case (marker `combinations`).
"""

from __future__ import annotations

import gc

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("custom ops")
    group.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="device that the samples are built on")
    group.addoption("--ops", default="", help="comma-separated op names (default: all)")
    group.addoption("--routes", default="", help="comma-separated route names (default: all)")
    group.addoption("--all", action="store_true", help="add packaging, toolchains and sanitizers: tests marked `full`")
    group.addoption(
        "--all-combinations",
        action="store_true",
        help="test every sample in every dtype on every route, and add the tests marked `combinations`",
    )
    group.addoption("--all-jit-samples", action="store_true", help="test JIT routes on every sample, not only on a few")
    group.addoption("--few-samples", action="store_true", help="test every route on the few samples of the JIT routes")
    group.addoption("--all-families", action="store_true", help="patched models: test every family on every route")
    group.addoption(
        "--verdicts",
        default=None,
        help="write passed/failed/skipped by op, route and dtype to this JSON file; takes every sample",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that the options do not ask for."""
    options = {"full": "--all", "combinations": "--all-combinations"}
    markers = [marker for marker, option in options.items() if not config.getoption(option)]
    left_out = [item for item in items if any(map(item.get_closest_marker, markers))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish() -> None:
    """Spare the garbage collector the millions of objects of the collected tests and of PyTorch.

    Some libraries collect garbage in every call: a test of continuous batching took 5 s instead of 0.6 s.
    """
    gc.collect()
    gc.freeze()
