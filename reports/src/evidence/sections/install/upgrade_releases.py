"""What other releases of PyTorch export, as `upgrade_symbols` has read it from their wheels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

DATA = Path(__file__).with_name("upgrade_symbols.json")


@dataclass(frozen=True)
class Release:
    """What a release exports of the symbols that were asked for; neither list says anything of other symbols.

    `sources`: for a route, whether its C++ compiled against the release's headers.
    """

    torch: str
    wheel: str
    sha256: str
    bytes: int
    read_utc: str
    exported: tuple[str, ...]
    absent: tuple[str, ...]
    sources: dict[str, dict[str, str]] = field(default_factory=dict)

    def missing(self, symbols: Iterable[str]) -> list[str]:
        """Those of the symbols that the release does not export."""
        return sorted(set(symbols) & set(self.absent))

    def unknown(self, symbols: Iterable[str]) -> list[str]:
        """Those of the symbols that nobody asked for when the release was read."""
        return sorted(set(symbols) - set(self.absent) - set(self.exported))


def releases(file: Path = DATA) -> list[Release]:
    """The releases that were read, oldest first.

    Raises:
        ValueError: the file is not what this tool writes.
    """
    if not file.exists():
        return []
    try:
        entries = [
            Release(**{**row, "exported": tuple(row["exported"]), "absent": tuple(row["absent"])})
            for row in json.loads(file.read_text())["releases"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} holds no releases as this tool writes them: {error}") from None
    return sorted(entries, key=lambda release: [int(part) for part in release.torch.split("+")[0].split(".")])


def store(release: Release, file: Path = DATA) -> None:
    """Put a release into the file, in the place of an earlier reading of it."""
    kept = [known for known in releases(file) if known.torch != release.torch]
    rows = [asdict(known) for known in sorted([*kept, release], key=lambda known: known.torch)]
    file.write_text(json.dumps({"releases": rows}, indent=1) + "\n")
