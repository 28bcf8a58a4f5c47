"""From a pack to findings: pure functions, no clock, and no file but the weights of the decisions.

`conclude` writes the computed sections (`claims`, `verdict`, `decisions`) into a pack; the others only read it.
"""

from __future__ import annotations

from evidence.analyse.claims import claims
from evidence.analyse.decisions import decisions
from evidence.analyse.verdict import Statement, verdict
from evidence.analyse.weights import Weights, WeightsError, check_weights, read_weights
from evidence.pack import Pack

__all__ = ["Statement", "Weights", "WeightsError", "claims", "conclude", "decisions", "read_weights", "verdict"]

RECORDED = "settings.facts.weights of the pack"


def conclude(pack: Pack, weights: Weights | None = None) -> None:
    """Compute `claims`, `verdict` and `decisions` from the pack's other sections; a partial pack will do.

    The weights are the given ones, else those that the pack records, else those of `reports/weights.toml`; they are
    recorded in the pack, so that it renders the same in another year. Raises WeightsError.
    """
    settings = pack.facts("settings")
    if weights is None:
        weights = check_weights(settings["weights"], RECORDED) if "weights" in settings else read_weights()
    settings["weights"] = weights.facts()
    pack.set_rows("claims", claims(pack))
    pack.set_rows("verdict", [statement.row() for statement in verdict(pack)])
    pack.set_rows("decisions", decisions(pack, weights))
