"""Folders of built files, kept by the content of everything that went into them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

MAX_BUILDS = 3  # builds of one name
_KEY_LENGTH = 24


def content_key(parts: Iterable[bytes]) -> str:
    """A hash of all parts in their order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:_KEY_LENGTH]


def folder_of(cache: Path, name: str, key: str) -> Path:
    """Where a build of this name and key is kept, whether or not it is there."""
    return cache / f"{name}-{key}"


def cached_folder(cache: Path, name: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The folder of a build.

    Args:
        cache: the folder of all builds of this kind.
        name: of what is built; the newest few builds of a name are kept.
        key: of `content_key`.
        fill: writes the files into an empty folder, where there are none under this key.
    """
    folder = folder_of(cache, name, key)
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=cache, prefix="part-"))
        try:
            fill(partial)
            with contextlib.suppress(OSError):  # another process was faster
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        builds = sorted(cache.glob(f"{name}-" + "[0-9a-f]" * _KEY_LENGTH), key=lambda path: path.stat().st_mtime)
        for outdated in builds[:-MAX_BUILDS]:
            shutil.rmtree(outdated, ignore_errors=True)
    os.utime(folder)
    return folder
