"""The table value: as many cells as columns, the same cells on the page and in Markdown, and every text escaped."""

from __future__ import annotations

import pytest
from evidence.core.status import Status
from evidence.page.blocks import Figure, Heading, Layout, Listing, Text, markdown, prose
from evidence.page.sort_value import sort_value
from evidence.page.table import BOTH, MARKDOWN, PAGE, Cell, Column, Table, columns, escaped, numbers, row
from markupsafe import Markup

EVIL = '<script>alert(1)</script>"|*_`'
RIGHT = Status("✓", "right", "yes")


@pytest.mark.parametrize("cells", [("add",), ("add", "1", "2")])
def test_a_row_has_as_many_cells_as_there_are_columns(cells):
    with pytest.raises(ValueError, match=r"table 'Times', row 1 \('add'\): \d cells, expected 2: 'Op', 'Time'"):
        Table("Times", columns("Op", *numbers("Time")), (row("rope", "3"), row(*cells)))


def test_both_forms_show_the_same_cells():
    heads = columns("Op", *numbers("Time"), Column("Tool", where=PAGE))
    first = row("rms_norm", Cell("3 s", notes=("2 to 4",), details=("peak 1 MB",)), "g++", id="build-0")
    last = row("in all", Cell(statuses=(RIGHT,), aside="cpp"), "", where=PAGE)
    table = Table("Times", heads, (first, last), "A caption", "grid", "rows-build")
    assert table.markdown == "| Op | Time |\n|---|---:|\n| rms\\_norm | 3 s: 2 to 4 |"
    assert table.html() == (
        '<div class="scroll" id="rows-build" tabindex="0" role="region" aria-label="Times">\n<table class="grid">\n'
        "<caption>A caption</caption>\n"
        '<thead><tr><th scope="col">Op</th><th scope="col" class="n">Time</th><th scope="col">Tool</th></tr></thead>\n'
        '<tbody>\n<tr id="build-0"><th scope="row">rms_norm</th>'
        '<td class="n" data-value="3">3 s<span class="sub">2 to 4</span><span class="sub">peak 1 MB</span></td>'
        "<td>g++</td></tr>\n"
        '<tr id="row-rows-build-1"><th scope="row">in all</th>'
        '<td class="n"><span class="yes sign" aria-hidden="true">✓</span> '
        '<span class="yes word">right</span><span class="sub">cpp</span></td><td></td></tr>\n</tbody>\n'
        "</table>\n</div>"
    )


def test_markdown_of_a_cell():
    joined = Table("Times", columns("Op", "Time"), (row("a", Cell("b", aside="c", notes=("d", "e"), strong=True)),))
    assert joined.markdown.endswith("| a | **b** (c): d; e |")
    assert Cell(statuses=(RIGHT, RIGHT), notes=("n",)).markdown(", ") == "✓ right; ✓ right, n"
    assert Cell(prose("the op `add_`")).markdown(": ") == "the op add\\_"


def test_every_text_is_escaped():
    status = Status(EVIL, EVIL, EVIL)
    cell = Cell(EVIL, (status,), EVIL, (EVIL,), (EVIL,), EVIL, id=EVIL, title=EVIL, classes=EVIL, rounds=EVIL)
    heads = (Column(EVIL, route=EVIL),)
    for strong in (row(cell, id=EVIL, classes=EVIL, group=EVIL, data={"op": EVIL}), row(Cell(EVIL, strong=True))):
        table = Table(EVIL, heads, (strong,), EVIL, EVIL, EVIL)
        for html in (table.html(), table.html({EVIL})):
            assert "<script" not in html
            assert EVIL not in html
        assert "<script" not in table.markdown
        assert table.markdown.count("\n") == 2
    assert escaped("a|b <c>\n*d*") == "a\\|b &lt;c&gt; \\*d\\*"
    assert escaped("1.3\u00a0µs") == "1.3\u00a0µs", "a number stays with its unit"


def test_what_the_filters_of_the_page_read():
    heads = (Column("Op"), Column("cpp", route="cpp"))
    table = Table("Sizes", heads, (row("add", "18", data={"op": "add", "dtype": "float32"}),), classes="filtered")
    html = table.html()
    assert '<tr id="row-sizes-0" data-row data-op="add" data-dtype="float32">' in html
    assert '<th scope="col" data-column="cpp">' in html
    assert '<td data-column="cpp" data-value="18">18</td>' in html
    assert "No row of this table fits the filter" in html


def test_groups_and_tables_without_rows():
    heads = columns("Route", "Time")
    rows = (
        row("cpp", "1", group="Tight loop"),
        row("mojo", "2", group="Tight loop"),
        row("cpp", "3", group="1 ms apart"),
    )
    html = Table("Calls", heads, rows, header=False).html()
    assert html.count("<tbody>") == html.count('<th scope="rowgroup" colspan="2">') == 2
    assert 'scope="row"' not in html
    assert "<tbody></tbody>" in Table("Calls", heads, ()).html()


def test_rounds_are_shown_where_there_are_some():
    table = Table("Calls", columns("Route", "Rounds"), (row("cpp", Cell("–", rounds="show them"), id="runtime-3"),))
    assert "<td>–</td>" in table.html()
    button = '<button type="button" class="small" data-samples="runtime-3" aria-label="show them">show</button>'
    assert f"<td>{button}</td>" in table.html({"runtime-3"})


def test_markdown_shows_the_blocks_that_are_for_it():
    table = Table("Times", columns("Op"), (row("add"),), where=BOTH)
    blocks = [
        Heading("Title", where=BOTH, note="a note"),
        Text("On the page alone."),
        Text(Markup("<b>In</b> both."), where=BOTH),
        Listing(("one", "two"), where=MARKDOWN),
        Figure("ops"),
        Figure("runtime"),
        table,
        Layout("cards.html"),
    ]
    texts = ["**Title** (a note)", "In both.", "- one\n- two", "![Speed](ops.svg)", "| Op |\n|---|\n| add |"]
    assert markdown(blocks, {"ops": "Speed"}) == "\n\n".join(texts)


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("1.30\u00a0ms (1.20\u00a0ms to 1.40\u00a0ms)", 0.0013),
        ("950\u00a0µs", 0.00095),
        ("1.5 min", 90),
        ("12.5\u00a0MB", 12.5e6),
        ("16.8M", 16.8e6),
        ("3.9× (3.0 to 4.4)", 3.9),
        ("35%", 0.35),
        ("-4 %", -0.04),
        ("12 of 30", 12),
        ("1,234", 1234),
        ("2 GPUs", 2),
        ("0", 0),
        ("2048x4096", None),
        ("2.13.0", None),
        ("float32", None),
        ("–", None),
        ("", None),
        ("3rd", None),
        ("2026-12-01", None),
    ],
)
def test_a_cell_is_sorted_by_the_number_in_front(shown, value):
    assert sort_value(shown) == (value if value is None else pytest.approx(value))


def test_a_cell_may_name_what_it_is_sorted_by():
    assert 'data-value="0.5"' in Table("Times", columns("Op"), (row(Cell("half", value=0.5)),), header=False).html()
