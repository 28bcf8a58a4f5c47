"""What a million tokens cost, by the reader's own prices: `reports/prices.toml`, in which nothing is filled in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.core.toml_file import read_toml

PRICES_FILE = Path(__file__).resolve().parents[3] / "prices.toml"
_KEYS = ("price_per_hour", "currency", "utilisation")


class PricesError(ValueError):
    """Prices that cannot be used; the message names the file, the key, what came and what was expected."""


@dataclass(frozen=True)
class Prices:
    """price_per_hour: of the machine. currency: for print. utilisation: share of the time that generates tokens."""

    price_per_hour: float
    currency: str
    utilisation: float

    def facts(self) -> dict[str, Any]:
        """As the pack records them, which is also what `check_prices` reads."""
        return asdict(self)

    def per_million(self, tokens_per_second: float) -> float:
        """Cost of a million tokens at so many a second while it generates."""
        return self.price_per_hour / (tokens_per_second * 3600 * self.utilisation) * 1e6


def read_prices(path: Path | None = None) -> Prices | None:
    """The prices of a TOML file, by default `reports/prices.toml`; None where nothing is filled in.

    Raises:
        PricesError: the file is missing or not TOML, or its values do not fit.
    """
    file = path or PRICES_FILE
    data = read_toml(file, "prices", PricesError)
    return check_prices(data, str(file)) if data else None


def check_prices(data: Any, source: str) -> Prices:
    """Prices from plain values.

    Raises:
        PricesError: for the first key that does not fit.
    """
    if not isinstance(data, dict):
        raise PricesError(f"{source} is a {type(data).__name__}, expected a table with {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise PricesError(f"{source}: {key!r} is unknown, expected {', '.join(_KEYS)}")
    for key in _KEYS:
        if key not in data:
            raise PricesError(f"{source}: {key} is missing, expected all of {', '.join(_KEYS)}")
    price, currency, share = (data[key] for key in _KEYS)
    if not _number(price) or price <= 0:
        raise PricesError(f"{source}: price_per_hour is {price!r}, expected a number above 0")
    if not isinstance(currency, str) or not currency.strip():
        raise PricesError(f"{source}: currency is {currency!r}, expected a name such as 'EUR'")
    if not _number(share) or not 0 < share <= 1:
        raise PricesError(f"{source}: utilisation is {share!r}, expected a number above 0 and at most 1")
    return Prices(float(price), currency.strip(), float(share))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
