"""How outcomes are worded: better by a factor, equal within a share, or too close to call."""

from __future__ import annotations

from evidence.core import text
from evidence.core.interval import TOO_CLOSE
from evidence.core.routes import SIDE_NAMES, side_of


def better_by(route: str, factor: float) -> str:
    """`Mojo better by 1.30×`; a route that stands for no side is named."""
    side = side_of(route)
    return f"{SIDE_NAMES[side] if side else route} better by {text.factor(factor)}"


def equal(within: float) -> str:
    """`equal within 5%`, or `equal` for counts that are the same."""
    return f"equal within {within:.0%}" if within else "equal"


def too_close(smallest_effect: float | None) -> str:
    """`too close to call (an effect under 12% could not be seen here)`."""
    return TOO_CLOSE if smallest_effect is None else f"{TOO_CLOSE} ({unseen(smallest_effect)})"


def unseen(smallest_effect: float) -> str:
    """`an effect under 12% could not be seen here`, from the factor above 1."""
    return f"an effect under {share(smallest_effect)} could not be seen here"


def share(effect: float) -> str:
    """A factor above 1 as a share, `12%`, from a doubling on as a factor, `2.5×`."""
    return f"{effect - 1:.0%}" if effect < 1.995 else text.factor(effect)
