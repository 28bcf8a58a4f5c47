"""Findings, verdict and page: numbers decide, text is escaped, and a partial pack still makes a report."""

import math
import re
import shutil
from argparse import Namespace
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from evidence.core import text
from evidence.core.interval import TOO_CLOSE, Interval, spread
from evidence.core.machine import ROOT
from evidence.core.pack import PACK_FILE, empty_pack, write_pack
from evidence.core.routes import CPP, MOJO
from evidence.judge.busy import busy, busy_words
from evidence.judge.claims import claims
from evidence.judge.comparison import EQUAL, joined
from evidence.judge.conclude import conclude
from evidence.judge.losses import losses
from evidence.judge.verdict import verdict
from evidence.page.embed import scripts as embedded_scripts
from evidence.page.figure import in_words, view_rows
from evidence.page.figures import figures
from evidence.page.packed import unpacked
from evidence.page.readme import BEGIN, END, block
from evidence.page.report import readme_parts, render
from evidence.sections.dispatch.readings import why_compiled
from evidence.sections.runtime.cases import called, cases, crossovers, headline
from few_rows import emulated, fits
from rich.console import Console
from synthetic import ROUTES, SAMPLES, synthetic_pack
from synthetic_full import full_pack
from synthetic_models import models_rows

ONE = ("float32",)


def statement(pack, name):
    return next(row for row in verdict(pack) if row.id == name)


def claim(pack, name):
    return next(row for row in claims(pack) if row.id == name)


def case_of(pack, op, sample, dtype="float32"):
    return next(
        case for case in cases(pack) if (case.op, case.sample, case.dtype, case.mode) == (op, sample, dtype, "call")
    )


def page(pack, folder):
    write_pack(pack, folder)
    render(folder)
    return unpacked((folder / "report.html").read_text()), (folder / "report.md").read_text()


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
    summary = spread([1.0, 2.0, 4.0])
    assert summary is not None
    assert math.isclose(summary.mean, 2.0)
    assert (summary.low, summary.high, summary.count) == (1.0, 4.0, 3)
    assert spread([]) is None


def test_a_mean_never_stands_alone():
    assert text.mean(spread([1.0, 2.0, 4.0])) == "2.00× (geometric mean of 3, 1.00× to 4.00×)"


def test_interval_holding_one_gives_the_words():
    assert text.ratio_words(Interval(1.02, 0.99, 1.05)) == "1.02× (0.99 to 1.05), too close to call"
    assert TOO_CLOSE not in text.ratio_words(Interval(1.02, 1.01, 1.05))
    assert Interval(2.0, 1.6, 2.5).inverse() == Interval(0.5, 0.4, 0.625)


def test_contradiction_is_mixed():
    assert joined(["C++ ahead", TOO_CLOSE, EQUAL]) == "C++ ahead"
    assert joined(["C++ ahead", "Mojo ahead"]) == "mixed"
    assert joined([TOO_CLOSE, EQUAL]) == TOO_CLOSE
    assert joined([EQUAL]) == EQUAL
    assert joined([None]) == "not measured here"


@pytest.mark.parametrize(
    ("value", "formatted"),
    [(0.4, "0.40 µs"), (1.3, "1.30 µs"), (999.6, "1.00 ms"), (61_000, "61.0 ms"), (2.5e6, "2.50 s"), (None, "–")],
)
def test_microseconds(value, formatted):
    assert text.micros(value).replace("\u00a0", " ") == formatted


# run time


def test_one_route_represents_a_side_however_fast_another_is():
    pack = synthetic_pack(dtypes=ONE)
    case = case_of(pack, "add", "16")
    assert case.cells["cpp_pybind"].time.mid < case.cells["cpp"].time.mid
    assert (case.representative(CPP), case.representative(MOJO)) == ("cpp", "mojo_aot")
    assert (case.documented(CPP), case.documented(MOJO)) == (None, "mojo_stock")
    on_gpu = replace(case, device="cuda")
    assert (on_gpu.representative(CPP), on_gpu.representative(MOJO)) == ("cpp", "mojo")
    without = replace(case, cells={name: cell for name, cell in case.cells.items() if name != "mojo_aot"})
    assert without.representative(MOJO) is None, "no other route takes its place"


