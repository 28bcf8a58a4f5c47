"""The part of README that comes from a pack: headline figures, one picture and the decisions, between two markers."""

from __future__ import annotations

import os
from pathlib import Path

from evidence.core.pack import PackError
from evidence.page.report import readme_parts

BEGIN, END = "<!-- from a pack: begin -->", "<!-- from a pack: end -->"
ALT = {"ops.svg": "Speed of both sides relative to eager PyTorch, op by op"}


def block(folder: Path, beside: Path) -> str:
    """What stands between the markers for the pack in `folder`, with links relative to the folder `beside`."""
    parts = readme_parts(folder)
    where = Path(os.path.relpath(folder, beside)).as_posix()
    pictures = [f"![{ALT.get(file.name, file.stem)}]({where}/{file.name})" for file in parts["pictures"]]
    source = f"From [`{where}`]({where}/report.md), written by `nox -s report -- {where} --readme README.md`."
    busy = [f"**Busy machine.** {parts['busy']}"] if parts["busy"] else []
    texts = [parts["machine"], *busy, *parts["sentences"], parts["table"], *pictures, parts["decisions"], source]
    return "\n\n".join(["## Result on one machine", *filter(None, texts)])


def write_readme(readme: Path, folder: Path) -> None:
    """Put the pack's part between the markers of `readme`.

    Raises:
        PackError: the pack cannot be read, or the file lacks the markers.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise PackError(f"{readme}: expected the lines {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}\n\n{block(folder, readme.resolve().parent)}\n\n{END}{after}"
    readme.write_text(new, encoding="utf-8")
