"""Integration table: probes tell right from wrong, a crash or a hang is a row, and the page shows it all."""

import os
import sys
import time
from html.parser import HTMLParser

import pytest
import torch
from evidence.core.child import Children
from evidence.core.pack import empty_pack
from evidence.page.blocks import Banner, Details, Legend, markdown
from evidence.sections.integration import child  # noqa: F401 (importing it registers the probes)
from evidence.sections.integration import measure as integration
from evidence.sections.integration.outcome import (
    DID_NOT_RUN,
    FAILS,
    FEATURES,
    NOT_APPLICABLE,
    PROBES,
    REFUSED,
    WORKS,
    NotApplicable,
    NotRun,
    Outcome,
    Subject,
    Wrong,
    combine,
    feature_outcome,
    judge,
)
from evidence.sections.integration.page import CELLS, NAMES, content, feature_table, message_table

from shared_tests.routes import Route, all_routes
from shared_tests.spec import all_specs

ADD = all_specs()["add"]
PARENT = os.getpid()


def subject(call, out=None, **facts):
    what = "a route of this test"
    route = Route(name="planted", side="cpp", what=what, call=lambda spec: call, into=lambda spec: out, **facts)
    return Subject(route, ADD, "cpu")


# probes


def test_every_feature_has_a_probe_and_a_name():
    assert all(PROBES[feature] for feature in FEATURES)
    assert set(NAMES) == set(FEATURES)


def test_a_python_error_is_a_refusal_only_if_it_names_the_reason():
    def raising(error):
        def probe(_):
            raise error

        return judge("fork", probe, subject(torch.add))

    assert raising(RuntimeError("this process was forked")).status == REFUSED
    assert raising(RuntimeError("bad argument")).status == FAILS
    assert raising(Wrong("another number")) == Outcome(FAILS, "another number")
    assert raising(NotRun("no GPU")) == Outcome(DID_NOT_RUN, "no GPU")
    assert raising(NotApplicable("no out")) == Outcome(NOT_APPLICABLE, "no out")


def test_the_worst_part_decides():
    fine, refused, wrong = Outcome(WORKS, "one copy"), Outcome(REFUSED, "no"), Outcome(FAILS, "off by one")
    absent = Outcome(NOT_APPLICABLE, "no out variant")
    assert combine({"a": fine, "out": absent}) == Outcome(WORKS, "a: one copy")
    assert combine({"a": Outcome(WORKS, None), "out": absent}) == Outcome(WORKS, None)
    assert combine({"a": fine, "b": refused, "c": wrong}) == Outcome(FAILS, "a: one copy; b: no; c: off by one")
    assert combine({"a": refused, "b": refused}) == Outcome(REFUSED, "no")
    assert combine({"a": absent}) == Outcome(NOT_APPLICABLE, "no out variant")


@pytest.mark.parametrize(
    ("feature", "call"),
    [
        ("autograd", lambda a, b: a.detach() + b),
        ("func", lambda a, b: a.detach() + b),
        ("vmap", lambda a, b: a + b + (0 if a.dim() == 2 and not torch._C._functorch.is_batchedtensor(a) else 1)),
        ("non_contiguous", lambda a, b: torch.as_strided(a, a.shape, b.stride()) + b),
        ("inference_mode", lambda a, b: a - b),
        ("fork", lambda a, b: a + b + (os.getpid() != PARENT)),
    ],
)
def test_a_wrong_route_fails(feature, call):
    assert feature_outcome(feature, subject(call)).status == FAILS


def test_an_op_that_hides_its_write_fails_autograd():
    def hidden(a, b, out):
        out.data.copy_(a + b)

    outcome = feature_outcome("autograd", subject(torch.add, hidden))
    assert outcome.status == FAILS
    assert "version" in outcome.message


def test_a_race_fails_threads():
    kept = {}

    def shared(a, b):
        kept["a"] = a
        time.sleep(1e-4)
        return kept["a"] + b

    assert feature_outcome("threads", subject(shared)).status == FAILS