def test_measured_pairs_win_over_two_intervals():
    pack = synthetic_pack(dtypes=ONE)
    key = ("rms_norm", "2048x4096", "call")
    cells = {row["route"]: row for row in pack.rows("runtime") if (row["op"], row["sample"], row["mode"]) == key}
    cells["mojo"].update(ratio_to_cpp=0.5, ratio_to_cpp_low=0.4, ratio_to_cpp_high=0.6)
    case = case_of(pack, *key[:2])
    assert case.speedup("mojo", "cpp") == Interval(0.5, 0.4, 0.6)
    assert case.speedup("cpp", "mojo") == Interval(0.5, 0.4, 0.6).inverse()
    unpaired = case.speedup("mojo", "cpp_pybind")
    assert unpaired == Interval(0.5, 0.4, 0.6).over(case.cells["cpp_pybind"].to_cpp), "by way of cpp"
    for route in ("mojo", "cpp_pybind"):
        cells[route]["ratio_to_cpp"] = None
    pack.set_rows("runtime", pack.rows("runtime"))
    case = case_of(pack, *key[:2])
    mojo, pybind = case.cells["mojo"].time, case.cells["cpp_pybind"].time
    assert case.speedup("mojo", "cpp_pybind") == Interval(
        pybind.mid / mojo.mid, pybind.low / mojo.high, pybind.high / mojo.low
    )


def test_a_route_that_failed_the_checks_has_no_time():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        if row["route"] == "mojo_aot" and row["op"] == "rope":
            row.update(status="failed correctness", message="wrong by 3.0")
    case = case_of(pack, "rope", "1x128x4x32")
    assert case.representative(MOJO) is None
    assert case.cells["mojo_aot"].time is None


def test_crossover_counts_only_when_it_lasts():
    pack = synthetic_pack(dtypes=ONE)
    by_op_and_route = {(crossover.op, crossover.route): crossover for crossover in crossovers(cases(pack))}
    assert by_op_and_route["rope", "mojo"].sample == "1x512x8x64"
    assert by_op_and_route["rope", "cpp"].text == "at every measured size (from 1x128x4x32)"
    for row in pack.rows("runtime"):
        if (row["op"], row["route"], row["sample"]) == ("rope", "mojo", "8x4096x32x128"):
            row.update(ratio_to_eager=0.9, ratio_low=0.8, ratio_high=0.95)
    by_op_and_route = {(crossover.op, crossover.route): crossover for crossover in crossovers(cases(pack))}
    assert by_op_and_route["rope", "mojo"].elements is None


# verdict, claims, losses


def test_verdict_flips_with_the_numbers():
    assert statement(synthetic_pack(speed={"mojo_aot": 2.0}), "large-cpu").verdict == "C++ ahead"
    faster = {"mojo_aot": 0.3}
    assert statement(synthetic_pack(speed=faster), "large-cpu").verdict == "Mojo ahead"
    assert statement(synthetic_pack(), "small").verdict == "C++ ahead"
    assert statement(synthetic_pack(speed={"mojo_aot": 0.01}), "small").verdict == "Mojo ahead"


def test_equality_is_shown_and_not_inferred_from_intervals_that_hold_one():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        if row["route"] == "mojo_aot":
            row.update(ratio_to_cpp=1.0, ratio_to_cpp_low=0.97, ratio_to_cpp_high=1.03)
    assert statement(pack, "large-cpu").verdict == EQUAL
    for row in pack.rows("runtime"):
        if row["route"] == "mojo_aot":
            row.update(ratio_to_cpp_low=0.6, ratio_to_cpp_high=1.7)
    assert statement(pack, "large-cpu").verdict == TOO_CLOSE


