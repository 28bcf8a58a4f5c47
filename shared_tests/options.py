"""Pytest plugin with the options of the suite, loaded by pyproject.toml so that every test file has them.

Without `--all`, tests marked `full` are left out, and the other tests take the samples that `selection.py` chooses.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("custom ops")
    group.addoption("--device", default="cpu", choices=("cpu", "cuda"), help="device that the samples are built on")
    group.addoption("--ops", default="", help="comma-separated op names (default: all)")
    group.addoption("--routes", default="", help="comma-separated route names (default: all)")
    group.addoption("--all", action="store_true", help="run every sample in every dtype, and the tests marked `full`")
    group.addoption("--all-jit-samples", action="store_true", help="test JIT routes on every sample, not only on a few")
    group.addoption("--few-samples", action="store_true", help="test every route on the few samples of the JIT routes")
    group.addoption("--all-families", action="store_true", help="patched models: test every family on every route")
    group.addoption(
        "--verdicts",
        default=None,
        help="write passed/failed/skipped by op, route and dtype to this JSON file; takes every sample, as --all does",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `full`, unless the run takes all of them."""
    if config.getoption("--all"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
