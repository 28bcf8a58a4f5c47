"""The record of the routes: it is complete, and the packages' own tables agree with it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter

import pytest

from shared_tests import route_table
from shared_tests import routes as routes_module
from shared_tests.route_facts import CPP, EVERY_DEVICE, MOJO, PYTORCH, RouteFacts
from shared_tests.routes import all_routes

PACKAGES = {CPP: "cpp_ext", MOJO: "mojo_ops"}
RECORDS = route_table.facts()


def test_the_record_needs_no_torch() -> None:
    code = "import sys; from shared_tests.route_table import facts; facts(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_record_is_complete() -> None:
    assert set(routes_module._CALLS) <= set(RECORDS), "calls of routes without a record"
    for route in RECORDS.values():
        assert route.side in (PYTORCH, CPP, MOJO)
        assert route.what
        assert set(route.represents) <= set(route.devices) <= set(EVERY_DEVICE)
        assert route.same_kernel_as is None or RECORDS[route.same_kernel_as].side == route.side
        assert bool(route.library) == bool(route.load) == bool(route.add)
        assert bool(route.sources) == route.ours == bool(route.package)


@pytest.mark.parametrize("device", EVERY_DEVICE)
def test_one_route_represents_each_side(device: str) -> None:
    assert Counter(route.side for route in RECORDS.values() if device in route.represents) == {CPP: 1, MOJO: 1}
    assert Counter(route.side for route in RECORDS.values() if route.documented) == {CPP: 1, MOJO: 1}


def test_routes_can_be_told_apart_in_figures() -> None:
    for side in (CPP, MOJO):
        symbols = Counter(route.symbol for route in RECORDS.values() if route.side == side)
        assert max(symbols.values()) == 1
    assert max(Counter(route.colour for route in RECORDS.values()).values()) == 1


@pytest.mark.parametrize("side", PACKAGES)
def test_a_package_knows_the_same_routes(side: str) -> None:
    """The packages stand alone, so each repeats of its own routes what `patch` needs."""
    table = importlib.import_module(f"{PACKAGES[side]}._routes")
    of_side = {name: route for name, route in RECORDS.items() if route.side == side}
    assert set(table.ROUTES) == set(of_side)
    for name, route in of_side.items():
        assert table.DEVICES.get(name, EVERY_DEVICE) == route.devices
        assert (name in table.WITHOUT_AUTOGRAD) == (route.namespace is None)


def test_a_new_record_is_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = RouteFacts(name="cpp_made_up", side=CPP, what="for this test", package="json", namespace="json")
    monkeypatch.setattr(route_table, "ROUTES", (*route_table.ROUTES, made_up))
    assert list(all_routes()) == [*RECORDS, "cpp_made_up"]
    assert all_routes()["cpp_made_up"].unavailable() is None
    assert all_routes()["cpp"] is all_routes()["cpp"]


def test_a_record_that_nothing_calls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_table, "ROUTES", (RouteFacts(name="made_up", side=MOJO, what="for this test"),))
    with pytest.raises(ValueError, match="'made_up' has neither a package nor an entry"):
        all_routes()
