"""From a pack folder to a report: `report.html` (one file, no network), `report.md` and its pictures, in that folder.

Only the pack is read, so a report can be made again from an old pack on another machine.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evidence.core.pack import Pack, read_pack
from evidence.judge.busy import busy
from evidence.page.blocks import Figure, markdown
from evidence.page.charts import charts, filters
from evidence.page.common import Context
from evidence.page.context import Part, context, machine_line
from evidence.page.decisions import decision_table
from evidence.page.embed import json_script, scripts
from evidence.page.headline import readme_table
from evidence.page.picture import Picture, to_svg, write_svg
from evidence.page.pictures import pictures
from evidence.page.table import Table, columns, escaped, numbers, status_html
from evidence.sections.runtime.cases import cases

HTML_FILE = "report.html"
MARKDOWN_FILE = "report.md"
README_PICTURES = ("ops",)
ROUNDS_TABLE = Table(
    "Rounds of each process", columns("Process", *numbers("Rounds shown", "Lowest", "Median", "Highest")), ()
)
"""The table of the dialog that shows the rounds behind a row; the page fills it."""


def render(folder: Path) -> list[Path]:
    """Write the report of the pack in `folder` beside it; gives the files written. Raises PackError."""
    folder = _folder(folder)
    pack = read_pack(folder)
    content = context(pack, folder)
    drawn = pictures(pack)
    files = {HTML_FILE: _html(pack, content, drawn), MARKDOWN_FILE: _markdown(content, drawn)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [*(folder / name for name in files), *(write_svg(drawn[name], folder) for name in _linked(content, drawn))]


def _html(pack: Pack, content: Context, drawn: dict[str, Picture]) -> str:
    all_cases = cases(pack)
    return _template(
        HTML_FILE,
        **content,
        figures={name: _figure(picture) for name, picture in drawn.items()},
        filters=filters(pack, all_cases),
        scripts=scripts(),
        chart_data=json_script(charts(pack, all_cases)),
        sample_data=json_script(content["rounds"]),
        rounds_table=ROUNDS_TABLE,
    )


def _markdown(content: Context, drawn: dict[str, Picture]) -> str:
    parts: list[Part] = content["parts"]
    texts = {part.title: markdown(part.blocks, drawn) for part in parts}
    return _template(MARKDOWN_FILE, **content, texts={title: text for title, text in texts.items() if text})


def _linked(content: Context, drawn: dict[str, Picture]) -> list[str]:
    """The pictures that `report.md` shows."""
    figures = [block for part in content["parts"] for block in part.blocks if isinstance(block, Figure)]
    return [figure.name for figure in figures if figure.title and figure.name in drawn]


def readme_parts(folder: Path) -> Context:
    """The parts of a README that come from a pack.

    The pictures are drawn again into `folder` from its pack. Raises PackError.

    Returns:
        `machine`, with versions and date; `busy`, a sentence where the machine was busy; `table`, the headline figures
        in Markdown; `decisions`, the table of questions; `pictures`, the files that stand below.
    """
    folder = _folder(folder)
    pack = read_pack(folder)
    date = datetime.fromisoformat(pack.created_utc)
    # Compilers and commit are in the report.
    machine = [phrase for phrase in machine_line(pack) if not phrase.startswith(("c++", "commit"))]
    drawn = pictures(pack)
    return {
        "machine": " · ".join(map(escaped, [*machine, f"{date.day} {date:%B %Y}"])),
        "busy": escaped(busy(pack) or ""),
        "table": readme_table(pack).markdown,
        "decisions": decision_table(pack).markdown if pack.rows("decisions") else "",
        "pictures": [write_svg(drawn[name], folder) for name in README_PICTURES if name in drawn],
    }


def _folder(path: Path) -> Path:
    path = Path(path)
    return path.parent if path.is_file() else path


def _figure(picture: Picture) -> Context:
    return {
        "title": picture.title,
        "note": picture.note,
        # Our own drawing: text in it was escaped when it was drawn.
        "panels": [Markup(to_svg(panel, f"{picture.name}{number}")) for number, panel in enumerate(picture.panels)],
    }


def _template(name: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("evidence.page"),
        # Markdown has an escape of its own; the HTML page escapes everything that it prints.
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escaped
    environment.globals["status"] = status_html
    return environment.get_template(name).render(**values)
