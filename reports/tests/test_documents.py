"""The documents of the repository: links resolve, and the page about packs names every section."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from evidence.core.machine import ROOT
from evidence.core.pack import PACK_FILE, part_names

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def documents() -> list[str]:
    """The Markdown files that git tracks or would add, without the templates of the report."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", ":!*/templates/*"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    return [name for name in listed if (ROOT / name).exists()]


def anchors(file: Path) -> set[str]:
    """The anchors of a file's headings, formed as GitHub forms them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(file: Path) -> list[str]:
    """The relative links of a Markdown file that lead nowhere."""
    broken = []
    for match in LINK.finditer(CODE.sub("", file.read_text(encoding="utf-8"))):
        path, _, anchor = match["target"].partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = file.parent / path if path else file
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(match["target"])
    return broken


@pytest.mark.parametrize("name", documents())
def test_links_resolve(name: str) -> None:
    assert broken_links(ROOT / name) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Two words\n[a](page.md) [b](#two-words) ![c](no.svg) [d](page.md#no) `[e](code)`\n")
    assert broken_links(file) == ["no.svg", "page.md#no"]


def test_the_page_about_packs_names_every_section_and_file() -> None:
    page = (ROOT / "reports/docs/pack.md").read_text(encoding="utf-8")
    assert [name for name in (*part_names(), PACK_FILE) if f"`{name}`" not in page] == []


def test_every_page_is_in_the_index() -> None:
    folder = ROOT / "reports/docs"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in folder.glob("*.md")} - {"README.md"} == linked
