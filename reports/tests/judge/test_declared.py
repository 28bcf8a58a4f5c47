"""A section is judged by what its folder declares, and by nothing once the folder is gone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import evidence.sections
import pytest
from evidence.core import tables
from evidence.core.section import all_sections
from evidence.judge.claims import all_claims, claims
from evidence.judge.criteria import criteria
from evidence.judge.decisions import decisions
from evidence.judge.diff import REGRESSION, diff
from evidence.judge.gates import gate, gates
from evidence.judge.losses import loss_groups, losses
from evidence.judge.scope import Scope
from evidence.judge.verdict import verdict
from evidence.judge.weights import Weights, check_weights
from few_rows import pack_of

ENERGY = {
    "__init__.py": '''
"""How much energy does a call take?"""
from evidence.sections.energy.row import EnergyRow
from evidence.core.section import Section
SECTION = Section(name="energy", title="How much energy does a call take?", order=15, tables={"energy": EnergyRow})
''',
    "row.py": """
from msgspec import Struct
class EnergyRow(Struct, frozen=True, kw_only=True):
    route: str
    joules: int
""",
    "judge.py": '''
"""Joules of a call: a criterion, a gate, a claim, a statement, a loss and what changed."""
from evidence.sections.energy.row import EnergyRow
from evidence.core.interval import Interval
from evidence.judge.claims import Claim
from evidence.judge.comparison import Comparison, pairs, select
from evidence.judge.criteria import Criterion, Measured, absent
from evidence.judge.diff import change_of_count, common
from evidence.judge.gates import Finding, Gate
from evidence.judge.judgement import HOLDS, Judgement
from evidence.judge.gates import gate, gates
from evidence.judge.losses import loss
from evidence.judge.scope import Scope
from evidence.judge.verdict import Asked, Statement

def compare(pack):
    joules = {row.route: row.joules for row in pack.table(EnergyRow)}
    return [
        Comparison(topic="energy", name="call", one=cpp, two=mojo, least=1.1, rows=("/energy/rows/0", "/energy/rows/1"),
                   ratio=Interval(*[joules[cpp] / joules[mojo]] * 3), figures=(joules[cpp], joules[mojo]), unit="J")
        for cpp, mojo in pairs(joules)
    ]

def measure(scope):
    call = scope.comparison("energy", "call")
    return Measured(call.ratio, "joules of a call", call.rows) if call else absent("no joules of both sides")

def cheap(pack):
    """Holds when Mojo takes less."""
    call = select(compare(pack), "energy", "call")
    return Judgement(HOLDS, "Mojo takes less.", call.rows) if call and call.won == "mojo" else None

def state(pack):
    call = select(compare(pack), "energy", "call")
    return call and Statement("energy", "Energy", call.outcome, "less is better", "Joules of a call.", list(call.rows))

def losses(pack):
    return [lost for call in compare(pack) for side in ("cpp", "mojo") if (lost := loss(call, side, "energy", "call"))]

def diff(one, two, found):
    for a, b in common(one, two, EnergyRow, ("route",), found):
        change_of_count("energy", a.route, a.joules, b.joules, "J", found)

CRITERIA = (Criterion("energy", 35, "Joules of a call", measure),)
GATES = (Gate("plugged", "runs on mains", lambda scope, side: Finding(True, "it does", [])),)
CLAIMS = (Claim("cheap", 75, "Mojo saves energy.", "joules of a call", cheap),)
STATEMENTS = (Asked("energy", 25, state),)
''',
}


def forget() -> None:
    """Let the sections be looked for again."""
    for cache in (all_sections, tables.all_tables):
        cache.cache_clear()
    for name in [name for name in sys.modules if name.startswith("evidence.sections.energy")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the section `energy`, in which sections are looked for too."""
    folder = tmp_path / "sections" / "energy"
    folder.mkdir(parents=True)
    for name, source in ENERGY.items():
        (folder / name).write_text(source)
    monkeypatch.setattr(evidence.sections, "__path__", [*evidence.sections.__path__, str(folder.parent)])
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def rows(cpp: int, mojo: int) -> list[dict]:
    return [{"route": "cpp", "joules": cpp}, {"route": "mojo_aot", "joules": mojo}]


def weights() -> Weights:
    return check_weights({"clip": 3.0, "cpu": {"energy": 1.0}}, "the test")


def test_what_a_section_declares_is_judged(energy):
    pack = pack_of(energy=rows(20, 10))
    order = list(criteria())
    assert order.index("run_small") < order.index("energy") < order.index("dispatch")
    assert gate("plugged").find(Scope(pack, "cpu"), "cpp").met
    criterion = decisions(pack, weights())[0].criteria[0]
    assert (criterion.name, criterion.factor) == ("Joules of a call", 2.0)
    claim = next(row for row in claims(pack) if row.id == "cheap")
    assert (claim.verdict, claim.rule) == ("holds", "Holds when Mojo takes less.")
    places = list(all_claims())
    assert places.index("cpp-speed") < places.index("cheap") < places.index("zero-cost")
    assert [statement.verdict for statement in verdict(pack) if statement.id == "energy"] == ["Mojo ahead"]
    assert [(lost.kind, lost.factor.mid) for lost in losses(pack)["cpp"]] == [("energy", 2.0)]
    assert [group.kind for group in loss_groups(pack)["cpp"]] == ["energy"]
    changes = diff(pack, pack_of(energy=rows(20, 15))).changes
    assert [(change.section, change.kind, change.after) for change in changes] == [("energy", REGRESSION, "15 J")]


def test_without_its_folder_a_section_is_judged_nowhere():
    pack = pack_of()
    assert "energy" not in criteria()
    assert "cheap" not in all_claims()
    assert not [statement for statement in verdict(pack) if statement.id == "energy"]
    row = decisions(pack, weights())[0]
    assert row.criteria[0].message == "no section of this release measures it"
    assert row.verdict == "not measured here"


def test_two_sections_cannot_declare_the_same(energy):
    (energy / "judge.py").write_text(ENERGY["judge.py"].replace('Criterion("energy"', 'Criterion("edit"'))
    forget()
    with pytest.raises(TypeError, match=r"CRITERIA of section .* expected a Criterion with an id that no other has"):
        criteria()


def test_a_declaration_of_another_type_is_named(energy):
    (energy / "judge.py").write_text("GATES = ('correct',)")
    forget()
    with pytest.raises(TypeError, match="GATES of section energy lists 'correct', expected a Gate"):
        gates()
