"""Rows in a real browser: packed folds, anchors, sorting, copying, links of rows, and the search."""

from __future__ import annotations

import csv
import io
import re

import pytest
from browser import Watched, chromium
from evidence.core.pack import write_pack
from evidence.page.packed import PLACEHOLDER, Folds, compressed, uncompressed, unpacked
from evidence.page.report import render
from synthetic_full import full_pack


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_pack(full_pack(), folder)
    return render(folder)[0]


@pytest.fixture
def watched(browser, report):
    """A fresh page, in which no fold was opened."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    fresh = Watched(context.new_page())
    fresh.open(report)
    yield fresh
    assert fresh.wrong == []
    assert set(fresh.requested_urls) == {report.as_uri()}
    context.close()


@pytest.fixture
def page(watched):
    return watched.page


def column_cells(table, column, shown):
    """A property (a JavaScript expression of `cell`) of every cell of a column, in the order of the rows."""
    cells = f"[...table.tBodies[0].rows].map((row) => row.cells[{column}])"
    return table.evaluate(f"(table) => {cells}.map((cell) => {shown})")


def choose(page, key, value):
    """Choose a value of the filter, which folds away behind its button."""
    box = page.locator(f".filters input[name='{key}'][value='{value}']")
    if not box.is_visible():
        page.click("button[aria-controls='filter']")
    box.check(force=True)


def run_time_table(page):
    """The table of every run-time row of `add`, opened, and its columns by their heads."""
    page.evaluate("Folds.openAll()")
    table = page.locator("[aria-label='Run time of add'] table").element_handle()
    heads = table.evaluate("(table) => [...table.tHead.rows[0].cells].map((head) => head.textContent)")
    return table, {head: column for column, head in enumerate(heads)}


# packed folds


def test_compressed_text_is_the_same_text_and_the_same_bytes():
    content = "<td>µs “</script>”</td>" * 100
    assert uncompressed(compressed(content)) == content
    assert compressed(content) == compressed(content)
    assert not re.search(r"[<>&]", compressed(content))


def test_folds_within_folds_are_unpacked():
    folds = Folds()
    inner = f"<details{folds.attributes('data', '<td>row</td>')}>{PLACEHOLDER}</details>"
    outer = f"<details{folds.attributes('more data', inner)}>{PLACEHOLDER}</details>"
    assert folds.attributes("more", "short") == ""
    page = f'{outer}<script type="text/plain" id="folds">{folds.data()}</script>'
    assert "<td>" not in page
    assert re.sub(r' data-fold="\d"', "", unpacked(page)) == "<details><details><td>row</td></details></details>"


def test_rows_are_built_when_their_fold_is_opened(page):
    assert page.locator("tr.case-row").count() == 0
    nodes = page.evaluate("document.querySelectorAll('*').length")
    page.evaluate("Folds.openAll()")
    assert page.locator("tr.case-row").count() > 100
    assert page.locator(".packed").count() == 0
    assert page.evaluate("document.querySelectorAll('*').length") > 2 * nodes


def test_a_click_on_a_summary_builds_its_rows(page):
    fold = page.locator("details[data-fold]").first
    fold.evaluate(
        "(fold) => { for (let node = fold.parentElement; node; node = node.parentElement) node.open = true; }"
    )
    fold.locator("xpath=./summary").click()
    page.wait_for_function("(fold) => fold.querySelector('table')", arg=fold.element_handle())
    assert fold.locator("table").first.is_visible()


@pytest.mark.parametrize("anchor", ["runtime-12", "noise-0", "code-3", "footprint-1"])
def test_opening_the_page_with_an_anchor_shows_the_row(browser, report, anchor):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    watched = Watched(context.new_page())
    watched.page.goto(f"{report.as_uri()}#{anchor}")
    watched.ready()
    assert watched.page.locator(f"[id='{anchor}']").is_visible()
    assert watched.page.evaluate("document.activeElement.id") == anchor
    assert 0 <= watched.page.evaluate(f"document.getElementById('{anchor}').getBoundingClientRect().top") < 900
    context.close()


def test_the_filter_counts_rows_that_nobody_has_opened(page):
    everything = page.inner_text("#filter .filter-status")
    total = int(re.search(r"\d+", everything)[0])
    choose(page, "op", "rope")
    shown = page.inner_text("#filter .filter-status")
    page.evaluate("Folds.openAll()")
    assert page.locator("tr.case-row").count() == total
    assert shown == f"{page.locator('tr.case-row:not([hidden])').count()} of {total} run-time rows"
    assert page.inner_text("#filter .filter-status") == shown


def test_without_scripts_a_fold_says_where_its_rows_are(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("table").count() > 5, "the tables that decide are there"
    assert "pack.json.gz" in page.locator(".packed").first.text_content()
    context.close()


def test_what_is_printed_is_built_for_it(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[data-fold]:not(.data) > .packed").count() == 0
    assert page.locator("details.data > .packed").count() > 5, "row tables are not printed"
    page.evaluate("dispatchEvent(new Event('afterprint'))")


# sorting


def test_heads_sort_by_value_and_say_so(page):
    table, columns = run_time_table(page)
    column = columns["Median (interval)"]
    before = column_cells(table, column, "cell.textContent")
    head = table.query_selector_all("thead th")[column]
    button = head.query_selector("button")
    assert head.get_attribute("aria-sort") == "none"
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    ascending = column_cells(table, column, "Number(cell.dataset.value)")
    assert len(set(ascending)) > 5
    assert ascending == sorted(ascending)
    page.keyboard.press("Enter")
    assert column_cells(table, column, "Number(cell.dataset.value)") == sorted(ascending, reverse=True)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "none"
    assert column_cells(table, column, "cell.textContent") == before


def test_one_head_at_a_time_is_sorted(page):
    table, columns = run_time_table(page)
    heads = table.query_selector_all("thead th")
    for name in ("Route", "Sample"):
        heads[columns[name]].query_selector("button").click()
    assert [head.get_attribute("aria-sort") for head in heads].count("ascending") == 1
    assert heads[columns["Sample"]].get_attribute("aria-sort") == "ascending"


# copying


def copied(page, table, form):
    """What the button of this form puts on the clipboard, which is replaced: a browser may refuse to read it."""
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.written = text; }; }")
    tools = table.evaluate_handle("(table) => table.closest('.scroll').nextElementSibling").as_element()
    tools.query_selector(f"button[value={form}]").click()
    return page.wait_for_function("window.written").json_value()


def test_a_table_is_copied_as_markdown_and_csv(page):
    table, columns = run_time_table(page)
    count = table.evaluate("(table) => table.tBodies[0].rows.length")
    markdown = copied(page, table, "Markdown").splitlines()
    assert markdown[0].startswith("| Sample | Dtype |")
    assert re.fullmatch(r"(\|-+:?)+\|", markdown[1])
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown} == {len(columns) + 1}
    assert len(markdown) == count + 2
    page.evaluate("() => { window.written = ''; }")
    rows = list(csv.reader(io.StringIO(copied(page, table, "CSV"))))
    assert rows[0] == list(columns)
    assert len(rows) == count + 1
    assert {len(row) for row in rows} == {len(columns)}
    assert not any("Link to this row" in cell for row in rows for cell in row)


def test_what_the_filter_hides_is_not_copied(page):
    table, columns = run_time_table(page)
    choose(page, "route", "cpp")
    rows = list(csv.reader(io.StringIO(copied(page, table, "CSV"))))
    assert {row[columns["Route"]] for row in rows[1:]} == {"cpp"}


def test_where_the_clipboard_is_refused_the_text_is_shown(page):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    table, _ = run_time_table(page)
    table.evaluate("(table) => table.closest('.scroll').nextElementSibling.querySelector('button').click()")
    area = page.locator("dialog[open] textarea")
    area.wait_for()
    assert area.input_value().startswith("| Sample |")
    assert area.evaluate("(area) => area.selectionEnd - area.selectionStart === area.value.length")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


# links of rows


def test_every_row_has_a_link_to_itself(page):
    page.evaluate("Folds.openAll()")
    rows = page.evaluate(
        "[...document.querySelectorAll('main tbody tr:not(:has(th[scope=rowgroup]))')]"
        ".map((row) => [row.id, row.querySelectorAll('a.self').length, row.querySelector('a.self')?.hash])"
    )
    assert len(rows) > 500
    assert {(links, hash == f"#{id}") for id, links, hash in rows} == {(1, True)}
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


# search


def results(page, query):
    """(group, names) of the results of a query."""
    page.fill("#search", query)
    return {
        group.get_attribute("aria-labelledby").removeprefix("results-"): group.query_selector_all("[role=option]")
        for group in page.query_selector_all("#results [role=group]")
    }


def test_search_over_ops_sections_and_rows_by_keyboard(page):
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.input_value("#search") == ""
    assert set(results(page, "rope")) == {"Ops", "Rows"}
    assert "Sections" in results(page, "compiled") or "Sections" in results(page, "build")
    rows = results(page, "rope bfloat16 mojo_aot kernel")["Rows"]
    assert all("rope" in row.inner_text() and "mojo_aot" in row.inner_text() for row in rows)
    field = page.locator("#search")
    first = field.get_attribute("aria-activedescendant")
    page.keyboard.press("ArrowDown")
    second = field.get_attribute("aria-activedescendant")
    assert first != second
    assert page.locator(f"#{second}").get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowUp")
    assert field.get_attribute("aria-activedescendant") == first
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.matches('tr.case-row')")
    row = page.evaluate("({ ...document.activeElement.dataset })")
    assert (row["op"], row["dtype"], row["route"], row["mode"]) == ("rope", "bfloat16", "mojo_aot", "kernel")
    assert not page.locator("#results").is_visible()


def test_search_says_that_nothing_fits_and_escape_ends_it(page):
    assert results(page, "no such words at all") == {}
    assert "No op, section or row" in page.inner_text("#results")
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""
    assert not page.locator("#results").is_visible()


def test_search_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    option = results(page, "rope")["Ops"][0]
    assert page.locator("#results").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    option.click()
    page.wait_for_function("location.hash.includes('rope')")
