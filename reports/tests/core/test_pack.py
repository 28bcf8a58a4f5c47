"""The pack format: what is written can be read, and a wrong field is named."""

import gzip
import inspect
import json
import math
import os

import pytest
from evidence.__main__ import main
from evidence.core.machine import ROOT
from evidence.core.pack import (
    DID_NOT_RUN,
    PACK_FILE,
    PLAIN_FILE,
    SCHEMA_VERSION,
    PackError,
    empty_pack,
    part_names,
    read_pack,
    read_raw,
    write_pack,
    write_raw,
)
from evidence.core.tables import all_tables
from evidence.sections.correctness.row import CorrectnessRow
from synthetic import synthetic_pack


def broken(tmp_path, change):
    """The error message of reading a synthetic pack after `change(data)`."""
    file = write_pack(synthetic_pack(dtypes=("float32",)), tmp_path)
    data = read_pack(file).data
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(PackError) as error:
        read_pack(tmp_path)
    return str(error.value)


def test_round_trip(tmp_path):
    pack = synthetic_pack()
    file = write_pack(pack, tmp_path / "new" / "folder")
    assert file.name == PACK_FILE
    assert read_pack(file).data == pack.data
    assert read_pack(file.parent).data == pack.data
    assert [path.name for path in file.parent.iterdir()] == [PACK_FILE]


def test_the_uncompressed_file_of_an_earlier_release_is_read_and_replaced(tmp_path):
    pack = synthetic_pack(dtypes=("float32",))
    plain = tmp_path / PLAIN_FILE
    plain.write_bytes(gzip.decompress(write_pack(pack, tmp_path).read_bytes()))
    (tmp_path / PACK_FILE).unlink()
    assert read_pack(tmp_path).data == read_pack(plain).data == pack.data
    assert write_pack(pack, tmp_path).exists()
    assert not plain.exists()


def test_a_cut_off_file_is_refused(tmp_path):
    file = write_pack(empty_pack(), tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(PackError, match="cannot be read"):
        read_pack(tmp_path)


def test_empty_pack_is_valid_and_says_what_is_missing(tmp_path):
    pack = empty_pack("interrupted")
    write_pack(pack, tmp_path)
    restored = read_pack(tmp_path)
    assert restored.status == "partial"
    assert [entry["section"] for entry in restored.data["missing"]] == list(part_names())
    assert {entry["reason"] for entry in restored.data["missing"]} == {"interrupted"}


def test_missing_follows_the_sections(tmp_path):
    pack = empty_pack()
    pack.set_facts("machine", {"cpu": "x"})
    pack.set_rows("runtime", [], status="partial", reason="interrupted")
    write_pack(pack, tmp_path)
    missing = {entry["section"]: entry["reason"] for entry in read_pack(tmp_path).data["missing"]}
    assert "machine" not in missing
    assert missing["runtime"] == "interrupted"


def test_unfinished_section_needs_a_reason():
    with pytest.raises(PackError, match=r"runtime\.reason is empty"):
        empty_pack().set_rows("runtime", [], status="partial")


def test_unknown_section_is_refused():
    with pytest.raises(PackError, match="'speed', expected one of runtime, noise"):
        empty_pack().set_rows("speed", [])


def test_no_file(tmp_path):
    with pytest.raises(PackError, match="does not exist, expected a pack folder"):
        read_pack(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "nonsense", "[" * 100_000])
def test_not_json(tmp_path, content):
    (tmp_path / PACK_FILE).write_text(content)
    with pytest.raises(PackError, match=r"is not JSON|nested too deeply"):
        read_pack(tmp_path)


def test_not_text(tmp_path):
    (tmp_path / PACK_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PackError, match="cannot be read"):
        read_pack(tmp_path)


def test_not_an_object(tmp_path):
    (tmp_path / PACK_FILE).write_text("[]")
    with pytest.raises(PackError, match="the whole is array, expected an object"):
        read_pack(tmp_path)


@pytest.mark.parametrize(
    ("version", "fragment"),
    [(0, "older"), (SCHEMA_VERSION + 1, "newer"), ("1", 'schema_version is "1"'), (True, "schema_version is true")],
)
def test_other_schema_version(tmp_path, version, fragment):
    message = broken(tmp_path, lambda data: data.update(schema_version=version))
    assert fragment in message
    assert f"expected 3 to {SCHEMA_VERSION}" in message


def test_no_schema_version(tmp_path):
    assert "schema_version is missing" in broken(tmp_path, lambda data: data.pop("schema_version"))


@pytest.mark.parametrize("name", all_tables())
def test_a_table_that_a_pack_lacks_was_not_measured(tmp_path, name):
    file = write_pack(synthetic_pack(dtypes=("float32",)), tmp_path)
    data = json.loads(gzip.decompress(file.read_bytes()))
    del data[name]
    file.write_text(json.dumps(data))
    pack = read_pack(file)
    assert pack.rows(name) == pack.table(all_tables()[name]) == []
    assert pack.section_status(name) == DID_NOT_RUN
    write_pack(pack, tmp_path)
    assert {"section": name, "reason": pack.reason(name)} in read_pack(file).missing


def test_facts_that_a_pack_lacks_are_named(tmp_path):
    assert "machine is missing" in broken(tmp_path, lambda data: data.pop("machine"))


