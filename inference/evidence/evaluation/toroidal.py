"""What chance gives: all deposits shifted together over the ground, as on a torus.

Deposits cluster and scores vary smoothly, so that dealing the deposits out one by one would make chance look
poorer than it is. A rigid shift keeps both as they are and breaks only the tie between them (Lotwick and
Silverman 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.evidence.evaluation.figures import FIGURES, Answers, Ranks, figures_of
from inference.evidence.evaluation.placed import PlacedDeposits, judged_shares

SHIFTS = 999
LEAST_KEPT = 0.5
"""A shift that leaves fewer of the deposits on judged ground is drawn anew."""


@dataclass(frozen=True)
class Shifted:
    """Deposits after a shift: those that are left on judged ground.

    Attributes:
        rows, cols, shares: (kept, 4) as of `PlacedDeposits`.

    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    shares: NDArray[np.float64]


def toroidal_shifts(
    deposits: PlacedDeposits,
    is_judged: NDArray[np.bool_],
    *,
    shifts: int = SHIFTS,
    least_kept: float = LEAST_KEPT,
    seed: int = 0,
) -> list[Shifted]:
    """Shift deposits by whole cells over the rectangle round the judged ground, no two shifts alike.

    Args:
        deposits: on judged ground, at least one.
        is_judged: (height, width).
        shifts: how many.
        least_kept: share of the deposits that must be left on judged ground.
        seed: of the draws.

    Returns:
        The shifts; fewer where the ground has not so many that keep enough deposits.

    """
    rows, cols = np.flatnonzero(is_judged.any(axis=1)), np.flatnonzero(is_judged.any(axis=0))
    top, left = int(rows[0]), int(cols[0])
    height, width = int(rows[-1]) - top + 1, int(cols[-1]) - left + 1
    # 0 is no shift
    order = np.random.default_rng(seed).permutation(height * width - 1) + 1
    found: list[Shifted] = []
    for code in order:
        if len(found) == shifts:
            break
        down, right = divmod(int(code), width)
        moved_rows = (deposits.rows - top + down) % height + top
        moved_cols = (deposits.cols - left + right) % width + left
        shares, is_kept = judged_shares(moved_rows, moved_cols, deposits.shares, is_judged)
        if is_kept.sum() >= max(1.0, least_kept * len(deposits)):
            found.append(Shifted(moved_rows[is_kept], moved_cols[is_kept], shares[is_kept]))
    return found


def null_figures(ranks: Ranks, shifted: list[Shifted]) -> dict[str, NDArray[np.float64]]:
    """Every figure (shifts,) of shifted deposits."""
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for each in shifted:
        figures = figures_of(Answers.of(ranks, each.rows, each.cols, each.shares))
        for name, values in found.items():
            values.append(figures[name])
    return {name: np.array(values) for name, values in found.items()}


def null_p(value: float, drawn: NDArray[np.float64]) -> float | None:
    """Share of chance that comes out as high: (k + 1) / (n + 1); None without a shift."""
    if len(drawn) == 0:
        return None
    # sums in another order differ in the last digits
    return float((np.count_nonzero(drawn >= value - 1e-9 * abs(value)) + 1) / (len(drawn) + 1))
