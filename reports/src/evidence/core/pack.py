"""The evidence pack: a folder with `pack.json.gz`, raw samples and the report.

A pack is JSON, compressed with gzip, so that other tools can read it; `core/schema.py` makes its schema from the types
of the rows. Every part says whether it was measured and, if not, why. A number that is not known is null, never NaN.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct, to_builtins

from evidence.core import tables
from evidence.core.convert import converted
from evidence.core.schema import FACT_SECTIONS as FACT_SECTIONS
from evidence.core.schema import SCHEMA_VERSION as SCHEMA_VERSION
from evidence.core.schema import PackError as PackError
from evidence.core.schema import check as check

PACK_FILE = "pack.json.gz"
PLAIN_FILE = "pack.json"
"""The name that earlier releases wrote; it can still be read."""
RAW_FILE = "raw.json.gz"
GZIP_MAGIC = b"\x1f\x8b"

RAN = "ran"
PARTIAL = "partial"
DID_NOT_RUN = "did not run"
COMPLETE = "complete"

Row = dict[str, Any]
T = TypeVar("T", bound=Struct)


def part_names() -> tuple[str, ...]:
    """The parts of a pack: facts, measured tables in the order of the page, computed tables."""
    return (*FACT_SECTIONS, *tables.all_tables())


def mode(pack: Pack) -> str:
    """How much the run of a pack measured: `full`, `standard` or `quick`; packs before the modes say quick or not."""
    settings = pack.facts("settings")
    return str(settings.get("mode") or ("quick" if settings.get("quick") else "full"))


@dataclass(frozen=True)
class Pointed(Generic[T]):
    """A row with the pointer that leads to it."""

    row: T
    pointer: str


@dataclass
class Pack:
    """A pack in memory. `data` is exactly what the file holds; the methods keep its parts well formed."""

    data: dict[str, Any]
    _typed: dict[str, list[Pointed[Any]]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def status(self) -> str:
        """`complete` when the run reached its end, `partial` while it runs or after an interruption."""
        return str(self.data["status"])

    @property
    def created_utc(self) -> str:
        """Time of creation, ISO 8601, UTC."""
        return str(self.data["created_utc"])

    @property
    def missing(self) -> list[dict[str, str]]:
        """Parts that were not measured or not completely, each with its reason."""
        return [
            {"section": name, "reason": self.reason(name) or "no reason was recorded"}
            for name in part_names()
            if self.section_status(name) != RAN
        ]

    def table(self, row_type: type[T]) -> list[T]:
        """The typed rows of a table, for example `table(TargetRow)`; empty when it was not measured.

        Raises:
            KeyError: no table has rows of this type.
        """
        return [pointed.row for pointed in self.pointed(row_type)]

    def pointed(self, row_type: type[T]) -> list[Pointed[T]]:
        """As `table`, each row with its pointer. Of a table whose rows are of several kinds, those of one kind."""
        name = tables.name_of(row_type)
        if name not in self._typed:
            rows = tables.convert(tables.all_tables()[name], self._part(name)["rows"])
            self._typed[name] = [Pointed(row, f"/{name}/rows/{index}") for index, row in enumerate(rows)]
        return [pointed for pointed in self._typed[name] if isinstance(pointed.row, row_type)]

    def rows(self, table: str) -> list[Row]:
        """The rows of a table as the file holds them, empty when it was not measured. They may be changed."""
        self._typed.pop(table, None)
        rows: list[Row] = self._part(table)["rows"]
        return rows

    def facts(self, part: str) -> dict[str, Any]:
        """The facts of `machine`, `versions` or `settings`."""
        facts: dict[str, Any] = self._part(part)["facts"]
        return facts

    def section_status(self, part: str) -> str:
        """`ran`, `partial` or `did not run`."""
        return str(self._part(part)["status"])

    def reason(self, part: str) -> str | None:
        """Why a part is not complete, or None."""
        reason: str | None = self._part(part)["reason"]
        return reason

    def set_rows(self, table: str, rows: Sequence[Row | Struct], status: str = RAN, reason: str | None = None) -> None:
        """Replace a table; a status other than `ran` needs a reason.

        A typed row that this table has is written as it was read, with keys that its type does not name.
        """
        state = _state(table, tuple(tables.all_tables()), status, reason)
        known = zip(self._typed.pop(table, ()), self._part(table)["rows"], strict=False)
        plain = {id(pointed.row): row for pointed, row in known}
        self.data[table] = {**state, "rows": [plain.get(id(row)) or _plain_row(row) for row in rows]}

    def set_facts(self, part: str, facts: dict[str, Any], status: str = RAN, reason: str | None = None) -> None:
        """Replace `machine`, `versions` or `settings`."""
        self.data[part] = {**_state(part, FACT_SECTIONS, status, reason), "facts": facts}

    def skip(self, part: str, reason: str) -> None:
        """Record that a part was not measured, and why."""
        if part in FACT_SECTIONS:
            self.set_facts(part, {}, DID_NOT_RUN, reason)
        else:
            self.set_rows(part, [], DID_NOT_RUN, reason)

    def finish(self) -> None:
        """Mark the run as having reached its end."""
        self.data["status"] = COMPLETE

    def _part(self, name: str) -> dict[str, Any]:
        """A part as the file holds it; a table that the file lacks was not measured."""
        if name in self.data:
            part: dict[str, Any] = self.data[name]
            return part
        reason = "this pack was made by a release without this section"
        return {**_state(name, tuple(tables.all_tables()), DID_NOT_RUN, reason), "rows": []}


def _state(part: str, known: tuple[str, ...], status: str, reason: str | None) -> dict[str, Any]:
    if part not in known:
        raise PackError(f"section is {part!r}, expected one of {', '.join(known)}")
    if status != RAN and not reason:
        raise PackError(f"{part}.reason is empty, expected the reason why the section is {status!r}")
    return {"status": status, "reason": reason}


def _plain_row(row: Row | Struct) -> Row:
    """A row as the file holds it."""
    return _plain(to_builtins(row, enc_hook=lambda value: _plain(value, "")), "") if isinstance(row, Struct) else row


def empty_pack(reason: str = "not reached yet") -> Pack:
    """A valid pack in which nothing was measured; a run fills it part by part."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = {"schema_version": SCHEMA_VERSION, "created_utc": now, "status": PARTIAL, "missing": []}
    pack = Pack(data)
    for name in part_names():
        pack.skip(name, reason)
    data["missing"] = pack.missing
    return pack