@pytest.mark.parametrize("feature", ["fake", "autograd", "vmap", "func", "autocast", "zero_size", "threads"])
def test_pytorchs_own_op_works(feature):
    eager = Subject(all_routes()["eager"], ADD, "cpu")
    assert feature_outcome(feature, eager).status == WORKS


# children

CHILD = """
import json, os, sys, time
def tell(line):
    print("@@ " + json.dumps(line), flush=True)
for feature in sys.argv[3:]:
    tell({"begin": feature})
    if feature == "fake":
        print("assertion in the engine", file=sys.stderr, flush=True)
        os.abort()
    if feature == "vmap":
        time.sleep(60)
    if feature == "fork":
        os._exit(7)
    tell({"feature": feature, "status": "works", "message": None})
"""


def planted(tmp_path, features, code=CHILD, seconds=60.0, feature_seconds=2.0):
    command = (sys.executable, "-c", code)
    log = tmp_path / "log.txt"
    rows = integration.probe_route("planted", "cpu", log, None, Children(seconds), features, command, feature_seconds)
    return {row.feature: (row.status, row.message) for row in rows}, log.read_text() if log.exists() else ""


def test_a_crash_a_hang_and_an_exit_are_rows_and_the_rest_goes_on(tmp_path):
    results, log = planted(tmp_path, ("fake", "autograd", "vmap", "zero_size", "fork", "threads"))
    assert results["fake"] == (FAILS, "the process was ended by SIGABRT: assertion in the engine")
    assert results["vmap"] == (FAILS, "nothing was heard within 2 s")
    assert results["fork"][0] == FAILS
    assert "exited with 7" in results["fork"][1]
    assert all(results[name] == ("works", None) for name in ("autograd", "zero_size", "threads"))
    assert "assertion in the engine" in log


def test_time_that_is_over_is_not_a_failure(tmp_path):
    start = time.monotonic()
    results, _ = planted(tmp_path, ("autograd", "vmap", "threads"), seconds=3.0, feature_seconds=60.0)
    assert time.monotonic() - start < 20
    assert results["autograd"] == ("works", None)
    assert results["vmap"][0] == results["threads"][0] == DID_NOT_RUN


def test_no_time_at_all_starts_nothing(tmp_path):
    results, log = planted(tmp_path, ("autograd",), seconds=0.0)
    assert results["autograd"] == (DID_NOT_RUN, integration.OUT_OF_TIME)
    assert not log


