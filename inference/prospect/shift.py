"""How far the features of a ground lie from those a network was trained on.

A network answers everywhere; where it was shown nothing alike, its answer is a guess. Three figures tell,
and none needs to know where ore lies: how far the mean of each channel has moved, in standard deviations of
training (the standardised mean difference); which share of the cells lies outside the percentiles 1 to 99 of
training (2 % do at home); and the root mean square Mahalanobis distance of the cells per channel, with the
correlation of training, which is about 1 at home and also sees combinations of values that were not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.prospect.normalise import ChannelScales

LARGE_DIFFERENCE = 1.0
"""A mean that moved by more standard deviations of training is warned of."""
LARGE_OUTSIDE_SHARE = 0.2
"""More cells outside the percentiles of training, ten times what lies there at home, are warned of."""
LARGE_DISTANCE = 2.0
"""Cells that lie on average more than twice as far as those of training are warned of."""
MOST_CELLS = 200_000
"""Distances are taken over at most so many cells, evenly drawn."""
_NAMED = 5


@dataclass(frozen=True)
class Shift:
    """How a ground differs from that of training.

    Attributes:
        names: of the channels.
        differences: ``(channels,)`` standardised mean differences.
        outside_shares: ``(channels,)`` shares of the cells outside percentiles 1 to 99 of training, 0..1.
        distance: root mean square distance of the cells, 1 at home.
        cells: cells it was computed over.

    """

    names: tuple[str, ...]
    differences: NDArray[np.float64]
    outside_shares: NDArray[np.float64]
    distance: float
    cells: int

    @property
    def is_large(self) -> bool:
        """Whether one of the figures is beyond its bound."""
        return bool(self.warnings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What lies beyond the bounds, in words; empty where nothing does."""
        said = []
        moved = np.flatnonzero(np.abs(self.differences) > LARGE_DIFFERENCE)
        if len(moved):
            listed = self._listed(moved, np.abs(self.differences), self.differences, "{:+.1f}")
            said.append(f"means that moved by more than {LARGE_DIFFERENCE:g} standard deviation: {listed}")
        outside = np.flatnonzero(self.outside_shares > LARGE_OUTSIDE_SHARE)
        if len(outside):
            listed = self._listed(outside, self.outside_shares, self.outside_shares, "{:.0%}")
            said.append(f"more than {LARGE_OUTSIDE_SHARE:.0%} of the cells outside of training: {listed}")
        if self.distance > LARGE_DISTANCE:
            said.append(f"the cells lie {self.distance:.1f} times as far off as those of training")
        return tuple(said)

    def as_json(self) -> dict[str, Any]:
        """For the figures of a search."""
        return {
            "distance": round(self.distance, 4),
            "cells": self.cells,
            "channels": [
                {
                    "name": name,
                    "mean_difference": round(float(difference), 4),
                    "outside_share": round(float(share), 4),
                }
                for name, difference, share in zip(
                    self.names, self.differences, self.outside_shares, strict=True
                )
            ],
            "warnings": list(self.warnings),
        }

    def _listed(
        self,
        places: NDArray[np.intp],
        by: NDArray[np.float64],
        values: NDArray[np.float64],
        form: str,
    ) -> str:
        order = places[np.argsort(-by[places], kind="stable")]
        named = [f"{self.names[place]} {form.format(values[place])}" for place in order[:_NAMED]]
        more = f" and {len(order) - _NAMED} more" if len(order) > _NAMED else ""
        return ", ".join(named) + more


def shift_of(scales: ChannelScales, standardised: NDArray[np.float32], is_valid: NDArray[np.bool_]) -> Shift:
    """How far a ground lies from that of training.

    Args:
        scales: of the training.
        standardised: ``(channels, height, width)`` from ``scales.standardise``.
        is_valid: ``(height, width)`` cells that are judged and have all values, one at least.

    """
    places = np.flatnonzero(is_valid)
    step = -(-len(places) // MOST_CELLS)
    cells = standardised.reshape(len(standardised), -1)[:, places[::step]]
    lows = ((scales.lows - scales.means) / scales.stds).astype(np.float32)[:, np.newaxis]
    highs = ((scales.highs - scales.means) / scales.stds).astype(np.float32)[:, np.newaxis]
    return Shift(
        scales.names,
        cells.mean(axis=1, dtype=np.float64),
        ((cells < lows) | (cells > highs)).mean(axis=1),
        float(np.sqrt((scales.distances(cells.T) ** 2).mean())),
        cells.shape[1],
    )