def test_noisy_rows_enter_no_mean_and_win_only_beyond_their_interval():
    pack = synthetic_pack(dtypes=ONE)
    for row in pack.rows("runtime"):
        row["noisy"] = True
        if row["route"] == "mojo_aot":
            row.update(ratio_to_cpp=0.5, ratio_to_cpp_low=0.49, ratio_to_cpp_high=0.51)
    verdict_row = statement(pack, "large-cpu")
    assert verdict_row.verdict == "C++ ahead"
    assert "mojo_over_cpp" not in verdict_row.values
    assert "noisy" in verdict_row.evidence
    for row in pack.rows("runtime"):
        if row["route"] == "mojo_aot":
            row.update(ratio_to_cpp_high=1.2)
    verdict_row = statement(pack, "large-cpu")
    assert verdict_row.verdict == "not measured here"
    assert "noisy" in verdict_row.evidence


def test_build_and_code_follow_their_rows():
    pack = synthetic_pack(dtypes=ONE)
    assert statement(pack, "edit-loop").verdict == "C++ ahead"
    assert claim(pack, "dev-loop").verdict == "does not hold"
    for row in pack.rows("build"):
        if row["route"] == "mojo_aot" and row["kind"] in ("edit", "clean"):
            row.update(seconds_median=1.0, seconds_low=0.9, seconds_high=1.1)
    assert statement(pack, "edit-loop").verdict == "Mojo ahead"
    assert claim(pack, "dev-loop").verdict == "holds"
    for row in pack.rows("build"):
        if row["route"] == "mojo_aot" and row["kind"] == "clean":
            row.update(seconds_median=500.0, seconds_low=490.0, seconds_high=510.0)
    assert statement(pack, "edit-loop").verdict == "mixed"
    assert claim(pack, "dev-loop").verdict == "holds in part"
    level = statement(pack, "code-size").verdict
    for row in pack.rows("code"):
        if row["route"] == "cpp":
            row["lines"] *= 3
    assert statement(pack, "code-size").verdict == level, "lines decide nothing"
    assert claim(pack, "boilerplate").verdict == "holds", "the talk's claim is about lines"
    for row in pack.rows("code"):
        if row["route"] == "cpp":
            row.update(tokens=3 * row["tokens"], gzip_bytes=3 * row["gzip_bytes"])
    assert statement(pack, "code-size").verdict == "Mojo ahead"


def failing(pack, *routes):
    """The pack with a failed check of the first op on each of these routes, and of no other."""
    for row in pack.rows("correctness"):
        row.update(failed=int(row["route"] in routes and row["op"] == "add"))
    return pack


def test_a_failed_check_names_the_side():
    verdict_row = statement(failing(synthetic_pack(dtypes=ONE), "mojo_aot"), "correctness")
    assert verdict_row.verdict == "Mojo fails"
    assert verdict_row.exceptions == "fails: mojo_aot on add float32"
    assert statement(failing(synthetic_pack(dtypes=ONE), "cpp", "mojo_aot"), "correctness").verdict == "both fail"


@pytest.mark.parametrize("quick", [False, True])
def test_failures_of_others_stand_apart_and_judge_no_side(quick):
    pack = failing(synthetic_pack(dtypes=ONE), "compile", "max_graph", "mojo_stock")
    pack.facts("settings")["quick"] = quick
    verdict_row = statement(pack, "correctness")
    assert (verdict_row.verdict, verdict_row.exceptions) == ("both pass", None)
    assert "cpp 105 of 105" in verdict_row.evidence
    assert "PyTorch's own: compile on add float32" in verdict_row.evidence
    assert "MAX's graph ops: max_graph on add float32" in verdict_row.evidence
    assert "other routes: mojo_stock on add float32" in verdict_row.evidence
    assert verdict_row.values == {"passed": 315, "failed": 0, "apart": 3}


