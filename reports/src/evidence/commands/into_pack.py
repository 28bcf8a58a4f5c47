"""The pack that a command of one section writes into."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from evidence.pack import Pack, empty_pack, read_pack


def pack_for(given: Path | None, section: str, what: str) -> tuple[Path, Pack]:
    """The pack to write into and its folder; a new one in reports/out where none is named or there.

    Args:
        given: a pack's folder or its pack.json; by default reports/out/latest.
        section: names the new folder.
        what: the section in words, for the reason that a new pack gives for the others.

    Raises:
        PackError: the pack cannot be read.
    """
    from evidence.measure import machine

    latest = machine.ROOT / "reports" / "out" / "latest"
    path = given or (latest.resolve() if latest.exists() else None)
    if path is not None and path.exists():
        return path if path.is_dir() else path.parent, read_pack(path)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = path or latest.with_name(f"{machine.short_name()}-{section}-{stamp}")
    folder.mkdir(parents=True)
    pack = empty_pack(f"only {what} was asked for; `nox -s compare` measures the rest")
    pack.set_facts("machine", machine.machine())
    pack.set_facts("versions", machine.versions())
    pack.set_facts("settings", machine.settings())
    pack.finish()
    return folder, pack