def test_missing_field_is_named(tmp_path):
    message = broken(tmp_path, lambda data: data["runtime"]["rows"][3].pop("median_us"))
    assert "runtime.rows[3].median_us is missing" in message


def test_wrong_type_is_named(tmp_path):
    message = broken(tmp_path, lambda data: data["runtime"]["rows"][3].update(median_us="fast"))
    assert 'runtime.rows[3].median_us is "fast" (string), expected number above 0 or null' in message


def test_wrong_word_is_named(tmp_path):
    message = broken(tmp_path, lambda data: data["code"]["rows"][0].update(bucket="other"))
    assert 'code.rows[0].bucket is "other" (string), expected "binding" or "build"' in message


def test_a_wrong_kind_of_row_is_named(tmp_path):
    row = {"kind": "pace", "model": "gpt2", "dtype": "float32", "stage": "original", "route": "original"}
    message = broken(tmp_path, lambda data: data["models"].update(rows=[row]))
    assert 'models.rows[0].kind is "pace" (string), expected "stage" or "answers" or "speed"' in message


def test_a_wrong_value_of_a_mapping_is_refused(tmp_path):
    message = broken(
        tmp_path,
        lambda data: data["models"].update(
            rows=[{"kind": "stage", "model": "gpt2", "dtype": "float32", "stage": "original", "route": "original",
                   "swapped": {"layer_norm": 0}, "left": []}]
        ),
    )  # fmt: skip
    assert "models.rows[0].swapped[...]: Expected `int` >= 1" in message


def test_a_time_of_zero_is_refused(tmp_path):
    message = broken(tmp_path, lambda data: data["dispatch"]["rows"][0].update(median_us=0))
    assert "dispatch.rows[0].median_us is 0 (integer), expected number above 0 or null" in message


def test_further_keys_may_stand_beside(tmp_path):
    pack = synthetic_pack(dtypes=("float32",))
    pack.rows("runtime")[0]["cold_us"] = 12.5
    write_pack(pack, tmp_path)
    assert read_pack(tmp_path).rows("runtime")[0]["cold_us"] == 12.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_nan_gets_in_and_the_old_file_stays(tmp_path, value):
    pack = synthetic_pack(dtypes=("float32",))
    before = write_pack(pack, tmp_path).read_bytes()
    pack.rows("runtime")[5]["gb_per_s"] = value
    with pytest.raises(PackError, match=r"runtime\.rows\[5\]\.gb_per_s is .*, expected a finite number or null"):
        write_pack(pack, tmp_path)
    assert (tmp_path / PACK_FILE).read_bytes() == before


def test_numpy_scalars_are_unwrapped(tmp_path):
    numpy = pytest.importorskip("numpy")
    pack = empty_pack()
    pack.set_facts("machine", {"cores": numpy.int64(2), "rate": numpy.float32(0.5)})
    write_pack(pack, tmp_path)
    assert read_pack(tmp_path).facts("machine") == {"cores": 2, "rate": 0.5}


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    pack = synthetic_pack(dtypes=("float32",))
    before = write_pack(pack, tmp_path).read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_pack(pack, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PACK_FILE]
    assert (tmp_path / PACK_FILE).read_bytes() == before


def test_raw_samples(tmp_path):
    samples = [{"op": "add", "us": [1.0, 2.0]}]
    write_raw(tmp_path, samples)
    assert read_raw(tmp_path) == samples
    with pytest.raises(PackError, match="finite"):
        write_raw(tmp_path, [math.nan])
    (tmp_path / "raw.json.gz").write_bytes(b"no gzip")
    with pytest.raises(PackError, match="cannot be read"):
        read_raw(tmp_path)
    with pytest.raises(PackError, match="no raw samples"):
        read_raw(tmp_path / "nowhere")


def test_the_schema_describes_every_part_and_every_row(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    parts = schema["$defs"]["pack"]
    assert set(part_names()) <= set(parts["properties"])
    assert set(parts["required"]).isdisjoint(all_tables())
    for row_type in all_tables().values():
        for kind in row_type.__subclasses__() or [row_type]:
            row = schema["$defs"][kind.__name__]
            assert row["description"] == inspect.getdoc(kind)
            assert set(kind.__struct_fields__) <= set(row["properties"])


def test_a_typed_row_is_written_as_it_is_read(tmp_path):
    row = CorrectnessRow(
        op="add", route="cpp", dtype="float32", device="cpu", passed=1, failed=0, skipped=0, message=None
    )
    pack = empty_pack()
    pack.set_rows("correctness", [row])
    write_pack(pack, tmp_path)
    assert read_pack(tmp_path).table(CorrectnessRow) == [row]


def test_typed_rows_follow_a_change(tmp_path):
    pack = synthetic_pack(dtypes=("float32",))
    assert pack.table(CorrectnessRow)[0].passed != 77
    pack.rows("correctness")[0]["passed"] = 77
    assert pack.table(CorrectnessRow)[0].passed == 77


@pytest.mark.parametrize("folder", sorted((ROOT / "reports/packs").iterdir()), ids=lambda folder: folder.name)
def test_a_pack_of_schema_3_keeps_its_rows(folder):
    data = json.loads(gzip.decompress((folder / PACK_FILE).read_bytes()))
    assert read_pack(folder).data == {**data, "schema_version": SCHEMA_VERSION}