def test_a_side_without_checks_does_not_pass():
    pack = synthetic_pack(dtypes=ONE)
    pack.set_rows("correctness", [row for row in pack.rows("correctness") if row["route"] in ("eager", "cpp")])
    verdict_row = statement(pack, "correctness")
    assert verdict_row.verdict == "not measured here"
    assert "Not checked: Mojo" in verdict_row.evidence


def test_what_a_custom_op_has_to_beat_is_the_faster_of_eager_and_compile():
    pack = synthetic_pack(dtypes=ONE, speed={"compile": 0.001})
    verdict_row = statement(pack, "custom-op")
    assert verdict_row.verdict == "a custom op does not pay"
    assert statement(synthetic_pack(dtypes=ONE, speed={"compile": 1000.0}), "custom-op").verdict == "a custom op pays"
    for side, route in ((CPP, "cpp"), (MOJO, "mojo_aot")):
        ratios = [case.speedup(route, case.pytorch()).mid for case in called(cases(pack))
                  if not case.noisy("cpp", "mojo_aot", case.pytorch())]  # fmt: skip
        assert verdict_row.values[side]["mean"] == pytest.approx(spread(ratios).mean)


def test_a_representative_that_was_left_out_is_named_and_not_replaced():
    pack = synthetic_pack(dtypes=ONE)
    for section in ("runtime", "dispatch", "build", "code", "correctness"):
        pack.set_rows(section, [row for row in pack.rows(section) if row["route"] != "mojo_aot"])
    pack.facts("settings")["routes"] = [route for route in ROUTES if route != "mojo_aot"]
    reason = "mojo_aot, which represents Mojo on the CPU, was not in this run."
    for name in ("large-cpu", "edit-loop", "code-size"):
        verdict_row = statement(pack, name)
        assert (verdict_row.verdict, verdict_row.evidence) == ("not measured here", reason)


def test_means_that_stand_side_by_side_are_over_the_same_rows():
    pack = full_pack()
    for row in pack.rows("runtime"):
        if row["route"] == "mojo_stock" and row["op"] != "rope":
            row.update(status="not supported", median_us=None)
    headlines = {side: headline(side, called(cases(pack))) for side in (CPP, MOJO)}
    assert headlines[CPP].to_eager.count == headlines[MOJO].to_eager.count == headlines[CPP].to_pytorch.count
    shown = {side: summary.documented_to_route for side, summary in headlines.items()}
    assert shown[CPP].count == shown[MOJO].count == 12, "rope in three dtypes, four sizes each"
    rope = [case for case in called(cases(pack)) if case.op == "rope"]
    ratios = [case.speedup("mojo_stock", "mojo_aot").mid for case in rope]
    assert shown[MOJO].mean == pytest.approx(spread(ratios).mean)


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
    by_side = losses(pack)
    kinds = {side: {loss.kind.partition(" against ")[0] for loss in by_side[side]} for side in by_side}
    assert kinds[CPP] == {"run time", "build time", "code size"}
    assert kinds[MOJO] == {"run time", "dispatch", "build time", "code size"}
    assert all(loss.factor.mid > 1 for side in by_side.values() for loss in side)


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
        self.ids, self.links, self.tags, self.cells = [], [], [], []
        self.in_cell = False
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.tags.append((tag, facts))
        if tag in ("td", "th"):
            self.cells.append("")
            self.in_cell = True
        if "id" in facts:
            self.ids.append(facts["id"])
        if tag == "a":
            self.links.append(facts["href"])

    def handle_data(self, data):
        if self.in_cell:
            self.cells[-1] += data

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")


REPRESENTATION = re.compile(r"^(None|True|False|nan)$|^[(\[{]['\"]|\w+\(\w+=")
"""What Python prints of a value that nobody turned into text: `None`, `('a', 'b')`, `Interval(mid=...`."""


def test_no_cell_shows_how_python_prints_a_value(report):
    cells = Reader(report[0]).cells
    assert len(cells) > 5000
    assert not [cell for cell in cells if REPRESENTATION.search(cell.strip())]


