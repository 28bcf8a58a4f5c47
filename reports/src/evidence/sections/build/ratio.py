"""Build stages of two routes as a ratio that a single run cannot make certain."""

from __future__ import annotations

from evidence.core.interval import Interval
from evidence.sections.build.table import Stage, stage_ratio
from evidence.core.thresholds import SINGLE_RUN


def build_ratio(table: dict[str, dict[str, Stage]], kind: str, route: str, over: str) -> Interval | None:
    """Seconds of `over` divided by seconds of `route`; above 1 = `route` is quicker.

    The ends come from the ranges of the repeats. A stage that ran once has no range and is widened by `SINGLE_RUN`.
    """
    ratio = stage_ratio(table, kind, route, over)
    if ratio is None:
        return None
    for stage in (table[kind][route], table[kind][over]):
        if stage.row.repeats < 2:
            ratio = Interval(ratio.mid, ratio.low / SINGLE_RUN, ratio.high * SINGLE_RUN)
    return ratio
