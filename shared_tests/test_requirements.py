"""requirements.txt chooses versions; constraints.txt, which `nox -s lock` writes, pins all their dependencies."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def pins(name: str) -> set[tuple[str, str]]:
    """The name and version in each line of a requirements file. Raises AssertionError for a line without `==`."""
    result: set[tuple[str, str]] = set()
    for line in (ROOT / name).read_text().splitlines():
        if requirement := line.partition("#")[0].strip():
            parsed_requirement = Requirement(requirement)
            (specifier,) = parsed_requirement.specifier
            assert specifier.operator == "==", line
            result.add((canonicalize_name(parsed_requirement.name), specifier.version))
    return result


def test_constraints_hold_the_versions_that_requirements_choose() -> None:
    requirements, constraints = pins("requirements.txt"), pins("constraints.txt")
    assert requirements <= constraints, f"run `nox -s lock`: {sorted(requirements - constraints)}"
    assert len(constraints) > len(requirements)


def test_constraints_hold_for_torch_with_cuda_too() -> None:
    """The constraints cover PyPI's torch, which depends on NVIDIA's packages on Linux."""
    names = {name for name, _ in pins("constraints.txt")}
    assert {"triton", "nvidia-cublas", "nvidia-cudnn-cu13"} <= names
    assert not [version for _, version in pins("constraints.txt") if "+" in version]
