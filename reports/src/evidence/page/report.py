"""From a pack folder to a report: `report.html` (one file, no network), `report.md` and its pictures, in that folder.

Only the pack is read, so a report can be made again from an old pack on another machine.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evidence.core.pack import read_pack
from evidence.judge.busy import busy
from evidence.judge.row import DecisionRow
from evidence.judge.summary import summary
from evidence.page import blocks
from evidence.page.common import Context
from evidence.page.context import PDF_FILE as PDF_FILE
from evidence.page.context import Part, context, machine_line
from evidence.page.decisions import decision_table
from evidence.page.embed import scripts
from evidence.page.figure import Figure, Panel, panels, write_svg
from evidence.page.figures import figures, filters, page_data
from evidence.page.op_page import op_names, op_pages, page_values
from evidence.page.packed import Folds, compressed_json
from evidence.page.style import css
from evidence.page.table import Table, columns, escaped, numbers, status_html
from evidence.page.verdict import figure_table

HTML_FILE = "report.html"
MARKDOWN_FILE = "report.md"
OP_TEMPLATE = "op.html"
ROUNDS_TABLE = Table(
    "Rounds of each process", columns("Process", *numbers("Rounds shown", "Lowest", "Median", "Highest")), ()
)
"""The table of the dialog that shows the rounds behind a row; the page fills it."""


def render(folder: Path) -> list[Path]:
    """Write the report of the pack in `folder` beside it; gives the files written. Raises PackError."""
    folder = _folder(folder)
    pack = read_pack(folder)
    content = context(pack, folder)
    shown = figures(pack)
    drawn = {name: list(panels(figure)) for name, figure in shown.items()}
    values = page_values(content["methods"])
    pages = op_pages(pack, lambda blocks: template(OP_TEMPLATE, content=blocks, **values))
    ops = {"ops": op_names(pack), "op_pages": compressed_json(pages)}
    files = {HTML_FILE: html({**content, **ops}, shown, drawn), MARKDOWN_FILE: markdown(content, shown)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    images = [write_svg(figure, drawn[name], folder) for name, figure in shown.items() if figure.markdown]
    return [*(folder / name for name in files), *images]


def html(content: Context, shown: dict[str, Figure], drawn: dict[str, list[Panel]]) -> str:
    """The page; `drawn` are the panels of each figure for readers without scripts."""
    return template(
        HTML_FILE,
        **content,
        figures={name: _figure(figure, drawn[name]) for name, figure in shown.items()},
        figure_css=Markup(css()),
        filters=filters(shown.values()),
        scripts=scripts(),
        folds=Folds(),
        chart_data=compressed_json(page_data(shown.values())),
        sample_data=compressed_json(content["rounds"]),
        rounds_table=ROUNDS_TABLE,
    )


def markdown(content: Context, shown: dict[str, Figure]) -> str:
    """`report.md`, which shows the figures that have a file beside it."""
    parts: list[Part] = content["parts"]
    titles = {name: figure.title for name, figure in shown.items() if figure.markdown}
    texts = {part.title: blocks.markdown(part.blocks, titles) for part in parts}
    return template(MARKDOWN_FILE, **content, texts={title: text for title, text in texts.items() if text})


def readme_parts(folder: Path) -> Context:
    """The parts of a README that come from a pack.

    The pictures are drawn again into `folder` from its pack. Raises PackError.

    Returns:
        `machine`, with versions and date; `busy`, a sentence where the machine was busy; `sentences` and `table`, those
        of the summary, in Markdown; `decisions`, the table of questions; `pictures`, the files that stand below.
    """
    folder = _folder(folder)
    pack = read_pack(folder)
    date = datetime.fromisoformat(pack.created_utc)
    shown = summary(pack)
    # Compilers and commit are in the report.
    machine = [phrase for phrase in machine_line(pack) if not phrase.startswith(("c++", "commit"))]
    return {
        "machine": " · ".join(map(escaped, [*machine, f"{date.day} {date:%B %Y}"])),
        "busy": escaped(busy(pack) or ""),
        "sentences": [escaped(str(sentence)) for sentence in shown.sentences],
        "table": figure_table(shown, linked=False).markdown if shown.figures else "",
        "decisions": decision_table(pack, shown).markdown if pack.table(DecisionRow) else "",
        "pictures": [
            write_svg(figure, list(panels(figure)), folder) for figure in figures(pack).values() if figure.readme
        ],
    }


def _folder(path: Path) -> Path:
    path = Path(path)
    return path.parent if path.is_file() else path


def _figure(figure: Figure, drawn: list[Panel]) -> Context:
    # Our own drawing: text in it was escaped when it was drawn.
    return {"note": figure.note, "panels": [{"title": panel.title, "svg": Markup(panel.svg)} for panel in drawn]}


def template(name: str, **values: Any) -> str:
    """A template of this package, printed."""
    return _environment(name.endswith(".html")).get_template(name).render(**values)


@cache
def _environment(is_html: bool) -> Environment:
    """Where templates are compiled, once. The HTML page escapes everything; Markdown has an escape of its own."""
    environment = Environment(
        loader=PackageLoader("evidence.page"),
        autoescape=is_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escaped
    environment.globals["status"] = status_html
    return environment
