"""A site of packs: an index by machine, a page each, the history of the headline figures; and the one-page PDF."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import absent
from evidence.__main__ import main
from evidence.core.pack import Pack, read_pack, write_pack
from evidence.judge.conclude import conclude
from evidence.page import pdf
from evidence.page.site import history, write_site
from few_rows import checks, pack_of, stage, times

MEGABYTES = 1_000_000


def pack(day: int, commit: str, seconds: float = 4.0, cpu: str = "Example CPU") -> Pack:
    rows = times("add", 4_000_000, {"eager": 200.0, "cpp": 100.0, "mojo_aot": 101.0}, 0.02)
    built = [stage("cpp", "edit", seconds), stage("mojo_aot", "edit", 12.0)]
    made = pack_of(runtime=rows, build=built, correctness=[checks("cpp"), checks("mojo_aot")])
    made.data["created_utc"] = f"2026-12-{day:02}T10:00:00Z"
    made.facts("machine").update(cpu=cpu, key=cpu)
    made.facts("versions")["commit"] = commit * 8
    conclude(made)
    return made


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    packs = {"second": pack(2, "b", 5.0), "first": pack(1, "a"), "other": pack(3, "c", cpu="Other <CPU>")}
    for name, made in packs.items():
        write_pack(made, tmp_path / name)
    return [tmp_path / name for name in packs]


def test_every_pack_has_a_page_and_the_index_links_to_it(folders, tmp_path):
    entries = write_site(folders, tmp_path / "site")
    assert [entry.name for entry in entries] == ["other", "second", "first"]
    index = (tmp_path / "site" / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index)
    assert {"other/index.html", "second/index.html", "first/index.html"} <= set(links)
    assert all((tmp_path / "site" / link).is_file() for link in links)
    assert "<CPU>" not in index
    assert index.count("<h2>") == 2
    assert "http" not in re.sub(r"http-equiv", "", index)


def test_packs_are_not_changed(folders, tmp_path):
    before = {file: file.read_bytes() for folder in folders for file in folder.iterdir()}
    write_site(folders, tmp_path / "site")
    assert {file: file.read_bytes() for folder in folders for file in folder.iterdir()} == before


def test_history_has_a_column_for_each_run_of_one_machine_in_order(folders, tmp_path):
    entries = write_site(folders, tmp_path / "site")
    table = history(entry for entry in entries if entry.name != "other")
    assert [column.title for column in table.columns] == [
        "", "1 Dec 2026, full run, aaaaaaaa", "2 Dec 2026, full run, bbbbbbbb",
    ]  # fmt: skip
    texts = [[cell.text for cell in row.cells] for row in table.rows]
    assert ["C++", "4.00\u00a0s", "5.00\u00a0s"] in texts
    assert all(any(cell != "–" for cell in cells[1:]) for cells in texts)


def test_a_site_is_written_again_and_nothing_else_is_overwritten(folders, tmp_path):
    site = tmp_path / "site"
    assert main(["site", *map(str, folders), "--out", str(site)]) == 0
    assert main(["site", str(folders[0]), "--out", str(site)]) == 0
    assert 'href="first/' not in (site / "index.html").read_text()
    assert main(["site", str(folders[0]), "--out", str(tmp_path)]) == 2


def test_packs_that_cannot_stand_beside_each_other_are_refused(folders, tmp_path, capsys):
    site = str(tmp_path / "site")
    assert main(["site", str(folders[0]), str(folders[0]), "--out", site]) == 2
    assert "several packs are named second" in capsys.readouterr().out
    assert main(["site", str(tmp_path / "absent"), "--out", site]) == 2
    assert "does not exist" in capsys.readouterr().out


def test_the_pdf_has_one_page(tmp_path):
    if pdf.browser() is None:
        absent("no Chromium or Chrome on PATH")
    for folder in sorted((Path(__file__).parents[2] / "packs").iterdir()):
        whole = read_pack(folder)
        conclude(whole)
        file = pdf.write_pdf(whole, tmp_path)
        assert file is not None
        content = file.read_bytes()
        assert content.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1, folder
        assert len(content) < MEGABYTES


def test_without_a_browser_there_is_no_pdf_and_no_stale_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "browser", lambda: None)
    (tmp_path / "report.pdf").write_bytes(b"old")
    assert pdf.write_pdf(pack(1, "a"), tmp_path) is None
    assert not (tmp_path / "report.pdf").exists()
    assert "Decisions" in pdf.sheet(pack(1, "a"))
