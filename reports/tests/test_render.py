"""Findings, verdict and page: numbers decide, text is escaped, and a partial pack still makes a report."""

import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from evidence.analyse import claims, conclude, text, verdict
from evidence.analyse.losses import losses
from evidence.analyse.numbers import Interval, spread
from evidence.analyse.routes import CPP, MOJO
from evidence.analyse.runtime import cases, crossovers
from evidence.analyse.verdict import LEVEL, MATTERS, NO_DIFFERENCE, ahead, joined
from evidence.measure.machine import ROOT
from evidence.pack import empty_pack, write_pack
from evidence.render import readme_parts, render
from evidence.render.pictures import pictures, spaced
from evidence.render.readme import BEGIN, END, block
from synthetic import ROUTES, SAMPLES, synthetic_pack
from synthetic_models import models_rows

ONE = ("float32",)


def statement(pack, name):
    return next(one for one in verdict(pack) if one.id == name)


def claim(pack, name):
    return next(row for row in claims(pack) if row["id"] == name)


def case_of(pack, op, sample, dtype="float32"):
    return next(one for one in cases(pack) if (one.op, one.sample, one.dtype, one.mode) == (op, sample, dtype, "call"))


def page(pack, folder):
    write_pack(pack, folder)
    render(folder)
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """(html, markdown, folder) of a full pack: drawing takes seconds, so tests that only read share it."""
    folder = tmp_path_factory.mktemp("pack")
    return *page(synthetic_pack(), folder), folder


def few_ops(pack):
    """The pack with `add` and `rope` only."""
    for section in ("runtime", "code", "correctness"):
        pack.set_rows(section, [row for row in pack.rows(section) if row["op"] in ("add", "rope", None)])
    conclude(pack)
    return pack


# numbers


def test_geometric_mean_of_known_numbers():
    found = spread([1.0, 2.0, 4.0])
    assert found is not None
    assert math.isclose(found.mean, 2.0)
    assert (found.low, found.high, found.count) == (1.0, 4.0, 3)
    assert spread([]) is None


def test_a_mean_never_stands_alone():
    assert text.mean(spread([1.0, 2.0, 4.0])) == "2.00× (geometric mean of 3, 1.00× to 4.00×)"


def test_interval_holding_one_gives_the_words():
    assert text.ratio_words(Interval(1.02, 0.99, 1.05)) == "1.02× (0.99 to 1.05), no difference shown"
    assert "no difference" not in text.ratio_words(Interval(1.02, 1.01, 1.05))
    assert Interval(2.0, 1.6, 2.5).inverse() == Interval(0.5, 0.4, 0.625)


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Interval(1.3, 0.9, 1.5), NO_DIFFERENCE),
        (Interval(1.02, 1.01, 1.03), LEVEL),
        (Interval(1.3, 1.2, 1.4), "Mojo ahead"),
        (Interval(0.7, 0.6, 0.8), "C++ ahead"),
    ],
)
def test_who_is_ahead(ratio, word):
    assert ahead(ratio, MATTERS) == word


def test_contradiction_is_mixed():
    assert joined(["C++ ahead", NO_DIFFERENCE, LEVEL]) == "C++ ahead"
    assert joined(["C++ ahead", "Mojo ahead"]) == "mixed"
    assert joined([NO_DIFFERENCE]) == NO_DIFFERENCE
    assert joined([None]) == "not measured here"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.4, "0.40 µs"), (1.3, "1.30 µs"), (999.6, "1.00 ms"), (61_000, "61.0 ms"), (2.5e6, "2.50 s"), (None, "–")],
)
def test_microseconds(value, words):
    assert text.micros(value).replace("\u00a0", " ") == words


def test_labels_keep_their_distance():
    placed = spaced({"a": 0.5, "b": 0.51, "c": 0.99, "d": 1.0}, 0.1)
    spots = sorted(placed.values())
    assert all(high - low >= 0.1 - 1e-9 for low, high in pairwise(spots))
    assert placed["a"] < placed["b"] < placed["c"] < placed["d"] <= 1.0


# run time


def test_primary_route_stays_unless_another_is_shown_to_be_faster():
    pack = synthetic_pack(dtypes=ONE)
    assert case_of(pack, "rope", "8x4096x32x128").best(CPP) == "cpp"
    assert case_of(pack, "add", "16").best(CPP) == "cpp_pybind"
    assert case_of(pack, "add", "16").documented(CPP) == "cpp_pybind"
    assert case_of(pack, "add", "16").documented(MOJO) == "mojo_stock"


