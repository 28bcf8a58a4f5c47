"""A section is one folder: a new one adds a question to the evidence, and a deleted one removes it.

The section `energy` is made here. What a layer takes up of it stands in a file of `ENERGY`, and is checked in a test of
that layer; `with_energy` puts the folder where sections are found, in this process and in those that it starts.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evidence.sections
import pytest
from evidence.core import tables
from evidence.core.machine import ROOT
from evidence.core.pack import COMPLETE, Pack, read_pack, write_pack
from evidence.core.plan import UsageError, make_plan
from evidence.core.run import all_stages, compare, run_stage, skip_others
from evidence.core.section import all_sections
from evidence.core.stage import Run, Stage
from evidence.judge.claims import all_claims, claims
from evidence.judge.comparison import NOT_MEASURED
from evidence.judge.criteria import criteria
from evidence.judge.decisions import decisions
from evidence.judge.diff import REGRESSION, diff
from evidence.judge.gates import gate
from evidence.judge.losses import loss_groups, losses
from evidence.judge.scope import Scope
from evidence.judge.verdict import verdict
from evidence.judge.weights import Weights, check_weights
from evidence.page.blocks import Banner
from evidence.page.context import parts, rounds_behind
from evidence.page.packed import unpacked
from evidence.page.report import render
from evidence.page.table import Table
from few_rows import pack_of
from rich.console import Console
from rich.progress import Progress
from synthetic_full import full_pack

SECTIONS = Path(evidence.sections.__file__).parent

ENERGY = {
    "__init__.py": '''
"""How much energy does it take?"""

from evidence.core.section import Section
from evidence.sections.energy.row import EnergyRow

SECTION = Section("energy", "How much energy does it take?", 95, {"energy": EnergyRow})
''',
    "row.py": '''
"""Rows of the table `energy`."""

from msgspec import Struct


class EnergyRow(Struct, frozen=True, kw_only=True):
    """Energy of a call.

    Attributes:
        joules: of a call; None where it was not measured.
    """

    op: str
    route: str
    joules: float | None
    message: str | None
''',
    "measure.py": '''
"""The stage that measures it."""

from evidence.core.case_runner import CaseRunner
from evidence.core.stage import Run, Stage
from evidence.sections.energy.row import EnergyRow


def stage(run: Run) -> None:
    """One case an op; the last one of the first process ends it."""
    rows = []

    def heard(line):
        if "joules" in line:
            rows.extend(EnergyRow(op=line["op"], route=route, joules=joules, message=None)
                        for route, joules in line["joules"].items())

    def lost(case, reason):
        rows.append(EnergyRow(op=case["op"], route="all", joules=None, message=reason))

    cases = [{"kind": "energy", "op": op, "routes": run.plan.routes} for op in (*run.plan.ops, "no such op")]
    CaseRunner("energy", run.plan.device, run.log, run.caches(), 120).run(cases, heard, lost)
    run.pack.set_rows("energy", rows)


STAGES = (Stage("energy", 65, lambda plan: 5.0, stage, ("energy",)),)
''',
    "worker.py": '''
"""What the measuring process does for it."""

import torch

from evidence.core.calls import Judge, prepare
from evidence.core.json_lines import say
from shared_tests.spec import all_specs


def run_energy(case, device):
    spec = all_specs()[case["op"]]
    args = spec.sized(2, torch.float32, device)
    ready, refused, _ = prepare(spec, args, Judge(spec, args, 16), case["routes"], "call")
    say(op=case["op"], joules=dict.fromkeys(ready, 0.5), refused=refused)


RUNNERS = {"energy": run_energy}
''',
    "judge.py": '''
"""What is judged from the joules of a call."""

from evidence.core.interval import Interval
from evidence.judge.claims import Claim
from evidence.judge.comparison import Comparison, pairs, select
from evidence.judge.criteria import Criterion, Measured, absent
from evidence.judge.diff import BETTER, REGRESSION, Change, common
from evidence.judge.gates import Finding, Gate
from evidence.judge.judgement import HOLDS, Judgement
from evidence.judge.losses import loss
from evidence.judge.verdict import Asked, Statement
from evidence.sections.energy.row import EnergyRow


def compare(pack):
    rows = {row.row.route: row for row in pack.pointed(EnergyRow) if row.row.joules}
    return [
        Comparison(
            topic="energy", name="call", base=cpp, route=mojo, least=1.1, rows=(rows[cpp].pointer, rows[mojo].pointer),
            ratio=Interval(*[rows[cpp].row.joules / rows[mojo].row.joules] * 3),
        )
        for cpp, mojo in pairs(rows)
    ]


def measure(scope):
    call = scope.comparison("energy", "call")
    return Measured(call.ratio, "joules of a call", call.rows) if call else absent("no joules of both sides")


def saves(pack):
    """Holds when Mojo takes less by {MATTERS} or more."""
    call = select(compare(pack), "energy", "call")
    return Judgement(HOLDS, "Mojo takes less.", call.rows) if call and call.won == "mojo" else None


def state(pack):
    call = select(compare(pack), "energy", "call")
    return call and Statement("energy", "Energy", call.verdict, "less is better", "Joules of a call.", list(call.rows))


def losses(pack):
    found = (loss(call, side, "energy", "call") for call in compare(pack) for side in ("cpp", "mojo"))
    return [lost for lost in found if lost]


def diff(before, after, changes):
    for a, b in common(before, after, EnergyRow, ("op", "route"), changes):
        if a.joules != b.joules:
            kind = REGRESSION if b.joules > a.joules else BETTER
            changes.add("energy", kind, a.route, f"{a.joules} J", f"{b.joules} J")


CRITERIA = (Criterion("energy", 35, "Joules of a call", measure),)
GATES = (Gate("plugged", "runs on mains", lambda scope, side: Finding(True, "it does", [])),)
CLAIMS = (Claim("saves", 75, "Mojo saves energy.", "joules of a call", saves),)
STATEMENTS = (Asked("energy", 25, state),)
''',
    "page.py": '''
"""What the page shows of it."""

from evidence.page.blocks import Method, banner
from evidence.page.headline import RouteFigures
from evidence.page.table import BOTH, Table, columns, numbers, row
from evidence.sections.energy.row import EnergyRow

METHODS = {"energy": "With a meter at the plug."}


def content(pack):
    rows = [
        row(line.op, line.route, f"{line.joules} J", id=f"energy-{place}")
        for place, line in enumerate(pack.table(EnergyRow))
    ]
    table = Table("Energy of a call", columns("Op", "Route", *numbers("Joules")), tuple(rows), where=BOTH)
    return [*banner(pack, "energy", "Energy", BOTH), Method("energy"), *([table] if rows else [])]


def by_route(pack):
    return [RouteFigures({line.route: f"{line.joules} J" for line in pack.table(EnergyRow)}, "Energy", True)]


def notices(pack):
    return [("Unplugged.", "The meter ran on batteries.")]
''',
}


def discover_again() -> None:
    """Forget which sections and tables there are."""
    all_sections.cache_clear()
    tables.all_tables.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def with_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the section `energy`, which is there until the test ends or deletes it."""
    folder = tmp_path / "sections"
    for name, text in ENERGY.items():
        (folder / "energy" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "energy" / name).write_text(text.lstrip())
    monkeypatch.setattr(evidence.sections, "__path__", [*evidence.sections.__path__, str(folder)])
    found_too = f"import evidence.sections\nevidence.sections.__path__.append({str(folder)!r})\n"
    (tmp_path / "sitecustomize.py").write_text(found_too)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    discover_again()
    yield folder / "energy"
    for name in [name for name in sys.modules if name.startswith("evidence.sections.energy")]:
        del sys.modules[name]
    monkeypatch.undo()
    discover_again()


