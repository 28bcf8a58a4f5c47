"""How it was measured: what holds for every figure, the routes, and the facts of the run."""

from __future__ import annotations

from markupsafe import Markup

from evidence.core import text
from evidence.core.pack import FACT_SECTIONS, Pack
from evidence.core.routes import DOCUMENTED, colour, what
from evidence.core.section import declarations
from evidence.core.thresholds import MATTERS
from evidence.page import decisions, loss_table
from evidence.page.blocks import Block, Details, Listing, banner, prose
from evidence.page.common import flat
from evidence.page.headline import route_figures, routes
from evidence.page.machine import DURING_RUN, SETUP, setup_table
from evidence.page.table import Row as Line
from evidence.page.table import Table, columns, row


def content(pack: Pack) -> list[Block]:
    """Rules of measuring, the routes, and machine, versions and settings."""
    rules = (
        "Correctness comes first: a route that fails an op's checks gets no time, and the failure stands in its row.",
        "Two routes are timed in turn (A B B A) in one process. A ratio is the median of the ratios of single pairs; "
        "where two routes were not paired, the ratio comes from both intervals and is wider.",
        "A row is won only when its interval excludes 1.0 after correction for the number of rows (Holm) and its ratio "
        f"lies outside the band and outside {MATTERS - 1:.0%}. A noisy row is marked and enters no mean.",
        "“Equal within 10%” is tested: the 90% interval lies inside the margin (two one-sided tests at 5%). “Too "
        "close to call” means that neither a difference nor equality is shown; the effect that is named with it would "
        "have been seen with a chance of 80%.",
        prose(
            "One route represents a side in every comparison: `cpp`; `mojo_aot` on the CPU, `mojo` on a GPU. Every "
            "other route has rows of its own and decides nothing."
        ),
        "Compile time is never inside run time. “Call” is the call from Python with a fresh output, “kernel” has the "
        "outputs ready.",
        "Code size is judged by tokens and gzip bytes of the source without comments; lines depend on the formatter "
        "and stand beside them. A file that several ops need counts once, as shared.",
    )
    blocks: list[Block] = [Details("Rules of measuring", (Listing(rules),))]
    measured = routes(route_figures(pack))
    if measured:
        table = Table("Routes", columns("Route", "What it is"), tuple(map(_route, measured)))
        blocks.append(Details("Routes", (table,), text.count(len(measured), "route")))
    for name in FACT_SECTIONS:
        title = name.capitalize()
        blocks_of_setup = (SETUP, DURING_RUN) if name == "machine" else ()
        facts = flat({fact: value for fact, value in pack.facts(name).items() if fact not in blocks_of_setup})
        tables = [Table(title, columns("Fact", "Value"), tuple(row(*fact) for fact in facts))] if facts else []
        if blocks_of_setup and (setup := setup_table(pack)):
            tables.append(setup)
        shown = (*banner(pack, name, title), *tables)
        count = sum(len(table.rows) for table in tables)
        blocks.append(Details(title, shown, text.count(count, "fact"), name, "data"))
    return blocks


def methods(pack: Pack) -> dict[str, str]:
    """Figure -> how it was measured, with the numbers of this run: `METHODS` of the sections and of the page."""
    declared = [texts for _, texts in declarations("page", "METHODS")]
    declared += [decisions.METHODS, loss_table.METHODS]
    return {name: method(pack) if callable(method) else method for texts in declared for name, method in texts.items()}


def _route(name: str) -> Line:
    swatch = Markup('<span class="swatch" style="background: {}"></span>{}').format(colour(name), name)
    documented = Markup('{} <span class="note">(as documented)</span>')
    is_documented = name in DOCUMENTED.values()
    return row(swatch, documented.format(what(name)) if is_documented else what(name))