def test_measured_pairs_win_over_two_intervals():
    pack = synthetic_pack(dtypes=ONE)
    case = case_of(pack, "rms_norm", "2048x4096")
    for row in pack.rows("runtime"):
        if row is case.cells["mojo"].row:
            row.update(ratio_to_cpp=0.5, ratio_to_cpp_low=0.4, ratio_to_cpp_high=0.6)
    assert case.speedup("mojo", "cpp") == Interval(0.5, 0.4, 0.6)
    assert case.speedup("cpp", "mojo") == Interval(0.5, 0.4, 0.6).inverse()
    unpaired = case.speedup("mojo", "cpp_pybind")
    assert unpaired == Interval(0.5, 0.4, 0.6).over(case.cells["cpp_pybind"].to_cpp), "by way of cpp"
    for route in ("mojo", "cpp_pybind"):
        case.cells[route].row["ratio_to_cpp"] = None
    one, two = case.cells["mojo"].time, case.cells["cpp_pybind"].time
    assert case.speedup("mojo", "cpp_pybind") == Interval(two.mid / one.mid, two.low / one.high, two.high / one.low)


def test_a_route_that_failed_the_checks_has_no_time():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        if row["route"] == "mojo" and row["op"] == "rope":
            row.update(status="failed correctness", message="wrong by 3.0")
    case = case_of(pack, "rope", "1x128x4x32")
    assert case.best(MOJO) != "mojo"
    assert case.cells["mojo"].time is None


def test_crossover_counts_only_when_it_lasts():
    pack = synthetic_pack(dtypes=ONE)
    found = {(one.op, one.route): one for one in crossovers(cases(pack))}
    assert found["rope", "mojo"].sample == "1x512x8x64"
    assert found["rope", "cpp"].text == "at every measured size (from 1x128x4x32)"
    for row in pack.rows("runtime"):
        if (row["op"], row["route"], row["sample"]) == ("rope", "mojo", "8x4096x32x128"):
            row.update(ratio_to_eager=0.9, ratio_low=0.8, ratio_high=0.95)
    found = {(one.op, one.route): one for one in crossovers(cases(pack))}
    assert found["rope", "mojo"].elements is None


# verdict, claims, losses


def test_verdict_flips_with_the_numbers():
    assert statement(synthetic_pack(speed={"mojo": 2.0}), "large-cpu").verdict == "C++ ahead"
    faster = {"mojo": 0.3}
    assert statement(synthetic_pack(speed=faster), "large-cpu").verdict == "Mojo ahead"
    assert statement(synthetic_pack(), "small").verdict == "C++ ahead"
    assert statement(synthetic_pack(speed={"mojo": 0.01}), "small").verdict == "Mojo ahead"


def test_no_difference_when_the_intervals_hold_one():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        if row["route"] == "mojo":
            row.update(ratio_to_cpp=1.0, ratio_to_cpp_low=0.97, ratio_to_cpp_high=1.03)
        if row["route"] == "cpp_pybind":
            row.update(status="not supported")
    assert statement(pack, "large-cpu").verdict == NO_DIFFERENCE


def test_noisy_rows_enter_no_mean_and_win_only_beyond_their_interval():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        row["noisy"] = True
        if row["route"] == "mojo":
            row.update(ratio_to_cpp=0.5, ratio_to_cpp_low=0.3, ratio_to_cpp_high=0.8)
        if row["route"] == "cpp_pybind":
            row.update(status="not supported")
    found = statement(pack, "large-cpu")
    assert found.verdict == "C++ ahead"
    assert "mojo_over_cpp" not in found.values
    assert "noisy" in found.evidence
    for row in pack.rows("runtime"):
        if row["route"] == "mojo":
            row.update(ratio_to_cpp_high=1.2)
    found = statement(pack, "large-cpu")
    assert found.verdict == "not measured here"
    assert "noisy" in found.evidence


def test_build_and_code_follow_their_rows():
    pack = synthetic_pack(dtypes=ONE)
    assert statement(pack, "edit-loop").verdict == "C++ ahead"
    assert claim(pack, "dev-loop")["verdict"] == "does not hold"
    for row in pack.rows("build"):
        if row["route"] == "mojo" and row["kind"] in ("edit", "clean"):
            row.update(seconds_median=1.0, seconds_low=0.9, seconds_high=1.1)
    assert statement(pack, "edit-loop").verdict == "Mojo ahead"
    assert claim(pack, "dev-loop")["verdict"] == "holds"
    for row in pack.rows("build"):
        if row["route"] == "mojo" and row["kind"] == "clean":
            row.update(seconds_median=500.0, seconds_low=490.0, seconds_high=510.0)
    assert statement(pack, "edit-loop").verdict == "mixed"
    assert claim(pack, "dev-loop")["verdict"] == "holds in part"
    for row in pack.rows("code"):
        if row["route"] == "cpp":
            row["lines"] *= 3
    assert statement(pack, "code-size").verdict == "Mojo ahead"
    assert claim(pack, "boilerplate")["verdict"] == "holds in part"


