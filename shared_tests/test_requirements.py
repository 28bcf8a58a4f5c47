"""requirements.txt chooses versions; constraints.txt, which `nox -s lock` writes, pins all their dependencies."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def pins(name: str) -> set[tuple[str, str]]:
    """The name and version in each line of a requirements file. Raises AssertionError for a line without `==`."""
    result = set()
    for line in (ROOT / name).read_text().splitlines():
        if requirement := line.partition("#")[0].strip():
            parsed = Requirement(requirement)
            (specifier,) = parsed.specifier
            assert specifier.operator == "==", line
            result.add((canonicalize_name(parsed.name), specifier.version))
    return result


def test_constraints_hold_the_versions_that_requirements_choose() -> None:
    chosen, locked = pins("requirements.txt"), pins("constraints.txt")
    assert chosen <= locked, f"run `nox -s lock`: {sorted(chosen - locked)}"
    assert len(locked) > len(chosen)


def test_constraints_hold_for_torch_with_cuda_too() -> None:
    """The constraints cover PyPI's torch, which depends on NVIDIA's packages on Linux."""
    names = {name for name, _ in pins("constraints.txt")}
    assert {"triton", "nvidia-cublas", "nvidia-cudnn-cu13"} <= names
    assert not [version for _, version in pins("constraints.txt") if "+" in version]
