"""The process that runs the probes of one route, so that a crash or a hang ends it and not the run.

    python -m evidence.sections.integration.child ROUTE DEVICE FEATURE...

Prints two JSON lines a feature: `{"begin": feature}` and `{"feature", "status", "message", "seconds"}`.
"""

from __future__ import annotations

import os
import sys
import time
import warnings

from evidence.core.json_lines import say
from evidence.sections.integration import compiled as integration_compiled
from evidence.sections.integration import eager as integration_eager
from evidence.sections.integration import process as integration_process
from evidence.sections.integration.outcome import Subject, feature_outcome
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs

OP = "add"
"""The op that routes are probed with: registered, bound and compiled like every other one."""

MODULES = (integration_compiled, integration_eager, integration_process)
"""Importing them registers the probes."""


def main(route: str, device: str, features: list[str]) -> None:
    """Probe the features in order, telling each before it begins."""
    # Messages go to what was standard output; whatever libraries print there goes to standard error.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    subject = Subject(all_routes()[route], all_specs()[OP], device)
    for feature in features:
        say(channel, begin=feature)
        start = time.perf_counter()
        status, message = feature_outcome(feature, subject)
        seconds = time.perf_counter() - start
        say(channel, feature=feature, status=status, message=message, seconds=seconds)
    channel.close()
    os._exit(0)  # what a library does at exit is the matter of the tests, not of this table


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
