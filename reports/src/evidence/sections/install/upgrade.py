"""Upgrade survival by symbol tables: what each built library needs, and whether other releases of PyTorch have it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence.core.machine import ROOT
from evidence.sections.install.row import UpgradeRow
from evidence.sections.install.upgrade_elf import Needs, classify, examples, read, stable_shim
from evidence.sections.install.upgrade_releases import Release, releases
from evidence.sections.install.upgrade_sources import CODES, digest
from shared_tests import route_facts
from shared_tests.route_facts import RouteFacts
from shared_tests.route_table import facts

MOJO = "mojo_ops/src/mojo_ops"
SOURCES = "sources"


def library(route: RouteFacts, root: Path = ROOT) -> Path | None:
    """The built library of a route; None when it has none or it is not built."""
    return next(iter(sorted(root.glob(route.library))), None) if route.library else None


def with_library() -> list[RouteFacts]:
    """The routes whose build makes a library, built or not."""
    return [route for route in facts().values() if route.library]


def torch_version() -> str:
    """Of the installed PyTorch, such as “torch 2.13.0+cpu”."""
    return f"torch {metadata.version('torch')}"


def shim() -> frozenset[str]:
    """The stable C ABI as the installed PyTorch's headers declare it."""
    return stable_shim(Path(str(metadata.distribution("torch").locate_file("torch/include"))))


def named_functions(files: Iterable[Path]) -> dict[str, None]:
    """C functions of PyTorch and MAX that Python files look up by name: attributes and strings with such names."""
    names: dict[str, None] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if isinstance(name, str) and re.fullmatch(r"(aoti_torch|torch_library|M)_[a-z]\w*", name):
                names[name] = None
    return names


def needs(route: RouteFacts, declared: frozenset[str], root: Path = ROOT) -> Needs:
    """What the library of a route needs, including what its Python looks up by name.

    Raises:
        FileNotFoundError: the library is not built.
        NotReadable: it is not in ELF format.
    """
    file = library(route, root)
    if file is None:
        raise FileNotFoundError(f"{route.library} is not built")
    named = named_functions(root / name for name in route.names_functions_in)
    return classify({**read(file).undefined, **named}, declared)


def built(root: Path = ROOT) -> dict[str, str]:
    """route -> name of its built library."""
    return {route.name: file.name for route in with_library() if (file := library(route, root))}


def asked_symbols(root: Path = ROOT) -> list[str]:
    """Symbols to look up in a release: the stable C ABI of the installed PyTorch, and what the built libraries need."""
    declared = shim()
    symbols = set(declared)
    for route in with_library():
        if library(route, root):
            symbols |= needs(route, declared, root).torch
    return sorted(symbols)


def _row(artifact: str | None, route: str, under: str, **rest: Any) -> UpgradeRow:
    return UpgradeRow(artifact=str(artifact), route=route, built_with=torch_version(), loaded_under=under, **rest)


def _counts(need: Needs) -> dict[str, Any]:
    return {
        "symbols_needed": len(need.stable | need.unstable),
        "symbols_stable": len(need.stable),
        "symbols_unstable": len(need.unstable),
        "symbols_system": need.system,
        "symbols_torch": {"stable": len(need.torch_stable), "other": len(need.torch_other)},
        "symbols_python": {"limited": len(need.python_limited), "other": len(need.python_other)},
        "symbols_max": len(need.max_other),
        "examples": tuple(examples(need.torch_other or need.unstable)),
    }


