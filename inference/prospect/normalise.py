"""Scales of the channels, from the ground of training alone, and how far other ground lies from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from db.errors import UsageError

LOW, HIGH = 1.0, 99.0
"""Percentiles that are stored beside mean and deviation."""
_SAMPLE = 200_000
"""Cells that correlations are computed from at most, drawn with a fixed seed."""


@dataclass(frozen=True)
class ChannelScales:
    """How the channels are distributed over the training ground.

    Attributes:
        names: of the channels, in order.
        means, stds: (channels,), in the units of each channel.
        lows, highs: (channels,) percentiles 1 and 99.
        correlation: (channels, channels), shrunk towards the identity so that it can be inverted.
        shrinkage: how far, 0..1 (Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional
            covariance matrices, Journal of Multivariate Analysis 88).
        cells: cells of the training ground that were counted.

    """

    names: tuple[str, ...]
    means: NDArray[np.float64]
    stds: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    correlation: NDArray[np.float64]
    shrinkage: float
    cells: int

    def standardise(self, values: NDArray[np.float32], axis: int = 0) -> NDArray[np.float32]:
        """Values as deviations from the training mean; cells without a value become 0, which is the mean.

        Args:
            values: any shape, channels along ``axis``; NaN: no value.
            axis: where the channels are: 0 for rasters (channels, height, width), -1 for patches (n, nodes,
                channels).

        Returns:
            The same shape, float32, without NaN.

        Raises:
            UsageError: another number of channels.

        """
        if values.shape[axis] != len(self.names):
            raise UsageError(
                f"there are {values.shape[axis]} channels, the model was trained on {len(self.names)}: "
                f"{', '.join(self.names)}"
            )
        shape = [1] * values.ndim
        shape[axis] = len(self.names)
        # in float32 a distance of many kilometres keeps its centimetres, and a raster its size
        scaled = values - self.means.astype(np.float32).reshape(shape)
        scaled /= self.stds.astype(np.float32).reshape(shape)
        scaled[~np.isfinite(scaled)] = 0.0
        return scaled

    def distances(self, standardised: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far cells lie from the training ground: about 1 for cells like those of training.

        The distance of Mahalanobis 1936 with the shrunk correlation, divided by the root of the number of
        channels, so that it does not grow with that.

        Args:
            standardised: (n, channels) from `standardise`.

        Returns:
            (n,) root mean square deviations.

        """
        factor = np.linalg.cholesky(np.linalg.inv(self.correlation))
        whitened = standardised.astype(np.float64) @ factor
        return np.asarray(np.sqrt((whitened**2).mean(axis=1)))

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return {
            "names": list(self.names),
            "means": self.means.tolist(),
            "stds": self.stds.tolist(),
            "lows": self.lows.tolist(),
            "highs": self.highs.tolist(),
            "correlation": self.correlation.tolist(),
            "shrinkage": self.shrinkage,
            "cells": self.cells,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], names: Sequence[str]) -> ChannelScales:
        """What `as_json` stored.

        Args:
            stored: the JSON.
            names: channels of the model, which must be the same.

        Raises:
            UsageError: it is not that: other channels, other shapes, numbers that are not finite, a deviation
                that is not positive, a correlation that is none.

        """
        try:
            scales = cls(
                tuple(str(name) for name in stored["names"]),
                means=np.array(stored["means"], np.float64),
                stds=np.array(stored["stds"], np.float64),
                lows=np.array(stored["lows"], np.float64),
                highs=np.array(stored["highs"], np.float64),
                correlation=np.array(stored["correlation"], np.float64),
                shrinkage=float(stored["shrinkage"]),
                cells=int(stored["cells"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"the stored scales cannot be read ({error!r}): train the model again"
            ) from error
        if scales.names != tuple(names):
            raise UsageError(
                f"the stored scales are of the channels {', '.join(scales.names)}, those of the model are "
                f"{', '.join(names)}: train the model again"
            )
        scales._check()
        return scales

    def _check(self) -> None:
        channels = len(self.names)
        arrays = (self.means, self.stds, self.lows, self.highs)
        is_sound = all(each.shape == (channels,) and bool(np.isfinite(each).all()) for each in arrays)
        is_sound = is_sound and bool((self.stds > 0).all())
        is_sound = is_sound and self.correlation.shape == (channels, channels)
        if is_sound:
            matrix = self.correlation
            is_sound = bool(np.isfinite(matrix).all()) and bool(np.allclose(matrix, matrix.T))
            is_sound = is_sound and float(np.linalg.eigvalsh(matrix)[0]) > 0
        if not is_sound or not math.isfinite(self.shrinkage):
            raise UsageError("the stored scales are no numbers to divide by: train the model again")


def training_scales(
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    patch_px: int,
    names: Sequence[str],
) -> ChannelScales:
    """The scales of the ground below patches; a cell below several of them counts once.

    Args:
        values: (channels, height, width), NaN: no value.
        rows: (n,) first row of each training patch.
        cols: (n,) first column.
        patch_px: edge of the patches, cells.
        names: of the channels.

    Raises:
        UsageError: no patches; a channel without values there, or with one value only: it would tell
            nothing, and everything elsewhere would be infinitely far from it.

    """
    if len(rows) == 0:
        raise UsageError("there are no training patches: make the set with more ground")
    cells = values[:, covered_cells(values.shape[1:], rows, cols, patch_px)]
    is_finite = np.isfinite(cells)
    lacking = [name for name, known in zip(names, is_finite, strict=True) if not known.any()]
    if lacking:
        raise UsageError(
            f"{', '.join(lacking)}: no value over the training patches; make the set without these channels"
        )
    known = np.where(is_finite, cells, np.nan)
    means = np.asarray(np.nanmean(known, axis=1, dtype=np.float64))
    stds = np.asarray(np.nanstd(known, axis=1, dtype=np.float64))
    # what a float32 cannot tell from rounding is no difference
    constant = [
        name
        for name, mean, std in zip(names, means, stds, strict=True)
        if std <= 1e-6 * max(abs(mean), 1e-30)
    ]
    if constant:
        raise UsageError(
            f"{', '.join(constant)}: one value all over the training patches, from which nothing can be "
            "learned; make the set without these channels, or on more ground"
        )
    lows, highs = np.nanpercentile(known, (LOW, HIGH), axis=1)
    correlation, shrinkage = _correlation(known, means, stds)
    return ChannelScales(
        tuple(names),
        means,
        stds,
        np.asarray(lows, np.float64),
        np.asarray(highs, np.float64),
        correlation=correlation,
        shrinkage=shrinkage,
        cells=int(cells.shape[1]),
    )


def covered_cells(
    shape: tuple[int, ...], rows: NDArray[np.int64], cols: NDArray[np.int64], patch_px: int
) -> NDArray[np.bool_]:
    """(height, width): cells below one patch or more."""
    covered = np.zeros(shape, np.bool_)
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        covered[row : row + patch_px, col : col + patch_px] = True
    return covered


def _correlation(
    known: NDArray[np.float32], means: NDArray[np.float64], stds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Correlation of the channels over the cells that have all of them, shrunk, and by how much."""
    channels = len(known)
    complete = np.flatnonzero(np.isfinite(known).all(axis=0))
    if len(complete) < 2:
        return np.eye(channels), 1.0
    if len(complete) > _SAMPLE:
        complete = np.sort(np.random.default_rng(0).choice(complete, _SAMPLE, replace=False))
    standardised = ((known[:, complete] - means[:, None]) / stds[:, None]).T
    covariance, shrinkage = ledoit_wolf(standardised)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    # bands that equal each other leave a matrix that rounding makes singular
    floor = 1e-6
    correlation = (1 - floor) * correlation + floor * np.eye(channels)
    return (correlation + correlation.T) / 2, float(max(shrinkage, floor))
