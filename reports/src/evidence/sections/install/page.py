"""What the page shows of installing and upgrading: what each route needs, and what survives another version."""

from __future__ import annotations

from collections.abc import Iterator

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.status import MUTED, NO, PART, YES, Status, status
from evidence.page.blocks import Block, Figure, Method, Text, banner
from evidence.page.common import ROUTE_NAMES, both_sides, by_name, finding, folded
from evidence.page.table import MARKDOWN, PAGE, Cell, Table, columns, numbers, row
from evidence.sections.install.row import FootprintRow, UpgradeRow
from evidence.sections.install.totals import PURPOSES, Total, footprint_totals, torch_note

OUTCOMES = {
    "works": Status("✓", "works", YES),
    "refused": Status("!", "refused with a reason", PART),
    "fails": Status("✗", "fails", NO),
    "crash": Status("✗", "crash", NO),
    "did not run": Status("–", "did not run", MUTED),
}
PROOFS = {
    "loaded": "loaded for real",
    "alone": "loaded for real, with nothing else installed",
    "compiled": "sources compiled",
    "symbols": "from the symbol tables",
    "did not run": "did not run",
}
HEADS = {"build": "To build, as declared", "run": "To run"}


def content(pack: Pack) -> list[Block]:
    """What each route installs and survives; folded: every package, every trial."""
    totals = total_table(pack, PAGE)
    shown: list[Block] = []
    if pack.table(FootprintRow):
        shown = [Figure("footprint", table="rows-footprint"), totals, total_table(pack, MARKDOWN)]
    return [
        *finding(*_findings(pack)),
        *shown,
        folded(
            pack,
            "footprint",
            "Every package and artifact",
            *_packages(pack),
            aside=text.count(len(pack.table(FootprintRow)), "row"),
        ),
        folded(
            pack,
            "upgrade",
            "Under another version, trial by trial",
            *_trial_rows(pack),
            aside=text.count(len(pack.table(UpgradeRow)), "row"),
        ),
        *banner(pack, "footprint", "Footprint", MARKDOWN),
        *banner(pack, "upgrade", "Upgrade", MARKDOWN),
        *([upgrade_summary(pack)] if pack.table(UpgradeRow) else []),
    ]


def _packages(pack: Pack) -> list[Block]:
    if not pack.table(FootprintRow):
        return []
    note = torch_note(pack)
    least = "The decisions use the smallest set of packages that builds a route, which is a stage of building."
    return [purpose_table(pack), Text(least, "note"), *([Text(note, "note")] if note else []), package_table(pack)]


def _trial_rows(pack: Pack) -> list[Block]:
    return [Method("upgrade"), upgrade_table(pack)] if pack.table(UpgradeRow) else []


def _findings(pack: Pack) -> Iterator[str]:
    """Bytes on top of PyTorch, and what became of the artifacts under other versions."""
    totals = footprint_totals(pack)
    if figures := by_name({total.route: _beside(total) for total in totals if total.purpose == "run"}):
        yield f"To run, on top of PyTorch: {figures}."
    survived = {route: _survived(trials) for route, trials in _trials(pack).items()}
    if figures := by_name(survived):
        yield f"Artifacts that work under another version: {figures}."


def _beside(total: Total) -> str:
    return text.size(total.beside_torch) if total.beside_torch else "nothing"


def _trials(pack: Pack) -> dict[str, list[UpgradeRow]]:
    """Route -> its artifacts under other versions, of those that were tried."""
    trials: dict[str, list[UpgradeRow]] = {}
    for trial in pack.table(UpgradeRow):
        if trial.outcome != "did not run":
            trials.setdefault(trial.route, []).append(trial)
    return trials


def _survived(trials: list[UpgradeRow]) -> str:
    return f"{sum(trial.outcome == 'works' for trial in trials)} of {len(trials)}"


METHODS = {
    "footprint": "Bytes and files from the records of the installed packages and of the system's package manager; "
    "the built library itself is the artifact. torch is needed by both sides.",
    "upgrade": "The artifact of this run under another version: loaded for real where that version could be had, "
    "else judged by the symbols that it leaves undefined, and how many of them are promised to stay. “alone”: with "
    "PyTorch's own packages, nothing else, and no program on PATH.",
}


