"""What a reader sees before unfolding anything, on the committed pack with the most rows: few words, short sections,
a first screen that is whole, and a summary that can be taken along."""

from __future__ import annotations

import csv
import io
import re
import shutil

import pytest
from browser import Watched, chromium
from evidence.core.machine import ROOT
from evidence.core.pack import PACK_FILE, empty_pack, read_pack, write_pack
from evidence.judge.conclude import conclude
from evidence.judge.summary import COLUMNS, lines, summary
from evidence.page.context import PDF_FILE, recorded
from evidence.page.report import render
from evidence.page.summary_csv import HEADS, summary_csv

PACK = ROOT / "reports" / "packs" / "amd-epyc-zen4-2c"
WORDS = 3000
SCREEN = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SCREENS_A_SECTION = 2

COUNT_WORDS = r"""() => {
    const table_text = (text) => (text.trim().match(/\S+/g) || []).length;
    const drawings = [...document.querySelectorAll("svg")].filter((drawing) => drawing.checkVisibility());
    const unread = drawings.flatMap((drawing) => [...drawing.querySelectorAll("text")]);
    for (const choice of document.querySelectorAll("select"))
        if (choice.checkVisibility()) unread.push(...choice.querySelectorAll("option:not(:checked)"));
    return table_text(document.body.innerText) - unread.reduce((sum, text) => sum + table_text(text.textContent), 0);
}"""
"""Words that are read: not the figures beside the marks of a drawing, nor what a closed list of choices holds."""

CUT = """() => [...document.querySelectorAll("header.top *, #verdict ~ *:not(details), #verdict ~ *:not(details) *")]
    .filter((element) => element.checkVisibility() && element.scrollWidth > element.clientWidth + 1
        && getComputedStyle(element).display !== "inline" && element.clientWidth)
    .map((element) => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`)"""

OVERLAPS = """() => {
    const parts = "header.top > *, #verdict ~ p, #verdict ~ .scroll, #verdict ~ .decisions";
    const rows = [...document.querySelectorAll(parts)].filter((element) => element.checkVisibility())
        .map((element) => element.getBoundingClientRect());
    return rows.slice(1).filter((box, place) => box.top < rows[place].bottom - 1).length;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The committed pack, judged as this release judges, and its report."""
    folder = tmp_path_factory.mktemp("zen4")
    shutil.copy(PACK / PACK_FILE, folder)
    pack = read_pack(folder)
    conclude(pack)
    write_pack(pack, folder)
    render(folder)
    return folder


@pytest.fixture(scope="module")
def shown(folder):
    return summary(read_pack(folder))


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


def opened(browser, folder, size, scheme="light", **settings):
    context = browser.new_context(viewport=size, color_scheme=scheme, **settings)
    context.set_default_timeout(10_000)
    watched = Watched(context.new_page())
    watched.page.goto((folder / "report.html").as_uri())
    return watched


@pytest.fixture(scope="module")
def wide(browser, folder):
    """The page at 1,280 x 800 with its figures drawn."""
    watched = opened(browser, folder, SCREEN)
    for figure in watched.page.query_selector_all("figure[data-live]"):
        if figure.is_visible():
            figure.scroll_into_view_if_needed()
            watched.page.wait_for_selector(f"#{figure.get_attribute('id')}[data-live='drawn']")
    watched.page.evaluate("scrollTo(0, 0)")
    yield watched.page
    watched.page.context.close()


def test_few_words_before_anything_is_unfolded(wide):
    assert wide.evaluate(COUNT_WORDS) <= WORDS


def test_a_section_takes_two_screens_at_most(wide):
    heights = wide.evaluate(
        "[...document.querySelectorAll('main > section')].map((section) => "
        "[section.querySelector('h2').id, section.getBoundingClientRect().height])"
    )
    assert len(heights) > 10
    assert {name: height for name, height in heights if height > SCREENS_A_SECTION * SCREEN["height"]} == {}


def test_a_section_shows_at_most_one_figure_and_one_table(wide):
    shown = wide.evaluate(
        "[...document.querySelectorAll('main > section')].map((section) => [section.querySelector('h2').id, "
        "...['figure', 'table'].map((kind) => [...section.querySelectorAll(kind)]"
        ".filter((element) => element.checkVisibility()).length)])"
    )
    assert [name for name, figures, tables in shown if figures > 1 or tables > 1] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_is_whole(browser, folder, shown, scheme):
    watched = opened(browser, folder, SCREEN, scheme)
    page = watched.page
    parts = ["h1", ".actions", ".facts", "#verdict ~ .scroll", "#verdict ~ .decisions"]
    parts += ["#verdict ~ .moves"] * bool(shown.moves or shown.leaves)
    for part in parts:
        box = page.locator(part).first.bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= SCREEN["height"], part
    assert page.locator("#verdict ~ .answer").count() == len(shown.sentences)
    assert page.locator("#verdict ~ .scroll table.summary tbody tr").count() == len(shown.figures)
    assert page.evaluate(CUT) == []
    assert page.evaluate(OVERLAPS) == 0
    assert watched.wrong == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_sideways_scrolling(browser, folder, scheme):
    watched = opened(browser, folder, PHONE, scheme)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(CUT) == []
    assert page.evaluate(OVERLAPS) == 0
    assert page.locator("#verdict ~ .decisions").is_visible()
    page.context.close()