def test_a_failed_check_names_the_side():
    pack = synthetic_pack(dtypes=ONE)
    pack.rows("correctness")[2].update(route="mojo", failed=1, message="add[7]: wrong by 0.5")
    found = statement(pack, "correctness")
    assert found.verdict == "Mojo fails"
    assert "mojo on add float32" in (found.exceptions or "")


def test_every_claim_has_a_row_and_every_pointer_a_target(tmp_path):
    pack = synthetic_pack(dtypes=ONE)
    rows = pack.rows("claims")
    assert len({row["id"] for row in rows}) == len(rows) == 21
    judged = {row["id"] for row in rows if row["verdict"] != "not measured here"}
    assert judged >= {"boilerplate", "dev-loop", "minimal-build", "cpp-speed", "rope", "python-syntax"}
    assert all(row["rule"] and "{" not in row["rule"] for row in rows if row["id"] in judged)
    for row in [*rows, *pack.rows("verdict")]:
        for pointer in row["rows"]:
            section, _, index = pointer.strip("/").split("/")
            assert pack.rows(section)[int(index)]


def test_losses_of_both_sides_by_the_same_rules():
    pack = synthetic_pack(dtypes=ONE)
    found = losses(pack, cases(pack))
    assert {loss.kind for loss in found[CPP]} == {"run time", "build time", "code size"}
    assert {loss.kind for loss in found[MOJO]} == {"run time", "dispatch", "build time", "code size"}
    assert all(loss.factor.mid > 1 for side in found.values() for loss in side)


@pytest.mark.parametrize("section", ["runtime", "dispatch", "build", "code", "correctness"])
def test_a_missing_section_is_not_measured(section):
    pack = synthetic_pack(dtypes=ONE)
    pack.skip(section, "out of time")
    conclude(pack)
    assert any(row["verdict"] == "not measured here" for row in pack.rows("verdict")) or section == "dispatch"


# page


class Reader(HTMLParser):
    """Collects ids, links and elements of a page."""

    def __init__(self, content):
        super().__init__()
        self.ids, self.links, self.tags = [], [], []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.tags.append((tag, facts))
        if "id" in facts:
            self.ids.append(facts["id"])
        if tag == "a":
            self.links.append(facts["href"])