def read_pack(path: str | Path) -> Pack:
    """Read and check a pack, given its folder or its file, compressed or not.

    Raises:
        PackError: the file cannot be read, or has a field that does not fit, which the message names.
    """
    file = Path(path)
    if file.is_dir():
        plain = file / PLAIN_FILE
        file = file / PACK_FILE
        if plain.exists() and not file.exists():
            file = plain
    try:
        content = file.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        data = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise PackError(f"{file} does not exist, expected a pack folder or its {PACK_FILE}") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PackError(f"{file} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise PackError(f"{file} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise PackError(f"{file} is nested too deeply, expected a {PACK_FILE}") from None
    data = converted(data, str(file))
    check(data, str(file))
    return Pack(data)


def write_pack(pack: Pack, folder: str | Path) -> Path:
    """Check the pack and write `folder/pack.json.gz` in one step: an interruption leaves the old file or the new.

    Brings `missing` up to date and removes the uncompressed file of an earlier release.

    Raises:
        PackError: a value does not fit the type of its row, or is NaN or infinite.
    """
    pack.data["missing"] = pack.missing
    data = _plain(pack.data, "")
    check(data, PACK_FILE)
    parts = ",\n".join(f"{_json(name)}: {_lines(value)}" for name, value in data.items())
    file = _replace(Path(folder) / PACK_FILE, _compressed(f"{{\n{parts}\n}}\n"))
    file.with_name(PLAIN_FILE).unlink(missing_ok=True)
    return file


def _compressed(content: str) -> bytes:
    # mtime=0: the same content gives the same bytes.
    return gzip.compress(content.encode(), mtime=0)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _lines(part: Any) -> str:
    """A part of a pack as JSON with a line for each of its rows: a quarter smaller than with one for each value."""
    if not isinstance(part, dict) or not part.get("rows"):
        return _json(part)
    head = _json({name: value for name, value in part.items() if name != "rows"})
    rows = ",\n".join(map(_json, part["rows"]))
    return f'{head[:-1]},"rows":[\n{rows}\n]}}'


def write_raw(folder: str | Path, samples: Any) -> Path:
    """Write raw samples (any JSON value) as `folder/raw.json.gz`, in one step."""
    return _replace(Path(folder) / RAW_FILE, _compressed(_json(_plain(samples, ""))))


def read_raw(folder: str | Path) -> Any:
    """Raw samples of a pack folder. Raises PackError when there are none or they cannot be read."""
    file = Path(folder) / RAW_FILE
    try:
        return json.loads(gzip.decompress(file.read_bytes()))
    except FileNotFoundError:
        raise PackError(f"{file} does not exist: this pack holds no raw samples") from None
    except (OSError, EOFError, ValueError) as error:
        raise PackError(f"{file} cannot be read: {error}") from None


def _plain(value: Any, where: str) -> Any:
    """A copy of plain JSON values; NumPy scalars are unwrapped, NaN and infinity refused by field name."""
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}" if where else str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "item"):
        return _plain(value.item(), where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PackError(f"{where} is {value}, expected a finite number or null")
        return value
    if isinstance(value, Path):
        return str(value)
    raise PackError(f"{where} is {value!r} ({type(value).__name__}), expected a JSON value")


def _replace(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        # mkstemp makes the file private; a pack is meant to be shared.
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return file
