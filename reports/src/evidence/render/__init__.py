"""From a pack folder to a report: `report.html` (one file, no network), `report.md` and PNG pictures, in that folder.

Only the pack is read, so a report can be made again from an old pack on another machine.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evidence.pack import read_pack
from evidence.render.page import context, plain
from evidence.render.picture import to_png, to_svg
from evidence.render.pictures import pictures

HTML_FILE = "report.html"
MARKDOWN_FILE = "report.md"


def render(folder: Path) -> list[Path]:
    """Write the report of the pack in `folder` beside it; gives the files written. Raises PackError."""
    folder = Path(folder)
    folder = folder.parent if folder.is_file() else folder
    pack = read_pack(folder)
    drawn = pictures(pack)
    told = context(pack)
    figures = {
        name: {
            "title": picture.title,
            "note": picture.note,
            # Our own drawing: text in it was escaped when it was drawn.
            "panels": [Markup(to_svg(panel, f"{name}{number}")) for number, panel in enumerate(picture.panels)],
        }
        for name, picture in drawn.items()
    }
    script = resources.files("evidence.render").joinpath("templates/page.js").read_text(encoding="utf-8")
    # The page allows this script and no other: even text that slipped through the escape could not run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = _environment(autoescape=True).get_template(HTML_FILE)
    page = html.render(figures=figures, script=Markup(script), script_hash=Markup(digest), **told)
    markdown = _environment(autoescape=False).get_template(MARKDOWN_FILE).render(figures=figures, **told)
    files = [folder / HTML_FILE, folder / MARKDOWN_FILE]
    files[0].write_text(page, encoding="utf-8")
    files[1].write_text(markdown, encoding="utf-8")
    return files + [to_png(picture, folder) for picture in drawn.values()]


def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("evidence.render"),
        # Markdown has an escape of its own; the HTML page escapes everything that it prints.
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = plain
    return environment
