"""What the page shows of installing and upgrading: what each route needs, and what survives another version."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.status import MUTED, NO, PART, YES, Status, status
from evidence.page.blocks import Block, Figure, Heading, Method, Text, banner, rows_details
from evidence.page.table import BOTH, MARKDOWN, Cell, Table, columns, numbers, row
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
    """Footprints and upgrades."""
    return [
        Heading("Installed to build and to run", id="footprint"),
        Text(
            "On top of PyTorch. “To build” lists what the route's package declares. The decisions use the smallest set "
            "of packages that builds it, which is a stage of building."
        ),
        *banner(pack, "footprint", "Footprint", BOTH),
        *_footprint(pack),
        Heading("Under another version", id="upgrade"),
        *banner(pack, "upgrade", "Upgrade", BOTH),
        *_upgrade(pack),
    ]


METHODS = {
    "footprint": "Bytes and files from the records of the installed packages and of the system's package manager; "
    "the built library itself is the artifact. torch is needed by both sides.",
    "upgrade": "The artifact of this run under another version: loaded for real where that version could be had, "
    "else judged by the symbols that it leaves undefined, and how many of them are promised to stay. “alone”: with "
    "PyTorch's own packages, nothing else, and no program on PATH.",
}


def _footprint(pack: Pack) -> list[Block]:
    totals = total_table(pack)
    if not totals.rows:
        return []
    blocks: list[Block] = [
        Text(
            "On top of PyTorch. To build is what a route's package declares; the fewest packages that build it stand "
            "under build time.",
            where=MARKDOWN,
        ),
        Figure("footprint", table=totals.id),
        totals,
    ]
    if note := torch_note(pack):
        blocks.append(Text(note, "note"))
    return [*blocks, rows_details("Every package and artifact", package_table(pack))]


def _upgrade(pack: Pack) -> list[Block]:
    if not pack.table(UpgradeRow):
        return []
    return [Method("upgrade"), upgrade_table(pack), upgrade_summary(pack)]


def total_table(pack: Pack) -> Table:
    """Per route what it takes to build and to run beside PyTorch, and in all."""
    lines: dict[str, dict[str, Cell]] = {}
    for total in footprint_totals(pack):
        lines.setdefault(total.route, {})[total.purpose] = _total(total)
    unknown = Cell("–", notes=("nothing recorded",))
    rows = (row(route, *(cells.get(purpose, unknown) for purpose in PURPOSES)) for route, cells in lines.items())
    heads = columns("Route", *(HEADS[purpose] for purpose in PURPOSES))
    return Table("Install footprint by route", heads, tuple(rows), id="rows-footprint", joint="; ", where=BOTH)


def _total(total: Total) -> Cell:
    """What a route needs beside PyTorch; the notes take it apart."""
    parts = [text.count(total.package_count, "package") + f" {text.size(total.packages)}"] if total.packages else []
    if total.system:
        parts.append(f"{text.count(total.system_count, 'system package')} {text.size(total.system)}")
    if total.artifacts:
        parts.append(f"built here {text.size(total.artifacts)}")
    if total.uncounted:
        parts.append(f"not counted: {', '.join(total.uncounted)}")
    beside = text.size(total.beside_torch) if total.beside_torch else "nothing"
    return Cell(beside, notes=("; ".join([*parts, f"in all {text.size(total.size)}"]),))


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
