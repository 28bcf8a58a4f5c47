"""What patching needs beside this package: transformers, and the `kernels` that it works with."""

from __future__ import annotations

from importlib import metadata

# transformers 5.12 takes no other version of kernels; the optional dependencies `models` ask for the same.
REQUIREMENTS = {"transformers": ">=5.12", "kernels": ">=0.12,<0.13"}


def check() -> None:
    """Raises ImportError unless all of `REQUIREMENTS` are installed; says what to install."""
    for name, versions in REQUIREMENTS.items():
        install = f"run `pip install '{name}{versions}'`"
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ImportError(f"patch: {name} is not installed; {install}") from None
        from packaging.specifiers import SpecifierSet  # transformers and kernels bring it

        if not SpecifierSet(versions).contains(installed, prereleases=True):
            raise ImportError(f"patch: {name} is {installed}, expected {versions}; {install}")
