"""Where each side loses: how many losses of each kind, and every one of them, worst first."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.routes import SIDE_NAMES, side_of
from evidence.judge.losses import Loss, counts, losses
from evidence.page.blocks import Block, Details, Figure, noisy
from evidence.page.common import finding, row_links
from evidence.page.headline import route_figures, routes
from evidence.page.table import Row as Line
from evidence.page.table import Table, columns, row

METHODS = {
    "losses": "A loss of a run-time row needs an interval that excludes 1.0 on the worse side; the mark is the "
    "geometric mean of the rows lost and the bar their range.",
}


def content(pack: Pack) -> list[Block]:
    """Losses of the routes that represent the two sides."""
    by_side = losses(pack)
    measured = {side_of(route) for route in routes(route_figures(pack))}
    sentences, folds = [], []
    for side, side_losses in by_side.items():
        kinds = ", ".join(f"{text.lower_first(kind)} {number}" for kind, number in sorted(counts(side_losses)))
        if side not in measured:
            sentences.append(f"{SIDE_NAMES[side]} was not measured here.")
        elif not side_losses:
            sentences.append(f"No row shows {SIDE_NAMES[side]} to be worse.")
        else:
            sentences.append(f"Rows in which {SIDE_NAMES[side]} is worse: {kinds}.")
            title = f"Every loss of {SIDE_NAMES[side]}"
            folds.append(
                Details(title, (loss_table(side, side_losses),), f"{len(side_losses)}, worst first", classes="data")
            )
    return [*finding(*sentences), Figure("losses"), *folds]


def loss_table(side: str, side_losses: list[Loss]) -> Table:
    """Every loss of a side, with its factor and its rows."""
    heads = columns("Kind", "What", "Routes", "Times worse", "Rows")
    return Table(f"Losses of {SIDE_NAMES[side]}", heads, tuple(map(_loss, side_losses)), header=False)


def _loss(loss: Loss) -> Line:
    is_exact = loss.factor.low == loss.factor.high
    factor = text.factor(loss.factor.mid) if is_exact else text.ratio(loss.factor)
    return row(
        loss.kind,
        loss.what,
        f"{loss.route} against {loss.against}",
        noisy(factor) if loss.noisy else factor,
        row_links(loss.rows),
    )
