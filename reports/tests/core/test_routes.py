"""What the reports take from the record of the routes, and how they show routes that it does not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evidence.core import routes
from evidence.core.machine import ROOT
from evidence.core.pack import write_pack
from evidence.judge.conclude import conclude
from evidence.page.report import render
from evidence.sections.code import measure as code_size
from evidence.sections.install import footprint
from synthetic import synthetic_pack

from shared_tests import route_table
from shared_tests.route_facts import CPP, UNKNOWN_COLOUR, RouteFacts, Sources

NAMES = list(route_table.facts())
MADE_UP = RouteFacts(
    name="made_up",
    side=CPP,
    what="a route of this test",
    package="cpp_ext",
    artifacts=("cpp_ext/setup.py",),
    sources=Sources(shared_build=("cpp_ext/setup.py",)),
    colour="#123456",
    dark_colour="#654321",
    symbol="star",
)


def test_everything_follows_from_a_new_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert routes.side_of("made_up") is None
    monkeypatch.setattr(route_table, "ROUTES", (MADE_UP, *route_table.ROUTES))
    assert sorted(["cpp", "eager", "made_up"], key=routes.order) == ["made_up", "eager", "cpp"]
    assert routes.side_of("made_up") == CPP
    assert routes.what("made_up") == "a route of this test"
    assert (routes.colour("made_up"), routes.colour("made_up", dark=True)) == ("#123456", "#654321")
    assert routes.symbol("made_up") == "star"
    assert [row.bucket for row in code_size.measure(ROOT, ["add"], ["made_up"])] == ["build"]
    assert [row.package for row in footprint.artifact_rows("made_up")] == ["setup.py"]


def test_representatives_follow_from_the_record() -> None:
    assert routes.representatives() == ["cpp", "mojo_aot", "mojo"]
    assert routes.measured_representative("mojo", ["cpp", "mojo"]) is None
    assert routes.measured_representative("mojo", ["cpp", "mojo"], "cuda") == "mojo"


def test_a_route_of_another_version_comes_last_by_name() -> None:
    assert sorted(["zig", "cpp_new", *reversed(NAMES)], key=routes.order) == [*NAMES, "cpp_new", "zig"]
    assert (routes.side_of("cpp_new"), routes.side_of("zig")) == (CPP, None)
    assert routes.colour("zig") == routes.colour("zig", dark=True) == UNKNOWN_COLOUR
    assert routes.what("zig") == ""


def test_a_pack_with_unknown_routes_is_shown(tmp_path: Path) -> None:
    pack = synthetic_pack(dtypes=("float32",))
    pack.data = json.loads(json.dumps(pack.data).replace('"cpp_pybind"', '"zig"'))
    conclude(pack)
    write_pack(pack, tmp_path)
    render(tmp_path)
    assert "zig" in (tmp_path / "report.html").read_text()
    assert "zig" in (tmp_path / "report.md").read_text()
