"""What the page shows of targets: by target and side, then op by op, and every build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, SIDE_NAMES
from evidence.core.status import MUTED, NO, NOT_TRIED, PARTLY, YES, Status
from evidence.page.blocks import Block, Details, Legend, Method, Text, banner, rows_details
from evidence.page.common import commit_note, finding, listed, shortened, signs
from evidence.page.table import BOTH, MARKDOWN, PAGE, Cell, Table, columns, numbers, row
from evidence.sections.targets.processors import BY_NAME
from evidence.sections.targets.readings import Coverage, coverage
from evidence.sections.targets.row import TargetRow

SIDES = {"cpp": "C++, CUDA, HIP", "mojo": "Mojo through MAX", "mojo_aot": "Mojo, mojo build"}

STATES = {
    "built": Status("✓", "builds", YES),
    "failed": Status("✗", "does not build", NO),
    "no source": Status("∅", "no source for it", NO),
    "no tool chain": Status("–", "no toolchain", MUTED),
    "did not run": Status("○", "did not run", MUTED),
}
TARGET_NAMES = {name: f"{name} ({target.what})" for name, target in BY_NAME.items()}
LONGEST = 180


def content(pack: Pack) -> list[Block]:
    """The matrix of targets by side; folded: what a build costs, op by op, and build by build."""
    blocks: list[Block] = [*finding(*_findings(pack)), *banner(pack, "targets", "Targets", BOTH)]
    if not pack.table(TargetRow):
        return blocks
    blocks += [vendor_table(pack), Method("targets")]
    order = ", ".join(SIDES[side] for side in sides(pack))
    return [
        *blocks,
        Details(
            "Target by target", (*_commit(pack), cost_table(pack)), "compilers, time, size and messages", classes="data"
        ),
        replace(side_table(pack), where=MARKDOWN),
        Details(
            "Op by op",
            (Legend(tuple(STATES.values())), Text(f"In each field: {order}.", "note"), op_table(pack)),
            id="targets-by-op",
        ),
        rows_details("Every build, with what was read in its artifact", build_table(pack)),
    ]


def _commit(pack: Pack) -> list[Block]:
    commit = other_commit(pack)
    return [Text(commit, "note")] if commit else []


def _findings(pack: Pack) -> Iterator[str]:
    if pack.table(TargetRow):
        yield "Processors for which every op compiles here. That it compiles does not show that it runs."


def vendor_table(pack: Pack) -> Table:
    """Vendors against sides: targets for which every op builds, of those tried, and which do not."""
    covered = {side: coverage(pack, side) for side in (CPP, MOJO)}
    vendors = list(dict.fromkeys(vendor for by_vendor in covered.values() for vendor in by_vendor))
    rows = (
        row(f"{vendor} GPU" if vendor != "CPU" else vendor, *(_covered(covered[side].get(vendor)) for side in covered))
        for vendor in vendors
    )
    heads = columns("Processor", *(SIDE_NAMES[side] for side in covered))
    return Table("Targets that build, by vendor", heads, tuple(rows))


def _covered(vendor: Coverage | None) -> Cell:
    if vendor is None:
        return Cell(statuses=(NOT_TRIED,))
    if vendor.no_source:
        return Cell(statuses=(STATES["no source"],))
    targets = len(vendor.built) + len(vendor.failed) + len(vendor.untried)
    state = STATES["built"] if vendor.complete else STATES["failed"] if vendor.failed else PARTLY
    notes = [f"fails for {listed(vendor.failed)}"] if vendor.failed else []
    notes += [f"not built here for {listed(vendor.untried)}"] if vendor.untried else []
    word = f"{len(vendor.built)} of {text.count(targets, 'target')}"
    return Cell(statuses=(state.called(word),), notes=tuple(notes))


METHODS = {
    "targets": "C++: one compiler run an op, into an object file; for AMD the CUDA sources in the translation that "
    "PyTorch's own build makes. Mojo: all ops in one run, by MAX into one MEF for a virtual device, and by `mojo "
    "build` into an object for a CPU or the assembly of every kernel for an accelerator; where that fails, op by "
    "op. A row is “builds” when the artifact says itself for which processor it is. “No tool chain”: the compiler "
    "here makes no code for the target, of no source. Own lines: code lines that the op's sources, with what they "
    "include, have for this processor alone, by the conditions around them.",
}


def other_commit(pack: Pack) -> str | None:
    """A sentence where the matrix and the rest of a pack are of different commits."""
    return commit_note(pack, "targets_commit", "The matrix")


def targets(pack: Pack) -> list[str]:
    """Targets with rows: those that this release knows, in its order, then the others."""
    names = {build.target for build in pack.table(TargetRow)}
    return [name for name in BY_NAME if name in names] + sorted(names - set(BY_NAME))


def sides(pack: Pack) -> list[str]:
    """Sides with rows."""
    return [side for side in SIDES if any(build.side == side for build in pack.table(TargetRow))]


def side_table(pack: Pack) -> Table:
    """Targets as rows with what became of all ops on each side."""
    return _by_side(pack, "Targets by side", BOTH)


def cost_table(pack: Pack) -> Table:
    """The same with time, size, tool and messages."""
    return _by_side(pack, "Builds by target and side", PAGE)


def _by_side(pack: Pack, label: str, where: str) -> Table:
    builds: dict[tuple[str, str], list[TargetRow]] = {}
    for build in pack.table(TargetRow):
        builds.setdefault((build.target, build.side), []).append(build)
    rows = (
        row(
            TARGET_NAMES.get(name, name) if where == BOTH else name,
            *(_cell(builds.get((name, side), []), with_notes=where == PAGE) for side in sides(pack)),
        )
        for name in targets(pack)
    )
    heads = columns("Target", *(SIDES[side] for side in sides(pack)))
    return Table(label, heads, tuple(rows), classes="grid wrap", where=where)


def _cell(builds: list[TargetRow], with_notes: bool) -> Cell:
    """What became of all ops of one target on one side; the first message stands beside what did not build."""
    if not builds:
        return Cell(statuses=(NOT_TRIED,))
    counts: Counter[str] = Counter(build.status for build in builds)
    worst = STATES[next(state for state in ("failed", *STATES) if counts[state])]
    built = counts["built"]
    is_part = 0 < built < len(builds)
    word = f"{built} of {text.count(len(builds), 'op')}" if is_part else worst.word
    outcome = (PARTLY if is_part else worst).called(word)
    return Cell(statuses=(outcome,), notes=tuple(_notes(builds)) if with_notes else ())


def _notes(builds: list[TargetRow]) -> Iterator[str]:
    """Time, size, tool, own lines and the most frequent messages of the builds of one target on one side."""
    built = [build for build in builds if build.status == "built"]
    if built:
        together = max(build.together for build in built) > 1
        times = [build.seconds or 0.0 for build in built]
        seconds = max(times) if together else sum(times)
        yield f"{text.seconds(seconds)}{' for all at once' if together else ' in all'}"
        size = sum(build.bytes or 0 for build in built)
        if size:
            yield text.size(size)
        yield built[0].tool or ""
        if lines := sum(build.target_lines or 0 for build in built):
            yield f"{text.count(lines, 'line')} for it alone, summed over the ops"
        if any(build.untranslated is not None for build in built):
            untranslated = sum(build.untranslated or 0 for build in built)
            yield f"{text.count(untranslated, 'line')} left untranslated"
    for message, _ in Counter(build.message for build in builds if build.message).most_common(3):
        ops = [build.op for build in builds if build.message == message]
        which = f" ({', '.join(ops)})" if built else ""
        yield f"{shortened(message, LONGEST)}{which}"


def op_table(pack: Pack) -> Table:
    """Ops as rows with a sign for each target and side."""
    states: dict[tuple[str, str, str], Status] = {
        (build.op, build.target, build.side): STATES[build.status] for build in pack.table(TargetRow)
    }
    rows = (
        row(
            op,
            *(signs(states.get((op, name, side), NOT_TRIED) for side in sides(pack)) for name in targets(pack)),
        )
        for op in dict.fromkeys(build.op for build in pack.table(TargetRow))
    )
    return Table("Targets op by op", columns("Op", *targets(pack)), tuple(rows), classes="grid")


def build_table(pack: Pack) -> Table:
    """Every build, with the proof that was read in its artifact."""
    heads = columns(
        "Op",
        "Side",
        "Target",
        "Outcome",
        *numbers("Time", "Ops at once", "Size", "Own lines"),
        "Proof or message",
        "Tool",
    )
    rows = (
        row(
            build.op,
            SIDES[build.side],
            build.target,
            Cell(statuses=(STATES[build.status],), classes="tight"),
            "–" if build.seconds is None else text.seconds(build.seconds),
            build.together,
            "–" if build.bytes is None else text.size(build.bytes),
            "–" if build.target_lines is None else build.target_lines,
            f"{build.proof or ''}{build.message or ''}",
            build.tool or "",
            id=f"targets-{index}",
        )
        for index, build in enumerate(pack.table(TargetRow))
    )
    return Table("Builds", heads, tuple(rows), header=False)
