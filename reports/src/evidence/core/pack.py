"""The evidence pack: a folder with `pack.json.gz` (checked against `pack.schema.json`), raw samples and the report.

A pack is JSON, compressed with gzip, so that other tools can read it. Every section says whether it ran and, if it did
not, why. A number that is not known is null, never NaN.
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
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from msgspec import Struct

from evidence.core import tables

SCHEMA_VERSION = 3
PACK_FILE = "pack.json.gz"
PLAIN_FILE = "pack.json"
"""The name that earlier releases wrote; it can still be read."""
RAW_FILE = "raw.json.gz"
GZIP_MAGIC = b"\x1f\x8b"

FACT_SECTIONS = ("machine", "versions", "settings")
ROW_SECTIONS = (
    "correctness",
    "runtime",
    "noise",
    "roofline",
    "dispatch",
    "waterfall",
    "crossover",
    "threads",
    "integration",
    "build",
    "code",
    "targets",
    "gpu",
    "footprint",
    "upgrade",
    "faults",
    "models",
    "claims",
    "verdict",
    "decisions",
)
SECTIONS = FACT_SECTIONS + ROW_SECTIONS
LATER_SECTIONS = ("gpu",)
"""Those that packs of this schema version may lack, because they were added without a new version."""

RAN = "ran"
PARTIAL = "partial"
DID_NOT_RUN = "did not run"
COMPLETE = "complete"

Row = dict[str, Any]
T = TypeVar("T", bound=Struct)


class PackError(ValueError):
    """A pack that cannot be read or written; the message names the field, what came and what was expected."""


@dataclass
class Pack:
    """A pack in memory. `data` is exactly what the file holds; the methods keep its sections well formed."""

    data: dict[str, Any]
    _typed: dict[type[Struct], list[Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        """Sections that did not run or ran in part, each with its reason."""
        return [
            {"section": name, "reason": self.reason(name) or "no reason was recorded"}
            for name in SECTIONS
            if self.section_status(name) != RAN
        ]

    def table(self, row_type: type[T]) -> list[T]:
        """The typed rows of a table, for example `table(TargetRow)`; empty when it did not run.

        Raises:
            PackError: a row that does not fit its type.
        """
        if row_type not in self._typed:
            name = tables.name_of(row_type)
            self._typed[row_type] = tables.convert(row_type, self.data[name]["rows"])
        return self._typed[row_type]

    def rows(self, section: str) -> list[Row]:
        """The rows of a table as the file holds them, empty when it did not run. They may be changed."""
        self._typed.clear()
        rows: list[Row] = self.data[section]["rows"]
        return rows

    def facts(self, section: str) -> dict[str, Any]:
        """The facts of `machine`, `versions` or `settings`."""
        facts: dict[str, Any] = self.data[section]["facts"]
        return facts

    def section_status(self, section: str) -> str:
        """`ran`, `partial` or `did not run`."""
        return str(self.data[section]["status"])

    def reason(self, section: str) -> str | None:
        """Why a section is not complete, or None."""
        reason: str | None = self.data[section]["reason"]
        return reason

    def set_rows(
        self, section: str, rows: Sequence[Row | Struct], status: str = RAN, reason: str | None = None
    ) -> None:
        """Replace a row section; a status other than `ran` needs a reason."""
        self._typed.clear()
        self.data[section] = {
            **_state(section, ROW_SECTIONS, status, reason),
            "rows": [tables.plain(row) for row in rows],
        }

    def set_facts(self, section: str, facts: dict[str, Any], status: str = RAN, reason: str | None = None) -> None:
        """Replace `machine`, `versions` or `settings`."""
        self.data[section] = {**_state(section, FACT_SECTIONS, status, reason), "facts": facts}

    def skip(self, section: str, reason: str) -> None:
        """Record that a section did not run, and why."""
        self._typed.clear()
        kind = "facts" if section in FACT_SECTIONS else "rows"
        empty: Any = {} if kind == "facts" else []
        self.data[section] = {**_state(section, SECTIONS, DID_NOT_RUN, reason), kind: empty}

    def finish(self) -> None:
        """Mark the run as having reached its end."""
        self.data["status"] = COMPLETE


def _state(section: str, known: tuple[str, ...], status: str, reason: str | None) -> dict[str, Any]:
    if section not in known:
        raise PackError(f"section is {section!r}, expected one of {', '.join(known)}")
    if status != RAN and not reason:
        raise PackError(f"{section}.reason is empty, expected the reason why the section is {status!r}")
    return {"status": status, "reason": reason}


def empty_pack(reason: str = "not reached yet") -> Pack:
    """A valid pack in which no section ran; a run fills it section by section."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = {"schema_version": SCHEMA_VERSION, "created_utc": now, "status": PARTIAL, "missing": []}
    pack = Pack(data)
    for name in SECTIONS:
        pack.skip(name, reason)
    data["missing"] = pack.missing
    return pack


def read_pack(path: str | Path) -> Pack:
    """Read and check a pack, given its folder or its file, compressed or not. Raises PackError naming the field."""
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
    if isinstance(data, dict):
        _add_later_sections(data)
    check(data, str(file))
    return Pack(data)


def _add_later_sections(data: dict[str, Any]) -> None:
    """Sections that a pack of an earlier release does not have count as not run."""
    for name in LATER_SECTIONS:
        if name not in data and data.get("schema_version") == SCHEMA_VERSION:
            Pack(data).skip(name, "this pack was made by a release without this section")


def write_pack(pack: Pack, folder: str | Path) -> Path:
    """Check the pack and write `folder/pack.json.gz` in one step: an interruption leaves the old file or the new.

    Brings `missing` up to date and removes the uncompressed file of an earlier release. Raises PackError when a value
    does not fit the schema or is NaN or infinite.
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


def check(data: Any, source: str = PACK_FILE) -> None:
    """Raise PackError for the first field of `data` that does not fit the schema."""
    if not isinstance(data, dict):
        raise PackError(f"{source}: the whole is {_kind(data)}, expected an object")
    if "schema_version" not in data:
        raise PackError(f"{source}: schema_version is missing, expected {SCHEMA_VERSION}")
    version = data["schema_version"]
    if version != SCHEMA_VERSION or isinstance(version, bool):
        age = ""
        if isinstance(version, int) and not isinstance(version, bool):
            age = "older, made by an earlier release: " if version < SCHEMA_VERSION else "newer than this release: "
        raise PackError(f"{source}: {age}schema_version is {_shown(version)}, expected {SCHEMA_VERSION}")
    errors = sorted(_validator().iter_errors(data), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise PackError(f"{source}: {_explain(errors[0])}")


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    schema = json.loads(resources.files("evidence.core").joinpath("pack.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def _explain(error: ValidationError) -> str:
    where = ""
    for part in error.absolute_path:
        where += f"[{part}]" if isinstance(part, int) else f"{'.' if where else ''}{part}"
    if error.validator == "required":
        absent = next(name for name in error.validator_value if name not in error.instance)
        return f"{where + '.' if where else ''}{absent} is missing"
    wanted = error.validator_value
    if error.validator == "type":
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
    elif error.validator == "enum":
        wanted = " or ".join(_shown(value) for value in wanted)
    else:
        wanted = f"{error.validator} {_shown(wanted)}"
    return f"{where} is {_shown(error.instance)} ({_kind(error.instance)}), expected {wanted}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


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
