"""From a pack to findings: pure functions, no clock, and no file but the weights of the decisions.

`conclude` writes the computed sections (`claims`, `verdict`, `decisions`) into a pack; the others only read it.
"""

from __future__ import annotations

from evidence.core.pack import Pack
from evidence.judge.claims import claims
from evidence.judge.decisions import decisions
from evidence.judge.prices import Prices, check_prices, read_prices
from evidence.judge.verdict import verdict
from evidence.judge.weights import Weights, check_weights, read_weights

RECORDED = "settings.facts.weights of the pack"


def conclude(pack: Pack, weights: Weights | None = None, prices: Prices | None = None) -> None:
    """Compute `claims`, `verdict` and `decisions` from the pack's other sections; a partial pack will do.

    The weights are the given ones, else those that the pack records, else those of `reports/weights.toml`; they are
    recorded in the pack, so that it renders the same in another year; the same holds for the prices, which may be
    none. Raises WeightsError and PricesError.
    """
    settings = pack.facts("settings")
    if weights is None:
        weights = recorded_weights(pack)
    settings["weights"] = weights.facts()
    if prices is None:
        recorded = settings.get("prices")
        prices = check_prices(recorded, "settings.facts.prices of the pack") if recorded else read_prices()
    if prices is not None:
        settings["prices"] = prices.facts()
    pack.set_rows("claims", claims(pack))
    pack.set_rows("verdict", verdict(pack))
    pack.set_rows("decisions", decisions(pack, weights))


def recorded_weights(pack: Pack) -> Weights:
    """The weights that a pack records, else those of `reports/weights.toml`. Raises WeightsError."""
    settings = pack.facts("settings")
    return check_weights(settings["weights"], RECORDED) if "weights" in settings else read_weights()
