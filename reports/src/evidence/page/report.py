"""From a pack folder to a report: `report.html` (one file, no network), `report.md` and its pictures, in that folder.

Only the pack is read, so a report can be made again from an old pack on another machine.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evidence.core.pack import read_pack
from evidence.judge.busy import busy
from evidence.page.common import Context, plain
from evidence.page.context import context
from evidence.page.embed import json_script, scripts
from evidence.page.figure import Figure, Panel, panels, write_svg
from evidence.page.figures import figures, filters, page_data
from evidence.page.style import css

HTML_FILE = "report.html"
MARKDOWN_FILE = "report.md"


def render(folder: Path) -> list[Path]:
    """Write the report of the pack in `folder` beside it; gives the files written. Raises PackError."""
    folder = _folder(folder)
    pack = read_pack(folder)
    all_figures = figures(pack)
    drawn = {name: list(panels(figure)) for name, figure in all_figures.items()}
    told = {
        **context(pack, folder),
        "filters": filters(all_figures.values()),
        "figures": {name: _figure(figure, drawn[name]) for name, figure in all_figures.items()},
    }
    page = _environment(autoescape=True).get_template(HTML_FILE)
    html = page.render(
        scripts=scripts(),
        figure_css=Markup(css()),
        chart_data=json_script(page_data(all_figures.values())),
        sample_data=json_script(told["rounds"]),
        **told,
    )
    markdown = _environment(autoescape=False).get_template(MARKDOWN_FILE).render(**told)
    files = [folder / HTML_FILE, folder / MARKDOWN_FILE]
    files[0].write_text(html, encoding="utf-8")
    files[1].write_text(markdown, encoding="utf-8")
    return files + [write_svg(figure, drawn[name], folder) for name, figure in all_figures.items() if figure.markdown]


def readme_parts(folder: Path) -> Context:
    """The parts of a README that come from a pack.

    The pictures are drawn again into `folder` from its pack. Raises PackError.

    Returns:
        `machine`, with versions and date; `busy`, a sentence where the machine was busy; `table`, the headline figures
        in Markdown; `decisions`, the table of questions; `pictures`, the files that stand below.
    """
    folder = _folder(folder)
    pack = read_pack(folder)
    told = context(pack, folder)
    templates = _environment(autoescape=False)
    date = datetime.fromisoformat(pack.created_utc)
    # Compilers and commit are in the report.
    machine = [part for part in told["machine_line"] if not part.startswith(("c++", "commit"))]
    return {
        "machine": " · ".join(map(plain, [*machine, f"{date.day} {date:%B %Y}"])),
        "busy": plain(busy(pack) or ""),
        "table": templates.get_template("readme.md").render(**told).strip(),
        "decisions": templates.get_template("decisions.md").render(**told).strip(),
        "pictures": [
            write_svg(figure, list(panels(figure)), folder) for figure in figures(pack).values() if figure.readme
        ],
    }


def _folder(path: Path) -> Path:
    path = Path(path)
    return path.parent if path.is_file() else path


def _figure(figure: Figure, drawn: list[Panel]) -> Context:
    # Our own drawing: text in it was escaped when it was drawn.
    shown = [{"title": panel.title, "svg": Markup(panel.svg)} for panel in drawn]
    return {"title": figure.title, "note": figure.note, "panels": shown}


def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("evidence.page"),
        # Markdown has an escape of its own; the HTML page escapes everything that it prints.
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = plain
    return environment