def test_page_is_self_contained_and_its_links_resolve(report):
    html, markdown, folder = report
    reader = Reader(html)
    assert len(reader.ids) == len(set(reader.ids))
    assert all(link.startswith("#") and link[1:] in reader.ids for link in reader.links)
    assert not [facts for _, facts in reader.tags if "src" in facts]
    own = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:url\(|@import)[^#)]*https?:", own)
    pictured = [facts for tag, facts in reader.tags if tag == "svg"]
    assert len(pictured) > 15
    assert all(facts["role"] == "img" and facts["aria-label"] for facts in pictured)
    for name in re.findall(r"\]\((\w+\.png)\)", markdown):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_render_gives_the_files_and_only_reads_the_pack(tmp_path):
    pack = few_ops(synthetic_pack(dtypes=ONE))
    before = write_pack(pack, tmp_path).read_bytes()
    files = render(tmp_path)
    assert {path.name for path in files} >= {"report.html", "report.md", "runtime.png", "build.png", "code.png"}
    assert all(path.parent == tmp_path and path.exists() for path in files)
    assert (tmp_path / "pack.json").read_bytes() == before
    first = (tmp_path / "report.html").read_bytes()
    render(tmp_path / "pack.json")
    assert (tmp_path / "report.html").read_bytes() == first


def test_verdict_comes_first(report):
    html, _, _ = report
    names = ("verdict", "decisions", "runtime", "build", "faults", "details")
    order = [html.index(f'<h2 id="{name}"') for name in names]
    assert order == sorted(order)
    assert html.index('class="cards"') < html.index("<table")


def test_empty_pack_renders_and_says_why(tmp_path):
    html, markdown = page(empty_pack("interrupted by Ctrl-C"), tmp_path)
    assert "Partial pack" in html
    assert "interrupted by Ctrl-C" in html
    assert "Partial pack" in markdown
    assert "not measured here" in markdown


def test_partial_pack_names_what_is_missing(tmp_path):
    pack = synthetic_pack(dtypes=ONE)
    pack.data["status"] = "partial"
    pack.set_rows("runtime", pack.rows("runtime")[:9], status="partial", reason="interrupted at grayscale")
    pack.skip("dispatch", "not reached: interrupted")
    pack.skip("verdict", "not reached: interrupted")
    html, _ = page(pack, tmp_path)
    assert "interrupted at grayscale" in html
    assert "not reached: interrupted" in html
    assert "C++ ahead" in html


@pytest.mark.parametrize("side", [("cpp", "cpp_pybind"), ("mojo", "mojo_stock", "max_graph")])
def test_a_side_that_did_not_build(tmp_path, side):
    pack = synthetic_pack(dtypes=ONE, without=side)
    assert statement(pack, "large-cpu").verdict == "not measured here"
    assert "did not build: g++: error" in statement(pack, "large-cpu").evidence
    html, _ = page(few_ops(pack), tmp_path)
    assert "did not build" in html


@pytest.mark.parametrize("routes", [("eager",), ("mojo",), ("eager", "cpp")])
def test_few_routes_and_one_op(tmp_path, routes):
    pack = synthetic_pack(dtypes=ONE)
    for section in ("runtime", "dispatch", "build", "code", "correctness"):
        rows = [row for row in pack.rows(section) if row["route"] in routes and row.get("op") in ("add", None)]
        pack.set_rows(section, rows)
    conclude(pack)
    html, _ = page(pack, tmp_path)
    assert "<h1>" in html


def test_text_of_the_pack_is_escaped(tmp_path):
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">$x_$'
    pack = few_ops(synthetic_pack(dtypes=ONE))
    for section in ("runtime", "dispatch", "build", "code", "correctness"):
        for row in pack.rows(section):
            for key in ("op", "message", "label", "sample", "stage", "kind"):
                if key in row and not (key in ("kind", "op") and row[key] != "add"):
                    row[key] = evil
            if row["route"] == "max_graph":
                row["route"] = evil
    pack.facts("machine")["cpu"] = evil
    pack.facts("settings")[evil] = evil
    pack.set_rows("models", models_rows(evil))
    pack.skip("faults", evil)
    conclude(pack)
    html, markdown = page(pack, tmp_path)
    assert "&lt;script&gt;" in html
    reader = Reader(html)
    scripts = [facts.get("type", "script") for tag, facts in reader.tags if tag == "script"]
    assert sorted(scripts) == ["application/json"] * 2 + ["script"] * 3 + ["text/plain"]
    assert "img" not in [tag for tag, _ in reader.tags]
    assert not [name for _, facts in reader.tags for name in facts if name.startswith("on")]
    assert "<script" not in markdown
    assert "<img" not in markdown


def test_noisy_rows_are_marked(report):
    html, _, _ = report
    assert '<span class="noisy">noisy</span>' in html


def test_pictures_say_in_words_what_they_show():
    found = pictures(synthetic_pack())
    assert set(found) == {
        "ops",
        "runtime",
        "size",
        "dispatch",
        "waterfall",
        "ladder",
        "threads",
        "build",
        "code",
        "losses",
    }
    assert len(found["runtime"].panels) == len(SAMPLES)
    for picture in found.values():
        for panel in picture.panels:
            assert any(route in panel.alt for route in ROUTES) or picture.name == "losses"


def test_parts_of_the_readme_come_from_the_pack(tmp_path):
    pack = few_ops(synthetic_pack(dtypes=ONE))
    write_pack(pack, tmp_path)
    parts = readme_parts(tmp_path)
    assert [file.name for file in parts["pictures"]] == ["ops.png", "build.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in parts["pictures"])
    rows = [line for line in parts["table"].splitlines() if line]
    assert all(line.startswith("|") and line.endswith("|") for line in rows)
    assert any("9.60" in line and "96.0" in line for line in rows), "the edit of the synthetic pack, both sides"


def test_the_readme_shows_what_its_pack_says():
    readme = ROOT / "README.md"
    _, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    shown = rest.split(END)[0].strip()
    (pack,) = re.findall(r"^From \[`(reports/packs/[\w-]+)`\]", shown, re.MULTILINE)
    assert shown == block(ROOT / pack, ROOT)
    assert all((ROOT / picture).is_file() for picture in re.findall(r"\]\(([^)]+)\)", shown))
