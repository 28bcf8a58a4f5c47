"""What the page shows of instructions: a sentence, and a table of ops against routes."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import spread
from evidence.core.pack import Pack
from evidence.core.routes import CPP, MOJO, order, representative
from evidence.page.blocks import Block, Method, Text, banner
from evidence.page.common import finding
from evidence.page.table import BOTH, Cell, Column, Table, columns, row
from evidence.sections.instructions.row import InstructionRow


def content(pack: Pack) -> list[Block]:
    """Instructions of a small call, by op and route."""
    blocks: list[Block] = banner(pack, "instructions", "Instructions of small calls", BOTH)
    rows = pack.table(InstructionRow)
    if not rows:
        return blocks
    if counted := sentence(rows):
        blocks += finding(counted)
    return [*blocks, table(rows), *reasons(rows), Method("instructions")]


def reasons(rows: list[InstructionRow]) -> list[Block]:
    """Why routes have no count, each reason once."""
    routes: dict[str, list[str]] = {}
    for entry in rows:
        if entry.instructions is None:
            routes.setdefault(entry.message or "no reason was recorded", []).append(entry.route)
    sentences = [f"{', '.join(sorted(set(names), key=order))}: {message}." for message, names in routes.items()]
    return [Text(f"Not available. {' '.join(sentences)}", "note", BOTH)] if sentences else []


def sentence(rows: list[InstructionRow]) -> str | None:
    """How many instructions Mojo's calls execute for each of C++'s, over the ops that both counted repeatably."""
    counts = {(row.op, row.route): row.instructions for row in rows if row.repeats and row.instructions}
    cpp, mojo = representative(CPP), representative(MOJO)
    ops = [op for op, route in counts if route == cpp and (op, mojo) in counts]
    whole = spread(counts[op, mojo] / counts[op, cpp] for op in ops)
    if whole is None:
        return None
    ops_of = f"geometric mean of {text.count(whole.count, 'op')}, {text.factor(whole.low)} to {text.factor(whole.high)}"
    ratio = f"{text.factor(whole.mean)} as many instructions on {mojo} as on {cpp} ({ops_of})"
    return f"A small call executes {ratio}, counted by {rows_tool(rows)}."


def rows_tool(rows: list[InstructionRow]) -> str:
    """What counted."""
    tools = dict.fromkeys(row.tool for row in rows if row.instructions and row.tool)
    return " and ".join(tools)


def table(rows: list[InstructionRow]) -> Table:
    """Ops against routes."""
    routes = sorted({entry.route for entry in rows}, key=order)
    by_op: dict[str, dict[str, tuple[int, InstructionRow]]] = {}
    for index, entry in enumerate(rows):
        by_op.setdefault(entry.op, {})[entry.route] = (index, entry)
    heads = columns("Op", "Sample", *(Column(route, number=True, route=route) for route in routes))
    lines = (
        row(op, next(iter(cells.values()))[1].sample, *(_cell(cells.get(route)) for route in routes))
        for op, cells in by_op.items()
    )
    caption = "User-space instructions of one call from Python"
    return Table("Instructions of small calls", heads, tuple(lines), caption, where=BOTH)


def _cell(entry: tuple[int, InstructionRow] | None) -> Cell:
    if entry is None:
        return Cell("–")
    index, counted = entry
    anchor = f"instructions-{index}"
    if counted.instructions is None:
        return Cell("not available", title=counted.message or "", id=anchor)
    return Cell(f"{counted.instructions:,.0f}", notes=(counted.message,) if counted.message else (), id=anchor)


METHODS = {
    "instructions": (
        "Instructions in user space of 100 calls from Python, less those of 100 that do nothing, after 100 that are "
        "not counted, in two processes. They do not depend on what else runs, and say nothing of waiting for "
        "memory or of threads. The processor's counter (perf_event_open) counts where the system has one; a full run "
        "else simulates the call under callgrind, which presents a CPU without AVX-512, so that PyTorch and builds "
        "made for it run other code than is timed. The calling thread is counted, with one thread for PyTorch's pool. "
        "Two processes that differ by more than 1% are marked. Route mojo is not counted: MAX's engine runs kernels "
        "in threads of its own, whose waiting is executed instructions too."
    )
}
