"""A map of scores with deposits on top, as one panel of many."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from db.raster import Grid
from inference.evidence.evaluation.placed import PlacedDeposits

COLOURS = colormaps["YlGnBu"]
_UNJUDGED = "#eceae4"


def draw_map(
    axis: Axes, grid: Grid, shares: NDArray[np.floating], deposits: PlacedDeposits, title: str
) -> None:
    """Draw scores, cut to the judged ground, with a scale bar.

    Args:
        axis: where.
        grid: of the scores, in metres.
        shares: (height, width) 0..1, NaN where the ground is not judged; some of it is.
        deposits: those that count.
        title: above it.

    """
    is_judged = np.isfinite(shares)
    rows, cols = np.flatnonzero(is_judged.any(axis=1)), np.flatnonzero(is_judged.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    extent = (grid.x_of_col(left), grid.x_of_col(right), grid.y_of_row(bottom), grid.y_of_row(top))
    axis.set_facecolor(_UNJUDGED)
    axis.imshow(
        shares[top:bottom, left:right], cmap=COLOURS, vmin=0, vmax=1, extent=extent, interpolation="nearest",
        aspect="equal",
    )  # fmt: skip
    size = 30 if len(deposits) <= 60 else 14
    axis.scatter(deposits.x, deposits.y, s=size, facecolor="none", edgecolor="white", linewidth=2.2)
    axis.scatter(deposits.x, deposits.y, s=size, facecolor="none", edgecolor="#c01f2e", linewidth=1.1)
    axis.set_xlim(extent[0], extent[1])
    axis.set_ylim(extent[2], extent[3])
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=10, loc="left")
    _scale_bar(axis, extent)


def ranks_of(scores: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share (height, width) of the judged ground that scores lower, ties half; NaN where it is not judged."""
    ordered = np.sort(scores[is_judged])
    found = np.full(scores.shape, np.nan)
    low, high = (np.searchsorted(ordered, scores[is_judged], side) for side in ("left", "right"))
    found[is_judged] = (low + high) / (2 * len(ordered))
    return found


def _scale_bar(axis: Axes, extent: tuple[float, float, float, float]) -> None:
    """A bar of a round length below the map, so that it hides nothing."""
    width_m = extent[1] - extent[0]
    step = 10 ** math.floor(math.log10(width_m / 3))
    length_m = max(factor * step for factor in (1, 2, 5) if factor * step <= width_m / 3)
    said = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    below = offset_copy(axis.get_xaxis_transform(), axis.get_figure(root=True), y=-7, units="points")
    ends = extent[0], extent[0] + length_m
    axis.plot(
        ends, [0, 0], transform=below, color="black", linewidth=2.5, clip_on=False, solid_capstyle="butt"
    )
    axis.text(ends[1] + 0.02 * width_m, 0, said, transform=below, fontsize=8, va="center", ha="left")