def total_table(pack: Pack, where: str) -> Table:
    """Per route what it takes to build and to run on top of PyTorch, and how often its artifact survives.

    The page shows the two sides and the engine; Markdown, which has no folds, every route.
    """
    cells: dict[str, dict[str, str]] = {}
    for total in footprint_totals(pack):
        cells.setdefault(total.route, {})[total.purpose] = _beside(total)
    trials = _trials(pack)
    rows = (
        row(
            ROUTE_NAMES[route] if where == PAGE else route,
            *(cells[route].get(purpose, "–") for purpose in PURPOSES),
            _survived(trials[route]) if route in trials else "–",
        )
        for route in (both_sides(cells) if where == PAGE else cells)
    )
    heads = columns("Route", *numbers(*(HEADS[purpose] for purpose in PURPOSES), "Works under another version"))
    caption = "Installed size, on top of PyTorch."
    return Table("Install footprint", heads, tuple(rows), caption, where=where)


def purpose_table(pack: Pack) -> Table:
    """Per route what it takes to build and to run, taken apart."""
    lines: dict[str, dict[str, Cell]] = {}
    for total in footprint_totals(pack):
        lines.setdefault(total.route, {})[total.purpose] = _total(total)
    unknown = Cell("–", notes=("nothing recorded",))
    rows = (row(route, *(cells.get(purpose, unknown) for purpose in PURPOSES)) for route, cells in lines.items())
    heads = columns("Route", *(HEADS[purpose] for purpose in PURPOSES))
    return Table("Install footprint by route", heads, tuple(rows), id="rows-footprint")


def _total(total: Total) -> Cell:
    """What a route needs beside PyTorch; the notes take it apart."""
    parts = [text.count(total.package_count, "package") + f" {text.size(total.packages)}"] if total.packages else []
    if total.system:
        parts.append(f"{text.count(total.system_count, 'system package')} {text.size(total.system)}")
    if total.artifacts:
        parts.append(f"built here {text.size(total.artifacts)}")
    if total.uncounted:
        parts.append(f"not counted: {', '.join(total.uncounted)}")
    return Cell(_beside(total), notes=("; ".join([*parts, f"in all {text.size(total.size)}"]),))


def package_table(pack: Pack) -> Table:
    """Every package and artifact of every route."""
    heads = columns("Route", "To", "Package", "Version", *numbers("Size", "Files"), "Kind")
    rows = (
        row(
            package.route,
            package.purpose,
            Cell(package.package, notes=(package.message,) if package.message else ()),
            package.version or "–",
            text.size(package.bytes),
            "–" if package.files is None else f"{package.files:,}",
            package.kind,
            id=f"footprint-{index}",
        )
        for index, package in enumerate(pack.table(FootprintRow))
    )
    return Table("Packages and artifacts", heads, tuple(rows), header=False)


def upgrade_table(pack: Pack) -> Table:
    """Every artifact under every other version: outcome, message, and the symbols that decide it."""
    heads = columns("Artifact", "Built with", "Loaded under", "Outcome", "How it is known", "Message, symbols")
    rows = (
        row(
            Cell(trial.artifact, aside=trial.route),
            trial.built_with,
            trial.loaded_under,
            Cell(statuses=(status(OUTCOMES, trial.outcome),), classes="tight"),
            PROOFS.get(trial.method, str(trial.method)),
            Cell(trial.message or "", notes=tuple(_symbols(trial))),
            id=f"upgrade-{index}",
        )
        for index, trial in enumerate(pack.table(UpgradeRow))
    )
    return Table("Upgrade survival", heads, tuple(rows), classes="grid wrap")


def upgrade_summary(pack: Pack) -> Table:
    """The same in fewer columns, for Markdown."""
    rows = (
        row(
            Cell(trial.artifact, aside=trial.route),
            trial.built_with,
            trial.loaded_under,
            Cell(statuses=(status(OUTCOMES, trial.outcome),), notes=(PROOFS.get(trial.method, str(trial.method)),)),
        )
        for trial in pack.table(UpgradeRow)
    )
    heads = columns("Artifact", "Built with", "Under", "Outcome")
    return Table("Upgrade survival", heads, tuple(rows), joint=", ", where=MARKDOWN)


def _symbols(trial: UpgradeRow) -> list[str]:
    numbers = {
        "needed": trial.symbols_needed,
        "promised stable": trial.symbols_stable,
        "not promised": trial.symbols_unstable,
    }
    counts = ", ".join(f"{number:,} {kind}" for kind, number in numbers.items() if number is not None)
    examples = ", ".join(trial.examples)
    return [f"symbols: {counts}"] * bool(counts) + [f"for example {examples}"] * bool(examples)
