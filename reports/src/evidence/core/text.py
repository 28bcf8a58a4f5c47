"""Numbers as the reports write them: three significant digits, a unit that fits, the interval beside a ratio.

A no-break space keeps a number and its unit on one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evidence.core.interval import TOO_CLOSE, Interval, Spread
from shared_tests.route_table import facts


def short(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 1230."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.0995:
        return f"{value:.2f}"
    return f"{value:.2g}" if size >= 1e-4 else f"{value:.1e}"


def tick(figure: str) -> str:
    """A figure for an axis: `1.00 ms` -> `1 ms`."""
    return re.sub(r"\.0+(?!\d)", "", figure)


def factor(value: float) -> str:
    """A ratio: `3.1x`."""
    return f"{short(value)}×"


def micros(value: float | None) -> str:
    """Microseconds, in us, ms or s."""
    if value is None:
        return "–"
    for limit, scale, unit in ((999.5, 1, "µs"), (999.5e3, 1e3, "ms")):
        if value < limit:
            return f"{short(value / scale)}\u00a0{unit}"
    return f"{short(value / 1e6)}\u00a0s"


def seconds(value: float | None) -> str:
    """Seconds, in us, ms, s or min."""
    if value is None:
        return "–"
    if value < 0.9995:
        return micros(value * 1e6)
    return f"{short(value)}\u00a0s" if value < 600 else f"{value / 60:.1f}\u00a0min"


def percents(value: Interval) -> str:
    """An interval of a ratio near 1 as what it is above or below: `−4 to +13%`, `−0.3 to 0.0%`."""
    ends = [100 * (end - 1) for end in (value.low, value.high)]
    digits = 0 if max(map(abs, ends)) >= 1 else 1
    figures = (f"{end:+.{digits}f}" if round(end, digits) else f"{0:.{digits}f}" for end in ends)
    return f"{' to '.join(figures)}%".replace("-", "−")


def ratio(value: Interval | None) -> str:
    """`3.1x (3.0 to 3.2)`."""
    if value is None:
        return "–"
    return f"{factor(value.mid)} ({short(value.low)} to {short(value.high)})"


def ratio_words(value: Interval | None) -> str:
    """The ratio, with the words when its interval holds 1.0."""
    if value is None:
        return "–"
    return f"{ratio(value)}, {TOO_CLOSE}" if value.holds_one else ratio(value)


def mean(value: Spread | None) -> str:
    """`3.1x (geometric mean of 5, 1.2x to 6.0x)`: never the mean alone."""
    if value is None:
        return "–"
    if value.count == 1:
        return f"{factor(value.mean)} (one row)"
    return f"{factor(value.mean)} (geometric mean of {value.count}, {factor(value.low)} to {factor(value.high)})"


def size(value: float | None) -> str:
    """Bytes, decimal units."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{short(value)}\u00a0{unit}"
        value /= 1000
    return f"{short(value)}\u00a0GB"


def _is_name(word: str) -> bool:
    """Whether a word is a name whose letters stay as they are: `PyTorch`, `mojo_aot`, `C++`."""
    return word in facts() or bool(re.search(r"_|.[A-Z]|\+", word))


def lower_first(phrase: str) -> str:
    """A phrase for the middle of a sentence: `Clean build` -> `clean build`; `PyTorch features` stays."""
    return phrase if _is_name(phrase.partition(" ")[0]) else phrase[:1].lower() + phrase[1:]


def upper_first(phrase: str) -> str:
    """A phrase for the start of a sentence: `needs a run` -> `Needs a run`; `mojo_aot fails` stays."""
    return phrase if _is_name(re.split(r"[ :,]", phrase, maxsplit=1)[0]) else phrase[:1].upper() + phrase[1:]


def count(value: int, singular: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def elements(value: float) -> str:
    """A number of elements: `16`, `4.1k`, `16.8M`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def thousands(value: float) -> str:
    """A count for a headline: `980`, `9,400`, `94k`."""
    return f"{value:,.0f}" if value < 9950 else f"{value / 1000:,.0f}k"


def joined_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
