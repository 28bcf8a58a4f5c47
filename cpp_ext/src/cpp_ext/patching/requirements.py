"""The packages that patching needs: transformers, and the version of `kernels` that it works with."""

from __future__ import annotations

from importlib import metadata

# transformers 5.12 accepts no other version of kernels. The optional dependencies `models` are the same.
REQUIREMENTS = {"transformers": ">=5.12", "kernels": ">=0.12,<0.13"}


def check() -> None:
    """Raises ImportError unless all of `REQUIREMENTS` are installed; the message says what to install."""
    for name, versions in REQUIREMENTS.items():
        install = f"run `pip install '{name}{versions}'`"
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ImportError(f"patch: {name} is not installed; {install}") from None
        from packaging.specifiers import SpecifierSet  # a dependency of transformers and kernels

        if not SpecifierSet(versions).contains(installed, prereleases=True):
            raise ImportError(f"patch: {name} is {installed}, expected {versions}; {install}")
