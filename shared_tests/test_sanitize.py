"""The sanitizers of `nox -s sanitize` stop a process at the faults that they are there for."""

from __future__ import annotations

import pytest

from shared_tests import sanitize


@pytest.mark.full
@pytest.mark.parametrize("name", sanitize.PLANTED)
def test_planted_fault_is_caught(name: str) -> None:
    try:
        sanitize.environment()
    except (FileNotFoundError, OSError) as error:
        pytest.skip(str(error))
    assert sanitize.sanitizer_failure(name) is None
