"""A TOML file that the reader edits."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def read_toml(file: Path, what: str, error: type[Exception]) -> dict[str, Any]:
    """The values of a file.

    Args:
        file: its path.
        what: it holds, for messages: `weights`.
        error: raised where it is missing, unreadable or not TOML, with the file and the reason.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{file} does not exist, expected a TOML file of {what}") from None
    except (OSError, UnicodeDecodeError) as caught:
        raise error(f"{file} cannot be read: {caught}") from None
    except tomllib.TOMLDecodeError as caught:
        raise error(f"{file} is not TOML: {caught}") from None
