"""The measuring process: `python -m evidence.core.worker JOB`.

The job is JSON: a section, its cases and a device. What is done for a kind of case stands in `RUNNERS` of the section's
`worker.py`, which reports in JSON lines. A process of its own, so that a crash or a hang costs one case, and so that
several fresh processes give the spread between processes.
"""

from __future__ import annotations

import json
import os
import sys

import torch

from evidence.core import clock
from evidence.core.json_lines import say
from evidence.core.section import all_sections

KEPT_BLOCK = (32 << 20) - (64 << 10)  # bytes


def settle_allocator() -> None:
    """Bring glibc's allocator to where every long-lived program ends up.

    Freeing one block just below 32 MiB raises its thresholds for good: blocks up to there then stay with the process.
    Before, whether an output of 1 to 32 MB costs thousands of page faults depends on what was freed earlier, and a
    16 MB result took 0.6 or 3 ms, for every route alike, from one process to the next.
    """
    torch.empty(KEPT_BLOCK, dtype=torch.uint8)


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        clock.check()
    except clock.ClockError as error:
        say(fatal=str(error))
        os._exit(3)
    runners = getattr(all_sections()[job["section"]].module("worker"), "RUNNERS", {})
    settle_allocator()
    for case in job["cases"]:
        say(begin=case)
        runners[case["kind"]](case, job["device"])
    sys.stdout.flush()
    # Everything was reported; MAX 26.7 sometimes aborts at interpreter exit, which would lose the last case.
    os._exit(0)


if __name__ == "__main__":
    main()
