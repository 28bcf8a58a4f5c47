"""Data and scripts inside the page: escaped JSON, the bundle of Vega, and the hashes that the page allows."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from importlib import resources
from typing import Any

import vl_convert
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
    contents = {"theme": _own("theme.js"), "vega": _vega(), "figures": _own("figures.js"), "page": _own("page.js")}
    contents["share"] = _own("share.js")
    # Vega is text until the page has been painted: to compile it takes as long as all the rest.
    return [
        {"name": name, "content": Markup(content), "hash": Markup(_hash(content)), "later": name == "vega"}
        for name, content in contents.items()
    ]


def _hash(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _own(name: str) -> str:
    return resources.files("evidence.page").joinpath(f"templates/{name}").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, the versions that draw the files too."""
    # A function of its own keeps the bundle's names out of the page's other scripts.
    content = f"(() => {{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"
    if "</script" in content.lower():
        raise ValueError("the bundle of Vega holds “</script”, expected one that can stand inside a page")
    return content
