"""Puts `synthetic`, a helper of these tests, on the path, which pytest in importlib mode does not; and fixtures."""

import sys
from pathlib import Path

import evidence.render
import pytest
from evidence.render.picture import Picture

sys.path.insert(0, str(Path(__file__).parent))

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _png_of_module_fixtures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the PNG files of a test's own reports blank, since they repeat the drawings of its page and take as long.

    Reports that a module's tests share are made by fixtures of the module, and have real ones.
    """

    def blank(picture: Picture, folder: Path) -> Path:
        file = folder / f"{picture.name}.png"
        file.write_bytes(PNG)
        return file

    monkeypatch.setattr(evidence.render, "to_png", blank)
