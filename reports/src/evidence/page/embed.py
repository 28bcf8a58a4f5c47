"""Scripts inside the page: its own, the bundle of Vega, and the hashes that the page's policy allows."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources
from typing import Any

import vl_convert
from markupsafe import Markup

from evidence.page.packed import compressed


def scripts() -> list[dict[str, Any]]:
    """The page's scripts in order, each with the hash by which the page's policy allows it and no other."""
    # op.js takes the addresses of ops before page.js follows the others.
    names = ("theme", "packed", "folds", "figures", "sort", "copy", "rows", "search", "op", "page", "share")
    contents = {"theme": _own("theme.js"), "vega": _vega(), **{name: _own(f"{name}.js") for name in names[1:]}}
    # Vega is compressed text until a figure is drawn: to compile it takes as long as all the rest.
    return [
        {
            "name": name,
            "content": compressed(content) if name == "vega" else Markup(content),
            "hash": Markup(_hash(content)),
            "later": name == "vega",
        }
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
    return f"(() => {{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}})();"
