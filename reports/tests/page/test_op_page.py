"""The page of an op: sources and figures from the pack alone, in place of the report, for every reader."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from browser import Watched, axe, chromium
from evidence.core.machine import ROOT
from evidence.core.pack import read_pack, write_pack
from evidence.page.highlight import highlighted
from evidence.page.op_page import op_names, op_pages, page_values
from evidence.page.packed import compressed, uncompressed
from evidence.page.report import render, template
from evidence.sections.code.measure import source_rows
from evidence.sections.correctness.specs import spec_rows
from synthetic_full import full_pack

OP = "rope"
OPS = ["add", OP]
LIMIT_BYTES = 350_000
PACK = ROOT / "reports/packs/amd-epyc-zen4-2c"


def pages_of(pack):
    values = page_values({})
    return op_pages(pack, lambda blocks: template("op.html", content=blocks, **values))


@pytest.fixture(scope="module")
def pack():
    pack = full_pack()
    pack.set_rows("sources", source_rows(ROOT, OPS))
    pack.set_rows("specs", spec_rows(OPS))
    return pack


@pytest.fixture(scope="module")
def pages(pack):
    return pages_of(pack)


def part(pages, title: str, op: str = OP) -> str:
    return next(each["of"].get(op, "") for each in pages["parts"] if each["title"] == title)


def without_tags(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


# the sources


def test_the_sources_are_the_files_of_both_sides(pack):
    paths = {(row["side"], row["path"]) for row in pack.rows("sources") if row["op"] == OP}
    assert {
        ("cpp", f"cpp_ext/csrc/cpu/{OP}.cpp"),
        ("cpp", f"cpp_ext/csrc/cuda/{OP}.cu"),
        ("mojo", f"mojo_ops/kernels/{OP}.mojo"),
    } <= paths
    kernels = [row["text"] for row in pack.rows("sources") if row["op"] == OP and row["path"].endswith(".mojo")]
    file = (ROOT / f"mojo_ops/kernels/{OP}.mojo").read_text()
    assert all(text in file for text in kernels)
    assert len(file.splitlines()) - sum(len(text.splitlines()) for text in kernels) == 1, "all but the marker"


def test_a_page_shows_every_source_as_it_is(pack, pages):
    shown = without_tags(part(pages, "Sources"))
    for row in pack.rows("sources"):
        if row["op"] == OP:
            assert row["text"].strip("\n") in shown, row["path"]


@pytest.mark.parametrize("file", ["cpp_ext/csrc/cuda/rope.cu", "mojo_ops/kernels/rope.mojo", "noxfile.py"])
def test_highlighting_changes_no_character(file):
    source = (ROOT / file).read_text()
    html = highlighted(source, file)
    assert without_tags(html) == source
    assert {"c" if file.endswith("cu") else "s", "k"} <= set(re.findall(r"<i class=(\w)>", html))


def test_a_source_is_text_and_never_a_tag():
    evil = "<script>window.hit=1</script>// <img onerror=1>"
    for path in ("kernel.cu", "kernel.unknown"):
        html = highlighted(evil, path)
        assert without_tags(html) == evil
        assert "<script" not in html
        assert "<img" not in html


def test_compressed_text_comes_back():
    assert uncompressed(compressed("“a” <b>\n" * 100)) == "“a” <b>\n" * 100


# a pack of an earlier release


def test_a_pack_without_sources_says_so_and_shows_none():
    pack = read_pack(PACK)
    pages = pages_of(pack)
    assert "carries no sources" in part(pages, "Sources", "rms_norm")
    assert "carries no specs" in part(pages, "What it is", "rms_norm")
    assert "<pre" not in part(pages, "Sources", "rms_norm")
    assert "GPU, emulated" in {each["title"] for each in pages["parts"] if "rms_norm" in each["of"]}
    assert "µs" in part(pages, "Run time by size", "rms_norm")


def test_the_index_has_every_op_of_the_pack_once(pack, pages):
    links = re.findall(r'href="#op/(\w+)"', pages["index"])
    assert sorted(links) == op_names(pack)
    assert set(OPS) <= set(links)


# in the browser


@pytest.fixture(scope="module")
def report(tmp_path_factory, pack) -> Path:
    folder = tmp_path_factory.mktemp("op")
    write_pack(pack, folder)
    return render(folder)[0]


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


def opened(browser, report: Path, width: int, anchor: str, scheme: str = "light") -> Watched:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    context.set_default_timeout(20_000)
    watched = Watched(context.new_page())
    watched.page.goto(f"{report.as_uri()}#{anchor}")
    return watched


def test_a_deep_link_shows_the_op_and_escape_the_report(browser, report):
    watched = opened(browser, report, 1280, f"op/{OP}")
    page = watched.page
    page.wait_for_selector("#op h1")
    assert page.inner_text("#op h1") == OP
    assert page.title().startswith(f"{OP}: ")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert not page.is_visible(".layout")
    left, right = page.evaluate(
        "[...document.querySelectorAll('.sources > div')].map((side) => side.getBoundingClientRect().left)"
    )
    assert left < right, "two columns"
    page.keyboard.press("Escape")
    page.wait_for_selector(".layout")
    assert not page.is_visible("#op")
    assert not page.title().startswith(OP)
    assert watched.wrong == []
    page.context.close()


def test_links_lead_to_an_op_to_its_rows_and_back(browser, report):
    watched = opened(browser, report, 1280, "runtime")
    page = watched.page
    page.wait_for_function("document.documentElement.classList.contains('scripted')")
    page.evaluate(f"location.hash = 'op/{OP}'")
    page.wait_for_selector("#op h1")
    links = page.evaluate("[...document.querySelectorAll('#op a')].map((link) => link.getAttribute('href').slice(1))")
    missing = page.evaluate(
        "(links) => links.filter((id) => !(typeof Folds === 'object' ? Folds.find(id) : document.getElementById(id)))",
        [link.split("?")[0] for link in links if not link.startswith("op")],
    )
    assert len(links) > 20
    assert missing == []
    page.go_back()
    page.wait_for_selector(".layout")
    assert page.evaluate("location.hash.startsWith('#runtime')")
    page.go_forward()
    page.wait_for_selector("#op h1")
    page.click("#op a.figure")
    page.wait_for_selector(".layout")
    assert page.evaluate("document.activeElement.id").startswith("runtime-")
    page.evaluate("location.hash = 'op/no_such_op'")
    page.wait_for_selector("#op h1")
    assert "no op “no_such_op”" in page.inner_text("#op")
    assert watched.wrong == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_everybody_can_read_it(browser, report, width, scheme):
    watched = opened(browser, report, width, f"op/{OP}", scheme)
    page = watched.page
    page.wait_for_selector("#op h1")
    page.evaluate("for (const fold of document.querySelectorAll('#op details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(axe())
    violations = page.evaluate("axe.run(document.getElementById('op')).then((result) => result.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    page.context.close()