def run_only(folder: Path, monkeypatch: pytest.MonkeyPatch, keep: Any) -> Pack:
    """The pack of a run of `compare` on one op, of whose stages those that `keep` are run."""
    plan = make_plan("add", "eager", "cpu", mode="quick")
    stages = [stage for stage in all_stages(plan) if keep(stage)]
    monkeypatch.setattr("evidence.core.run.all_stages", lambda plan: stages)
    run = compare(plan, folder, Console(quiet=True))
    assert run.pack.status == COMPLETE
    return read_pack(folder)


# ---- measuring ----


def test_only_the_named_sections_are_measured(tmp_path: Path) -> None:
    """Others say in the pack that they were left out; what gates the rows that are timed runs all the same."""
    plan = make_plan("add", "eager", "cpu", mode="quick", only="code, install")
    names = {stage.name for stage in all_stages(plan)}
    assert {"correctness", "code size", "install footprint, upgrade survival"} <= names
    assert not {"run time", "build time", "fault corpus"} & names
    progress = Progress(disable=True)
    run = Run(plan, tmp_path, Console(quiet=True), progress)
    skip_others(run, all_stages(plan))
    assert run.pack.reason("runtime") == run.pack.reason("noise") == "--only code,install left it out"
    assert "left it out" not in str(run.pack.reason("code"))
    with pytest.raises(UsageError, match=r"--only: unknown name 'codes', known are .*code.*install"):
        make_plan("add", "eager", "cpu", mode="quick", only="codes")


