"""Data and scripts inside the page: escaped JSON, Plotly's own bundle, and the hashes that the page allows."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from markupsafe import Markup

_HARMLESS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_script(value: Any) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it can end the element or begin another one."""
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escaped in _HARMLESS.items():
        content = content.replace(character, escaped)
    return Markup(content)


def scripts() -> list[dict[str, Any]]:
    """The page's scripts in order, each with the hash by which the page's policy allows it and no other."""
    found = []
    contents = {"theme": _own("theme.js"), "plotly": _plotly(), "charts": _own("charts.js"), "page": _own("page.js")}
    for name, content in contents.items():
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        # Plotly is text until the page has been painted: to compile it takes as long as all the rest.
        found.append({"name": name, "content": Markup(content), "hash": Markup(digest), "later": name == "plotly"})
    return found


def _own(name: str) -> str:
    return resources.files("evidence.page").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _plotly() -> str:
    # Read as a file: importing plotly takes half a second and is not needed.
    content = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    if "</script" in content.lower():
        raise ValueError("plotly.min.js holds “</script”, expected a bundle that can stand inside a page")
    return content