def test_the_first_screen_shows_the_summary(folder, shown):
    html = (folder / "report.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split('<h2 id="decisions"')[0]))
    for part in (shown.title, shown.machine, *shown.warnings, *map(str, shown.sentences)):
        assert re.sub(r"\s+", " ", part) in text.replace("&amp;", "&").replace("&#39;", "'")
    markdown = (folder / "report.md").read_text()
    assert all(figure.name in markdown for figure in shown.figures)


# taking it along


def test_copy_summary(browser, folder, shown):
    watched = opened(browser, folder, SCREEN, permissions=["clipboard-read", "clipboard-write"])
    page = watched.page
    page.click("#copy-summary")
    page.wait_for_function("document.getElementById('copied').textContent")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == [line for text in lines(shown) for line in text.splitlines()]
    assert not page.locator("#text-form").is_visible()
    assert watched.wrong == []
    page.context.close()


def test_copy_summary_selects_the_text_where_the_clipboard_is_refused(browser, folder, shown):
    watched = opened(browser, folder, PHONE)
    page = watched.page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.focus("#copy-summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#text-form:not([hidden])")
    selected = page.evaluate(
        "((area) => area.value.slice(area.selectionStart, area.selectionEnd))(document.activeElement)"
    )
    assert selected == "\n".join(lines(shown))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert watched.wrong == []
    page.context.close()


def test_the_csv_holds_every_figure_move_and_decision(browser, folder, shown):
    watched = opened(browser, folder, SCREEN)
    with watched.page.expect_download() as download:
        watched.page.click("a[download]")
    content = download.value.path().read_text(encoding="utf-8")
    assert content == summary_csv(shown)
    watched.page.context.close()
    table = list(csv.DictReader(io.StringIO(content)))
    assert tuple(table[0]) == HEADS
    figures = {(row["name"], row["route"]): row["value"] for row in table if row["kind"] == "figure"}
    assert len(figures) == len(shown.figures) * len(COLUMNS)
    assert all(
        figures[figure.name, route] == value for figure in shown.figures for route, value in figure.values.items()
        if (figure.name, route) in figures
    )  # fmt: skip
    assert [row["name"] for row in table if row["kind"] == "move"] == [move.op for move in shown.moves]
    assert [row["name"] for row in table if row["kind"] == "question"] == [each.question for each in shown.decisions]


def test_the_pdf_is_linked_where_it_lies_beside_the_page(folder, tmp_path):
    shutil.copy(folder / PACK_FILE, tmp_path)
    assert PDF_FILE not in (folder / "report.html").read_text()
    (tmp_path / PDF_FILE).write_bytes(b"%PDF-1.7")
    render(tmp_path)
    assert f'href="{PDF_FILE}">One-page PDF</a>' in (tmp_path / "report.html").read_text()


# what has to be said


def test_a_section_of_recorded_rows_says_so(tmp_path):
    pack = empty_pack()
    assert recorded(pack, ("footprint", "upgrade")) == ""
    records = {"upgrade": {"date": "2026-11-29T21:48:53+00:00", "commit": "8723d4d", "key": "a"}}
    pack.set_facts("settings", {"recorded": records})
    assert recorded(pack, ("footprint", "upgrade")) == "upgrade recorded, 29 November 2026"
    assert recorded(pack, ("upgrade",)) == "recorded, 29 November 2026"
    records["footprint"] = {**records["upgrade"], "date": "2026-11-28"}
    assert recorded(pack, ("footprint", "upgrade")) == (
        "footprint recorded, 28 November 2026; upgrade recorded, 29 November 2026"
    )
    write_pack(pack, tmp_path)
    html = render(tmp_path)[0].read_text()
    assert html.count('class="recorded"') == 1
    assert '<span class="recorded">footprint recorded, 28 November 2026; upgrade' in html


def test_int8_says_what_was_not_measured(wide):
    models = wide.inner_text("section[aria-labelledby='models']")
    assert "speed only: random weights, quality not measured" in models


def test_built_emulated_and_run_are_three_words(wide):
    table_text = wide.inner_text("section[aria-labelledby='gpu'] table")
    assert {"not run on a device", "built for 6 of 6 targets", "cannot be emulated"} <= {
        line.strip("–✓ ") for line in table_text.splitlines()
    }
