"""What the cost of a call contributes to the summary."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.core import text
from evidence.core.pack import Pack
from evidence.judge.headline import Figure
from evidence.sections.dispatch.table import dispatch, plain


def _call(pack: Pack) -> Mapping[str, str]:
    calls = plain(dispatch(pack))
    return {call.route: text.micros(call.time.mid) for call in calls if call.mode == "hot" and call.time}


FIGURES = (Figure(30, "Call, two tensors", _call),)
