"""Content inside the page as compressed text: folds that are built when they are opened, data of figures, Vega.

A fold whose content is long or made of row tables stands in the page once, compressed. Its place holds a sentence for
readers without scripts; `templates/folds.js` puts the content there when the fold is opened or a link leads into it.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

from markupsafe import Markup

LONGEST_PLAIN = 20_000
"""Characters of HTML up to which a fold that is printed stays in the page as it is, readable without scripts."""

PLACEHOLDER = (
    '<p class="packed note">A browser with scripts builds these rows here; without, they are in '
    "<code>pack.json.gz</code>.</p>"
)
_BODIES = re.compile(r'<script type="text/plain" id="folds">([^<]*)</script>')


def compressed(content: str) -> Markup:
    """Text as gzip in base64, which needs no escape inside a `<script>`; the same text always gives the same bytes."""
    return Markup(base64.b64encode(gzip.compress(content.encode(), 9, mtime=0)).decode())


def compressed_json(value: Any) -> Markup:
    """A value as compressed JSON. Raises ValueError for NaN and infinities, which JSON does not know."""
    return compressed(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def uncompressed(content: str) -> str:
    """The text behind `compressed`."""
    return gzip.decompress(base64.b64decode(content)).decode()


class Folds:
    """The folds of one page whose content is compressed, in the order in which they were printed."""

    def __init__(self) -> None:
        self._bodies: list[str] = []

    def attributes(self, classes: str, body: str) -> Markup:
        """`data-fold="3"` with a space before it where the page compresses `body`, else nothing."""
        if "data" not in classes.split() and len(body) <= LONGEST_PLAIN:
            return Markup("")
        self._bodies.append(body)
        return Markup(f' data-fold="{len(self._bodies) - 1}"')

    def placeholder(self) -> Markup:
        """What stands in a compressed fold until it is built."""
        return Markup(PLACEHOLDER)

    def data(self) -> Markup:
        """Every compressed body, for the script element `folds`."""
        return compressed_json(self._bodies)


def unpacked(html: str) -> str:
    """A page with every compressed fold built, as a reader sees it who opened them all."""
    data = _BODIES.search(html)
    if data is None:
        return html
    page = html[: data.start()] + html[data.end() :]
    # A fold inside a fold was printed before the outer one, whose body holds its place.
    for number, body in reversed(list(enumerate(json.loads(uncompressed(data[1]))))):
        place = re.compile(rf'( data-fold="{number}"[^>]*>.*?)' + re.escape(PLACEHOLDER), re.DOTALL)
        fold = place.search(page)
        if fold is not None:
            page = f"{page[: fold.start()]}{fold[1]}{body}{page[fold.end() :]}"
    return page