def test_page_is_self_contained_and_its_links_resolve(report):
    html, markdown, folder = report
    reader = Reader(html)
    assert len(reader.ids) == len(set(reader.ids))
    files = [link for link in reader.links if not link.startswith("#")]
    assert len(files) == 1
    assert files[0].startswith("data:text/csv;charset=utf-8;base64,")
    assert all(link[1:] in reader.ids for link in reader.links if link not in files)
    assert not [facts for _, facts in reader.tags if "src" in facts]
    own = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?:url\(|@import)[^#)]*https?:", own)
    pictured = [facts for tag, facts in reader.tags if tag == "svg"]
    assert len(pictured) > 15
    assert all(facts["role"] == "img" and facts["aria-label"] for facts in pictured)
    linked = re.findall(r"\]\(([^)#]+)\)", markdown)
    assert linked
    assert set(linked) == {file.name for file in folder.glob("*.svg")}, "every link resolves, every picture is shown"
    assert all("<svg" in (folder / name).read_text() for name in linked)


def test_render_gives_the_files_and_only_reads_the_pack(tmp_path):
    pack = few_ops(synthetic_pack(dtypes=ONE))
    before = write_pack(pack, tmp_path).read_bytes()
    files = render(tmp_path)
    assert {path.name for path in files} >= {"report.html", "report.md", "ops.svg", "build.svg", "dispatch.svg"}
    assert all(path.parent == tmp_path and path.exists() for path in files)
    assert (tmp_path / PACK_FILE).read_bytes() == before
    first = (tmp_path / "report.html").read_bytes()
    render(tmp_path / PACK_FILE)
    assert (tmp_path / "report.html").read_bytes() == first


def test_verdict_comes_first(report):
    html, _, _ = report
    names = ("verdict", "decisions", "runtime", "build", "faults", "details")
    order = [html.index(f'<h2 id="{name}"') for name in names]
    assert order == sorted(order)
    assert html.index('class="answer"') < html.index('class="summary"') < html.index('class="decisions"')


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


@pytest.mark.parametrize("side", [("cpp", "cpp_pybind"), ("mojo", "mojo_aot", "mojo_stock", "max_graph")])
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
    kernels = [fits(evil, evil)]
    pack.set_rows(
        "gpu", [emulated("cpp", evil, evil, message=evil, problems=1, sample=evil, tool=evil, kernels=kernels)]
    )
    pack.skip("faults", evil)
    conclude(pack)
    html, markdown = page(pack, tmp_path)
    assert "&lt;script&gt;" in html
    reader = Reader(html)
    scripts = [facts.get("type", "script") for tag, facts in reader.tags if tag == "script"]
    own = ["text/plain" if script["later"] else "script" for script in embedded_scripts()]
    data = ["chart-data", "sample-data", "op-pages"]  # the folds are unpacked here
    assert sorted(scripts) == sorted(own + ["text/plain"] * len(data)), "and none that the pack wrote"
    assert "img" not in [tag for tag, _ in reader.tags]
    assert not [name for _, facts in reader.tags for name in facts if name.startswith("on")]
    assert "<script" not in markdown
    assert "<img" not in markdown


def test_noisy_rows_are_marked(report):
    html, _, _ = report
    assert '<span class="noisy">noisy</span>' in html


def test_figures_say_in_words_what_they_show():
    drawn = figures(synthetic_pack())
    assert set(drawn) == {
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
    for figure in drawn.values():
        for view in figure.views:
            rows = view_rows(figure, view)
            caption = in_words(rows)
            assert rows, (figure.name, view.name)
            assert all((row.get("label") or row["route"]) in caption for row in rows)
            assert all(f"{row.get('label') or row['route']} {row['text']}" in caption for row in rows if "text" in row)
    runtime = drawn["runtime"]
    assert {row["panel"].split(",")[0] for row in view_rows(runtime, runtime.views[0])} == set(SAMPLES)


def test_every_mark_has_its_words():
    for figure in figures(full_pack()).values():
        for view in figure.views:
            silent = [row for row in view_rows(figure, view) if "text" not in row and "x" not in row]
            assert silent == [], figure.name


def test_parts_of_the_readme_come_from_the_pack(tmp_path):
    pack = few_ops(synthetic_pack(dtypes=ONE))
    write_pack(pack, tmp_path)
    parts = readme_parts(tmp_path)
    assert [file.name for file in parts["pictures"]] == ["ops.svg"]
    assert all("<svg" in file.read_text() for file in parts["pictures"])
    rows = [line for line in parts["table"].splitlines() if line]
    assert all(line.startswith("|") and line.endswith("|") for line in rows)
    assert any("9.60" in line and "48.0" in line for line in rows), "the edit of the synthetic pack, both sides"


def test_the_readme_shows_what_its_pack_says(tmp_path):
    """Rendered in a copy, so that the checkout stays as it is; the pictures beside the pack are those of its rows."""
    readme = ROOT / "README.md"
    _, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    shown = rest.split(END)[0].strip()
    (pack,) = re.findall(r"^From \[`(reports/packs/[\w-]+)`\]", shown, re.MULTILINE)
    shutil.copytree(ROOT / pack, tmp_path / pack)
    assert shown == block(tmp_path / pack, tmp_path)
    for picture in re.findall(r"]\((reports/packs/[\w/.-]+\.svg)\)", shown):
        assert (tmp_path / picture).read_text() == (ROOT / picture).read_text(), picture


# first of all: a busy machine


def test_busy_is_more_than_half_of_the_cores_by_others():
    assert busy_words(4, 2.0, 9.0) is None, "the other programs decide where they were looked at"
    assert "other programs used 2.10 of 4 cores, where 2 is the most" in busy_words(4, 2.1, 0.0)
    assert "the load average of the minute before was 2.28 on 2 cores" in busy_words(2, None, 2.28)
    assert busy_words(2, None, 0.9) is None
    assert busy_words(2, None, None) is None
    assert busy(empty_pack()) is None


def test_a_busy_machine_is_the_first_thing_on_the_page(tmp_path):
    pack = few_ops(synthetic_pack(dtypes=ONE))
    pack.facts("machine")["load_others"] = 1.5
    html, markdown = page(pack, tmp_path)
    warning = "This run began on a busy machine: other programs used 1.50 of 2 cores"
    assert html.index(warning) < html.index('<h2 id="verdict"')
    assert markdown.index(warning) < markdown.index("## Verdict")
    readme = block(tmp_path, tmp_path.parent)
    assert readme.index(warning) < readme.index("|")
    pack.facts("machine")["load_others"] = 0.5
    html, markdown = page(pack, tmp_path)
    assert "busy machine" not in html + markdown + block(tmp_path, tmp_path.parent)


def test_a_busy_machine_is_the_first_thing_in_the_terminal(tmp_path, monkeypatch):
    from evidence.commands import compare as command
    from evidence.core import quiet
    from evidence.core import run as compare

    seen = {}

    def stand_in(plan, out, console, others):
        seen["others"] = others
        pack = few_ops(synthetic_pack(dtypes=ONE))
        write_pack(pack, tmp_path)
        return Namespace(folder=tmp_path, pack=pack, failed_stages=[])

    monkeypatch.setattr(quiet, "others", lambda seconds: 1e3)
    monkeypatch.setattr(compare, "compare", stand_in)
    monkeypatch.setattr(compare, "point_latest", lambda folder: None)
    console = Console(record=True, width=200)
    options = Namespace(
        mode="quick", ops="add", routes="eager,cpp", device="cpu", only="", out=tmp_path, wait_quiet=None
    )
    assert command.run(options, console) == 0
    assert console.export_text().startswith("This run began on a busy machine: other programs used 1,000 of")
    assert seen["others"] == 1e3


# figures that a reader can trust


MEASURE = re.compile(
    r"(?P<name>kernels with what they share|all code with what is shared|the fewest packages that build it|"
    r"packages and the built library|what the package declares to build it)(?P<of>[^:;]*): (?P<figures>[^;(]+)"
)


def test_a_quantity_of_one_name_has_one_value():
    """Wherever the page names a quantity that is defined in more than one way, one name has one value."""
    figures_by_name: dict[str, set[str]] = {}
    for row in full_pack().rows("decisions"):
        for criterion in row["criteria"]:
            match = MEASURE.search(criterion["message"] or "")
            if match:
                routes = tuple(re.findall(r"mojo\w*", match["figures"])) or row["id"] in ("nvidia", "amd", "vendors")
                figures_by_name.setdefault(f"{match['name']}{match['of']} {routes}", set()).add(match["figures"])
    assert len(figures_by_name) >= 4
    assert {name: values for name, values in figures_by_name.items() if len(values) > 1} == {}


def test_a_compiled_call_has_one_cost_and_the_waterfall_says_what_its_whole_is():
    reason = why_compiled(synthetic_pack(dtypes=ONE))
    assert reason.startswith("A call of mojo in a compiled function costs 183\u00a0µs. In the waterfall's processes")
    assert "takes 88.5\u00a0µs" in reason


@pytest.fixture(scope="module")
def slow_models(tmp_path_factory):
    """(html, markdown) of a full pack in which a stage of a model is slower than the original, and one may be."""
    pack = full_pack()
    rows = models_rows("a model")
    for row in rows:
        if row["kind"] == "speed" and row["route"] == "cpp":
            row.update(ratio=0.6, low=0.5, high=0.7)
        if row["kind"] == "speed" and row["route"] == "mojo":
            row.update(ratio=0.9, low=0.7, high=1.2)
    pack.set_rows("models", rows)
    conclude(pack)
    return page(pack, tmp_path_factory.mktemp("slow"))


def test_no_negative_share_no_part_of_a_file_no_broken_name(slow_models):
    html, markdown = slow_models
    for document in (re.sub(r"<(script|style|svg).*?</\1>", "", html, flags=re.DOTALL), markdown):
        text_only = re.sub(r"<[^>]+>", "\n", document)
        # Only a range may be negative: “Mojo −4 to −1%” is how much slower Mojo runs than C++.
        assert not re.findall(r"(?<!\d)(?<! to )[-−]\d[\d.,]* ?%", text_only)
        assert not re.findall(r"\d\.\d+ files?", text_only)
        assert not re.findall(r"\b(pyTorch|openMP|Cpp|Mojo_|Max_)", text_only)
    reader = re.findall(r"<th scope=\"row\">(\w+)</th><td class=\"n\"[^>]*>([\d.]+)</td><td>", html)
    assert len(reader) >= 5, "the table of what one op takes"
    assert all(files.isdigit() for _, files in reader)


def test_names_keep_their_letters_at_the_start_and_in_the_middle_of_a_sentence():
    assert text.lower_first("PyTorch features that work") == "PyTorch features that work"
    assert text.lower_first("Clean build") == "clean build"
    assert text.lower_first("C++ builds") == "C++ builds"
    assert text.upper_first("mojo_aot fails") == "mojo_aot fails"
    assert text.upper_first("cpp: 3 of 4") == "cpp: 3 of 4"
    assert text.upper_first("needs a run") == "Needs a run"


def test_the_figure_of_what_is_installed_leaves_pytorch_out_as_its_titles_say():
    rows = figures(full_pack())["footprint"].rows
    panels = {row["panel"] for row in rows}
    assert len(panels) == 2
    for panel in panels:
        assert "on top of PyTorch" in panel
        assert "torch" not in {row["label"] for row in rows if row["panel"] == panel}
        assert {row["route"] for row in rows if row["panel"] == panel} >= {"cpp", "mojo_aot"}
