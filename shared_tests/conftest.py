"""Parametrizes the shared tests with routes, ops and dtypes, and defines their fixtures."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from shared_tests.routes import Route, all_routes
from shared_tests.spec import OpSpec, all_specs


def parse_selection(config: pytest.Config, option: str, registry: dict) -> list:
    names = [n for n in config.getoption(option).split(",") if n]
    for name in names:
        if name not in registry:
            raise pytest.UsageError(f"{option}: unknown name {name!r}, known are {', '.join(registry)}")
    return [registry[n] for n in names or registry]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        specs = parse_selection(metafunc.config, "--ops", all_specs())
        if holds_for := getattr(metafunc.module, "OPS_WHERE", None):
            named = bool(metafunc.config.getoption("--ops"))
            specs = [s for s in specs if holds_for(s, named)]
        if "dtype" in metafunc.fixturenames:
            pairs = [(s, d) for s in specs for d in s.dtypes]
            metafunc.parametrize("spec,dtype", pairs, ids=[f"{s.name}-{str(d)[6:]}" for s, d in pairs])
        else:
            metafunc.parametrize("spec", specs, ids=[s.name for s in specs])
    if "route" in metafunc.fixturenames:
        routes = parse_selection(metafunc.config, "--routes", all_routes())
        condition = getattr(metafunc.function, "routes_where", lambda route: True)
        routes = [r for r in routes if condition(r)]
        metafunc.parametrize("route", routes, ids=[r.name for r in routes])


def routes_where(condition):
    """Restrict a test's `route` parameter to the routes that satisfy `condition`."""

    def mark(function):
        function.routes_where = condition
        return function

    return mark


# One op of each kind: elementwise, integers, with a scalar, several outputs with optional arguments, indices.
REPRESENTATIVE = ("add", "grayscale", "rms_norm", "rope", "top_k")


def representative(spec: OpSpec, named: bool) -> bool:
    """Condition for OPS_WHERE in modules that test bindings, which are the same for all ops of a kind.

    It excludes ops that write their arguments, because they have no form with existing outputs.

    Args:
        named: whether the op was named on the command line.
    """
    return (named or spec.name in REPRESENTATIVE) and not spec.mutates


def left_to_compare(spec: OpSpec, route: Route, config: pytest.Config) -> bool:
    """Whether to skip a JIT route, which compiles for tens of seconds, because another op represents this one."""
    return route.jit and not representative(spec, bool(config.getoption("--ops")))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest) -> None:
    """Compiles all kernels for the session's emulated tests together, before the first of these tests."""
    from shared_tests.emulated_builds import compile_kernels, needed_kernels  # imports the emulator

    compile_kernels(needed_kernels(request.session.items))


@pytest.fixture(autouse=True)
def _route_is_built(request: pytest.FixtureRequest) -> None:
    if "route" not in request.fixturenames:
        return
    route: Route = request.getfixturevalue("route")
    device = request.config.getoption("--device")
    if device not in route.devices:
        pytest.skip(f"route {route.name} does not run on {device}")
    if reason := route.unavailable():
        pytest.fail(f"route {route.name} did not build: {reason}", pytrace=False)
    if "spec" in request.fixturenames and (reason_for_lack := route.lacks(request.getfixturevalue("spec"))):
        pytest.skip(f"route {route.name}: {reason_for_lack}")


class Verdicts:
    """Counts test outcomes by op, route and dtype for the evidence pack."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[tuple[str, str, str], dict] = defaultdict(
            lambda: {"passed": 0, "failed": 0, "skipped": 0, "message": None}
        )

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> None:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if (
            not isinstance(params.get("route"), Route)
            or "spec" not in params
            or (call.when != "call" and call.excinfo is None)
        ):
            return
        row = self.rows[params["spec"].name, params["route"].name, str(params.get("dtype", "torch.all"))[6:]]
        if call.excinfo is None:
            row["passed"] += 1
        elif call.excinfo.errisinstance(pytest.skip.Exception):
            row["skipped"] += 1
        else:
            row["failed"] += 1
            row["message"] = row["message"] or f"{item.name}: {str(call.excinfo.value).splitlines()[0]}"

    def pytest_sessionfinish(self) -> None:
        rows = [
            {"op": op, "route": route, "dtype": dtype, **row} for (op, route, dtype), row in sorted(self.rows.items())
        ]
        self.path.write_text(json.dumps(rows, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--verdicts"):
        config.pluginmanager.register(Verdicts(Path(path)))