def judge(need: Needs, release: Release, codes: str | None = None) -> tuple[str, str]:
    """Outcome and reason from symbols alone, as the pack's rows have them.

    `fails` is certain, since Python and ctypes bind every symbol when they load a library. `works` needs both that
    every name of PyTorch is there and that it is promised to mean the same; without a promise nothing is decided.

    Args:
        need: what the library needs.
        release: what was read.
        codes: for a library with PyTorch's dtype numbers compiled in, whether the release has the same: `works`,
            `fails`, `did not run`; None for others.
    """
    if missing := release.missing(need.torch):
        return "fails", (
            f"{len(missing)} of {len(need.torch)} symbols of PyTorch are not there: {', '.join(examples(missing))}"
        )
    if unknown := release.unknown(need.torch):
        return "did not run", (
            f"{len(unknown)} symbols were not asked for when this release was read: {', '.join(examples(unknown))}"
        )
    clause = f"all {len(need.torch)} symbols of PyTorch are there"
    if need.torch_other:
        return "did not run", (
            f"{clause}, but {len(need.torch_other)} are C++ names that nothing promises, and symbols do not show the "
            "layouts of classes that were compiled in: only loading it would decide"
        )
    if not need.torch:
        return "did not run", (
            "it needs no symbol of PyTorch; whether the DLPack exchange table is there that it asks for when it is "
            "imported, symbols do not show"
        )
    if codes is None:
        return "works", f"{clause} and promised stable; not loaded"
    if codes == "works":
        return "works", (
            f"{clause} and promised stable; the numbers of dtypes and devices, compiled in and not promised, are those "
            "of its headers; not loaded"
        )
    if codes == "fails":
        return "fails", f"{clause}, but the numbers of dtypes or devices that are compiled in are others in its headers"
    return "did not run", f"{clause}, but the numbers of dtypes and devices that are compiled in were not compared"


def _codes(route: RouteFacts, release: Release, root: Path) -> str | None:
    if route.side != route_facts.MOJO:
        return None
    read_then = release.sources.get(CODES, {})
    return read_then["outcome"] if read_then.get("sha256") == digest(CODES, root) else "did not run"


def symbol_rows(routes: Iterable[str], root: Path = ROOT, known: list[Release] | None = None) -> list[UpgradeRow]:
    """One row for each built library and each release of PyTorch that was read.

    Args:
        routes: those of the run.
        root: checkout.
        known: releases; None for those kept with the project.
    """
    declared = shim()
    candidates = releases() if known is None else known
    installed = metadata.version("torch").split("+")[0]
    rows = []
    for route in with_library():
        if route.name not in routes:
            continue
        try:
            need = needs(route, declared, root)
        except (FileNotFoundError, ValueError) as error:
            rows.append(
                _row(
                    route.library,
                    route.name,
                    "another torch",
                    method="did not run",
                    outcome="did not run",
                    message=str(error),
                )
            )
            continue
        file = library(route, root)
        name = file.name if file else route.library
        counts = _counts(need)
        for release in candidates:
            if release.torch == installed:
                continue
            outcome, message = judge(need, release, _codes(route, release, root))
            source = f"{message} (symbol tables of {release.wheel}, read {release.read_utc})"
            rows.append(
                _row(
                    name,
                    route.name,
                    f"torch {release.torch}",
                    method="symbols",
                    outcome=outcome,
                    message=source,
                    sha256=release.sha256,
                    **counts,
                )
            )
        if not candidates:
            rows.append(
                _row(
                    name,
                    route.name,
                    "another torch",
                    method="symbols",
                    outcome="did not run",
                    message="no other release was read: "
                    "python -m evidence.sections.install.upgrade_symbols --torch VERSION",
                    **counts,
                )
            )
    return rows


def source_rows(routes: Iterable[str], root: Path = ROOT, known: list[Release] | None = None) -> list[UpgradeRow]:
    """One row for each C++ route and release whose headers its sources were compiled against; method `compiled`."""
    rows = []
    for release in releases() if known is None else known:
        for route, record in release.sources.items():
            if route not in routes or release.torch == metadata.version("torch").split("+")[0]:
                continue
            outcome, message = record["outcome"], f"{record['message']} (read {release.read_utc})"
            if record["sha256"] != digest(route, root):
                outcome, message = "did not run", "the sources have changed since they were compiled against it"
            rows.append(
                _row(SOURCES, route, f"torch {release.torch}", method="compiled", outcome=outcome, message=message)
            )
    return rows


def build_record(root: Path = ROOT) -> dict[str, Any]:
    """The record that the Mojo build writes (artifacts/build.json); empty without a build."""
    try:
        record = json.loads((root / MOJO / "artifacts/build.json").read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