def test_a_stage_that_ends_with_an_exception_is_counted(tmp_path: Path) -> None:
    def broken(run: Run) -> None:
        raise ValueError("broken on purpose")

    run = Run(make_plan("add", "eager", "cpu", mode="quick"), tmp_path, Console(quiet=True), Progress(disable=True))
    run.task = run.progress.add_task("")
    run_stage(run, Stage("broken", 1, lambda plan: 1, broken, ("code",)))
    assert run.failed_stages == ["broken"]
    assert "broken on purpose" in str(run.pack.reason("code"))


def own_and_energy(stage: Stage) -> bool:
    return stage.name == "energy" or stage.order == 0


def test_a_new_folder_is_measured(with_energy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stage runs in its place, in a process whose runner it declares; a case that ends it is a row."""
    names = [stage.name for stage in all_stages(make_plan("add", "eager", "cpu", mode="quick"))]
    assert names.index("run time") < names.index("energy") < names.index("dispatch lab")
    pack = run_only(tmp_path / "pack", monkeypatch, own_and_energy)
    rows = {row["op"]: row for row in pack.rows("energy")}
    assert rows["add"]["joules"] == 0.5
    assert "the process ended with 1" in rows["no such op"]["message"]
    assert "energy" in pack.facts("settings")["stage_seconds"]
    assert pack.section_status("energy") == "ran"


def test_a_stage_that_fails_leaves_its_reason_in_its_tables(
    with_energy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = with_energy / "measure.py"
    measure.write_text(measure.read_text().replace("    rows = []\n", "    raise OSError('no meter')\n    rows = []\n"))
    pack = run_only(tmp_path / "pack", monkeypatch, own_and_energy)
    assert (pack.section_status("energy"), pack.rows("energy")) == ("did not run", [])
    assert pack.reason("energy") == "OSError: no meter (see log.txt)"


def test_a_deleted_folder_is_gone(with_energy: Path) -> None:
    assert "energy" in all_sections()
    for file in with_energy.iterdir():
        if file.is_file():
            file.unlink()
    with_energy.rename(with_energy.with_name("not a section"))
    for name in [name for name in sys.modules if name.startswith("evidence.sections.energy")]:
        del sys.modules[name]
    discover_again()
    assert "energy" not in all_sections()
    assert "energy" not in [stage.name for stage in all_stages(make_plan("add", "eager", "cpu", mode="quick"))]
    assert "energy" not in tables.all_tables()


WITHOUT = """
import sys
import evidence.sections
evidence.sections.__path__[:] = [sys.argv[1]]
from evidence.core.plan import UsageError, make_plan
from evidence.core.run import all_stages
from evidence.core.section import all_sections, declarations
from evidence.core.tables import all_tables
plan = make_plan("add", "eager", "cpu", "quick")
stages = {stage.name: stage.seconds(plan) for stage in all_stages(plan)}
for _ in declarations("worker", "RUNNERS"): pass
from evidence.__main__ import all_commands
print(*all_sections(), "|", *all_tables(), "|", *stages, "|", *all_commands())
"""


def test_the_rest_is_measured_without_two_sections(tmp_path: Path) -> None:
    """Everything that `compare` needs is imported from a folder of sections that lacks them."""
    gone = ("targets", "correctness")
    for folder in SECTIONS.iterdir():
        if folder.is_dir() and folder.name not in (*gone, "__pycache__"):
            (tmp_path / folder.name).symlink_to(folder, target_is_directory=True)
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not [name for name in gone if name in done.stdout]
    assert "run time" in done.stdout


# ---- judging ----


def joules(cpp: float, mojo: float) -> list[dict[str, Any]]:
    of_route = {"cpp": cpp, "mojo_aot": mojo}
    return [{"op": "add", "route": route, "joules": value, "message": None} for route, value in of_route.items()]


def energy_alone() -> Weights:
    return check_weights({"clip": 3.0, "cpu": {"energy": 1.0}}, "the test")


def test_what_a_new_folder_declares_is_judged(with_energy: Path) -> None:
    pack = pack_of(energy=joules(20.0, 10.0))
    names = list(criteria())
    assert names.index("run_small") + 1 == names.index("energy") == names.index("dispatch") - 1
    criterion = decisions(pack, energy_alone())[0].criteria[0]
    assert (criterion.name, criterion.factor) == ("Joules of a call", 2.0)
    assert gate("plugged").find(Scope(pack, "cpu"), "cpp").met
    claim = next(row for row in claims(pack) if row.id == "saves")
    assert (claim.verdict, claim.rule) == ("holds", "Holds when Mojo takes less by 1.05 or more.")
    places = list(all_claims())
    assert places.index("cpp-speed") + 1 == places.index("saves") == places.index("zero-cost") - 1
    assert [statement.verdict for statement in verdict(pack) if statement.id == "energy"] == ["Mojo ahead"]
    assert [(lost.kind, lost.factor.mid) for lost in losses(pack)["cpp"]] == [("energy", 2.0)]
    assert [group.kind for group in loss_groups(pack)["cpp"]] == ["energy"]
    changes = diff(pack, pack_of(energy=joules(20.0, 15.0))).changes
    assert [(change.section, change.kind, change.after) for change in changes] == [("energy", REGRESSION, "15.0 J")]


def test_without_the_folder_nothing_of_it_is_judged() -> None:
    pack = pack_of()
    assert "energy" not in criteria()
    assert "saves" not in all_claims()
    assert "energy" not in [statement.id for statement in verdict(pack)]
    row = decisions(pack, energy_alone())[0]
    assert row.criteria[0].message == "no section of this release measures it"
    assert row.verdict == NOT_MEASURED


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            ENERGY["judge.py"].replace('Criterion("energy"', 'Criterion("edit"'),
            "Criterion with an id that no other has",
        ),
        ("CRITERIA = ('joules',)", "CRITERIA of section energy lists 'joules', expected a Criterion"),
    ],
)
def test_a_declaration_that_does_not_fit_is_named(with_energy: Path, source: str, message: str) -> None:
    (with_energy / "judge.py").write_text(source)
    with pytest.raises(TypeError, match=message):
        criteria()


JUDGED = """
import sys
from pathlib import Path
pack_folder, *folders = sys.argv[1:]
for folder in folders:
    for name in [name for name in sys.modules if name.partition(".")[0] == "evidence"]:
        del sys.modules[name]
    import evidence.sections
    evidence.sections.__path__[:] = [folder]
    from evidence.core.pack import read_pack, write_pack
    from evidence.core.section import all_sections
    from evidence.judge.conclude import conclude
    from evidence.judge.diff import diff
    from evidence.page.report import render
    gone = Path(folder).name.split("+")
    assert not set(gone) & set(all_sections())
    pack = read_pack(pack_folder)
    questions = [row["id"] for row in pack.rows("decisions")]
    conclude(pack)
    assert [row["id"] for row in pack.rows("decisions")] == questions
    assert not diff(pack, pack).changes
    if len(gone) > 1:
        write_pack(pack, Path(folder) / "pack")
        render(Path(folder) / "pack")
    print(Path(folder).name)
"""


def test_a_pack_is_judged_and_shown_without_any_one_of_the_sections(tmp_path: Path) -> None:
    write_pack(full_pack(), tmp_path / "pack")
    names = list(all_sections())
    # each is judged without; shown in three groups, since drawing takes seconds
    groups = [*([name] for name in names), *(names[start::3] for start in range(3))]
    folders = [tmp_path / "+".join(group) for group in groups]
    for folder, group in zip(folders, groups, strict=True):
        folder.mkdir()
        for name in set(names) - set(group):
            (folder / name).symlink_to(SECTIONS / name, target_is_directory=True)
    command = [sys.executable, "-c", JUDGED, str(tmp_path / "pack"), *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == [folder.name for folder in folders], done.stderr


# ---- the page ----


def shown(pack: Pack, folder: Path) -> tuple[str, str]:
    """`report.html` with every fold opened, and `report.md`."""
    write_pack(pack, folder)
    render(folder)
    return unpacked((folder / "report.html").read_text()), (folder / "report.md").read_text()


def test_a_new_folder_is_on_the_page(with_energy: Path, tmp_path: Path) -> None:
    """With its title in the navigation, its table, its method, its column and its notice."""
    html, markdown = shown(pack_of(energy=joules(20.0, 10.0)), tmp_path / "pack")
    assert '<h2 id="energy">How much energy does it take?</h2>' in html
    assert '<li><a href="#energy">How much energy does it take?</a></li>' in html
    assert (
        '<tr id="energy-1"><th scope="row">add</th><td>mojo_aot</td><td class="n" data-value="10">10.0 J</td></tr>'
        in html
    )
    assert "<p>With a meter at the plug.</p>" in html
    assert '<th scope="col" class="n">Energy</th>' in html
    assert "<strong>Unplugged.</strong> The meter ran on batteries." in html
    assert html.index('<h2 id="models"') < html.index('<h2 id="energy"') < html.index('<h2 id="integration"')
    assert "## How much energy does it take?\n\n| Op | Route | Joules |\n|---|---|---:|\n" in markdown


def test_a_new_folder_that_was_not_measured_says_so(with_energy: Path) -> None:
    pack = pack_of()
    (part,) = [part for part in parts(pack, rounds_behind(pack, with_energy)) if part.name == "energy"]
    assert isinstance(part.blocks[0], Banner)
    assert not [block for block in part.blocks if isinstance(block, Table)]


def test_without_the_folder_nothing_of_it_is_on_the_page(tmp_path: Path) -> None:
    html, markdown = shown(pack_of(), tmp_path / "pack")
    page = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "energy" not in page.lower()
    assert "energy" not in markdown.lower()
