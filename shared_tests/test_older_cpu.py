"""On a CPU that lacks features of the build target, mojo_ops fails to load with an error that names them."""

from __future__ import annotations

import pytest

artifacts = pytest.importorskip("mojo_ops.artifacts", exc_type=ImportError)

SANDY_BRIDGE = ["avx", "popcnt", "sse4_1", "sse4_2", "ssse3"]
ADDED = ["abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"]
HASWELL = [*SANDY_BRIDGE, *ADDED]


def record(march: str) -> dict:
    return {"cpu": artifacts.cpu(), "targets": {"aot": {"march": march}}}


def test_a_level_names_what_is_missing() -> None:
    assert artifacts.missing_library_features(record("x86-64-v3"), HASWELL) == []
    assert artifacts.missing_library_features(record("x86-64-v3"), SANDY_BRIDGE) == ADDED
    assert "avx512f" in artifacts.missing_library_features(record("x86-64-v4"), HASWELL)


@pytest.mark.parametrize("module", ["engine", "aot"])
def test_loading_refuses_by_name(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a build for this CPU fails if the CPU seems to lack one of its features."""
    loader = pytest.importorskip(f"mojo_ops.{module}", exc_type=ImportError)
    this_cpu = artifacts.cpu()
    if not this_cpu["features"]:
        pytest.skip("the system does not name the CPU's features")
    missing_feature = this_cpu["features"][0]
    monkeypatch.setattr(artifacts, "cpu", lambda: {**this_cpu, "features": this_cpu["features"][1:]})
    record_of_this_cpu = {**artifacts.read_record(artifacts.ARTIFACTS), "cpu": this_cpu}
    monkeypatch.setattr(artifacts, "read_record", lambda folder: record_of_this_cpu)
    with pytest.raises(RuntimeError, match=missing_feature):
        loader.load(artifacts.ARTIFACTS)