def test_an_interruption_ends_the_children(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        integration.measure([all_routes()["eager"]], "cpu", {}, tmp_path / "log.txt", tell=interrupt)
    assert time.monotonic() - start < 20


def test_a_child_that_cannot_start_is_a_row_for_every_feature(tmp_path):
    results, _ = planted(tmp_path, FEATURES, code="raise SystemExit(3)")
    assert {status for status, _ in results.values()} == {FAILS}
    assert "exited with 3" in results["fake"][1]


def test_missing_and_unfit_routes_are_not_started(tmp_path):
    routes = [all_routes()[name] for name in ("eager", "compile", "cpp", "cpp_pybind")]
    missing = {"cpp": "g++ is not there", "eager": "planted"}
    rows = integration.measure(routes, "cuda", missing, tmp_path / "log.txt", tell=lambda _: None)
    assert len(rows) == len(routes) * len(FEATURES)
    status = {row.route: (row.status, row.message) for row in rows}
    assert status["cpp"] == (DID_NOT_RUN, "did not build: g++ is not there")
    assert status["cpp_pybind"] == (NOT_APPLICABLE, "the route does not run on cuda")
    assert status["compile"][0] == NOT_APPLICABLE
    assert [row.route for row in rows[:: len(FEATURES)]] == [route.name for route in routes]


def test_a_real_child_of_a_real_route(tmp_path):
    log = tmp_path / "log.txt"
    rows = integration.probe_route("eager", "cpu", log, None, Children(120), ("fake", "zero_size", "streams"))
    assert {row.feature: row.status for row in rows} == {
        "fake": WORKS,
        "zero_size": WORKS,
        "streams": DID_NOT_RUN,
    }


# page


def table_pack():
    pack = empty_pack()
    rows = []
    for number, feature in enumerate(FEATURES):
        for route in ("mojo", "eager", "cpp"):
            status = list(CELLS)[(number + len(route)) % len(CELLS)]
            rows.append({"route": route, "feature": feature, "status": status, "message": f"<b>{status}</b> | $x_$"})
    pack.set_rows("integration", rows)
    return pack


def titles(table):
    return [column.title for column in table.columns]


def test_table_holds_every_row_in_report_order():
    table = feature_table(table_pack())
    assert titles(table) == ["Feature", "eager", "cpp", "mojo"]
    *features, counts = table.rows
    assert [line.cells[0].text for line in features] == list(NAMES.values())
    ids = [cell.id for line in features for cell in line.cells[1:]]
    assert sorted(ids) == sorted(f"integration-{index}" for index in range(3 * len(FEATURES)))
    assert counts.cells[0].text == "works, of those probed"


def test_equal_messages_are_given_once_and_failures_first():
    pack = empty_pack()
    common = {"feature": "autograd", "status": "fails", "message": "no gradient"}
    rows = [{**common, "route": "mojo"}, {**common, "route": "cpp"}]
    rows.append({"route": "eager", "feature": "autograd", "status": "works", "message": "of course"})
    pack.set_rows("integration", rows)
    lines = [[cell.text for cell in line.cells] for line in message_table(pack).rows]
    assert lines == [
        ["autograd", "fails", "cpp, mojo", "no gradient"],
        ["autograd", "works", "eager", "of course"],
    ]


def test_an_unknown_feature_and_a_gap_are_shown():
    pack = empty_pack()
    rows = [{"route": "cpp", "feature": "time travel", "status": "works", "message": None}]
    rows.append({"route": "mojo", "feature": "fake", "status": "fails", "message": None})
    pack.set_rows("integration", rows)
    *features, _ = feature_table(pack).rows
    statuses = {line.cells[0].text: [cell.statuses[0].word for cell in line.cells[1:]] for line in features}
    assert statuses == {"fake tensors": ["not in this pack", "fails"], "time travel": ["works", "not in this pack"]}


class Reader(HTMLParser):
    def __init__(self, content):
        super().__init__()
        self.ids, self.tags = [], []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]


def test_every_cell_is_printed_and_messages_are_escaped():
    pack = table_pack()
    table = feature_table(pack)
    html = table.html()
    reader = Reader(html)
    anchors = [name for name in reader.ids if name.startswith("integration-")]
    assert sorted(anchors) == sorted(f"integration-{index}" for index in range(len(pack.rows("integration"))))
    assert "b" not in reader.tags
    for status in CELLS.values():
        assert status.word in html
    assert table.markdown.count("\n|") == 1 + len(FEATURES)


def test_a_section_that_did_not_run_says_why():
    blocks = content(empty_pack("interrupted"))
    assert [type(block) for block in blocks] == [Banner]
    assert markdown(blocks, {}) == "Did not run: interrupted"


def test_a_route_to_which_nothing_applies_has_no_column():
    pack = table_pack()
    rows = [{"route": "compile", "feature": f, "status": "not applicable", "message": "it is it"} for f in FEATURES]
    pack.set_rows("integration", [*pack.rows("integration"), *rows])
    assert titles(feature_table(pack)) == ["Feature", "eager", "cpp", "mojo"]
    folds = (block for block in content(pack) if isinstance(block, Details))
    (legend,) = (block for fold in folds for block in fold.blocks if isinstance(block, Legend))
    assert legend.text == "compile has no column: it is it"
