"""What the templates print: plain strings and lists, worked out from a pack. No number is formatted in a template."""

from __future__ import annotations

from pathlib import Path

from evidence.core import text
from evidence.core.pack import COMPLETE, FACT_SECTIONS, Pack, part_names
from evidence.core.routes import DOCUMENTED, colour, order, what
from evidence.core.thresholds import MATTERS
from evidence.judge.busy import busy
from evidence.page import front
from evidence.page.closing import claim, claim_rows, correctness_table, loss_lists
from evidence.page.common import Context, flat
from evidence.page.decisions import decisions, sensitivity
from evidence.page.method import methods
from evidence.page.route_lines import route_lines
from evidence.sections.build.page import build_table, code_table
from evidence.sections.build.table import build
from evidence.sections.dispatch.page import dispatch_table, lab_context
from evidence.sections.faults.page import fault_table
from evidence.sections.gpu.page import gpu_section
from evidence.sections.install.page import footprint_table, upgrade_table
from evidence.sections.integration.page import integration_table
from evidence.sections.models.page import models_section
from evidence.sections.runtime.cases import cases
from evidence.sections.runtime.page import crossover_table, noise_table, per_op, roofline_table, runtime_tables
from evidence.sections.runtime.samples import samples
from evidence.sections.targets.page import targets_table


def context(pack: Pack, folder: Path) -> Context:
    """Everything that `report.html` and `report.md` print, apart from the pictures and the charts' data."""
    all_cases = cases(pack)
    table = build(pack)
    routes = _routes(pack)
    rounds = samples(pack, folder)
    return {
        "created": pack.created_utc.replace("T", " ").replace("Z", " UTC"),
        "partial": pack.status != COMPLETE,
        "busy": busy(pack),
        "missing": front.missing(pack),
        "machine_line": front.machine_line(pack),
        "quick": bool(pack.facts("settings").get("quick")),
        "failed_builds": front.failed(table),
        "statements": [front.statement(row) for row in front.verdict_rows(pack)],
        "decisions": decisions(pack),
        "sensitivity": sensitivity(pack),
        "cards": front.cards(pack, all_cases),
        "route_lines": route_lines(pack, all_cases),
        "per_op": per_op(all_cases),
        "crossovers": crossover_table(all_cases),
        "dispatch": dispatch_table(pack),
        "lab": lab_context(pack),
        "integration": integration_table(pack),
        "build": build_table(table),
        "code": code_table(pack),
        "faults": fault_table(pack),
        "footprint": footprint_table(pack),
        "upgrade": upgrade_table(pack),
        "targets": targets_table(pack),
        "gpu": gpu_section(pack),
        "noise": noise_table(pack),
        "roofline": roofline_table(pack),
        "losses": loss_lists(pack, routes),
        "correctness": correctness_table(pack),
        "runtime": runtime_tables(all_cases, rounds["rows"]),
        "claims": _claims(pack),
        "facts": {name: flat(pack.facts(name)) for name in FACT_SECTIONS},
        "states": {name: {"status": pack.section_status(name), "reason": pack.reason(name)} for name in part_names()},
        "models": models_section(pack),
        "matters": f"{MATTERS - 1:.0%}",
        "routes": [_route(name) for name in routes],
        "methods": methods(pack),
        "rounds": rounds,
    }


def _claims(pack: Pack) -> Context:
    """Claims that were judged, and those that were not, each with its place in the pack."""
    rows = [{**claim(row), "id": f"claims-{index}"} for index, row in enumerate(claim_rows(pack))]
    absent = [row for row in rows if row["tone"] == "absent"]
    judged = [row for row in rows if row["tone"] != "absent"]
    return {"judged": judged, "absent": absent, "not_measured": text.count(len(absent), "claim")}


def _route(name: str) -> Context:
    documented = name in DOCUMENTED.values()
    return {"name": name, "what": what(name), "colour": colour(name), "documented": documented}


def _routes(pack: Pack) -> list[str]:
    named = {row["route"] for section in ("runtime", "dispatch", "build", "code") for row in pack.rows(section)}
    return sorted(named, key=order)
