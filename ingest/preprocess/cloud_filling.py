"""Ground under cloud, estimated from a clear date by regression; never an observation.

Band by band a line from the clear date to the scene is fitted robustly to ground that both saw, with more
weight near the clouds, where light and season are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

FEWEST_PX = 200
LARGEST_SAMPLE = 500_000
NEAR_PX = 150
"""Ground farther than this from any cloud, in pixels of the reduced image, does not count."""

_ROUNDS = 12
_FULL = 1.0 - 1e-6


@dataclass(frozen=True)
class Filling:
    """A line for each band: estimate = gain * reference + offset.

    Attributes:
        gain, offset: by band; NaN for a band without data in common, which is then not filled.
        residual: median absolute difference of the estimate and what was seen on clear ground, reflectance.
        compared_px: pixels that the lines are fitted to.

    """

    gain: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    residual: npt.NDArray[np.float64]
    compared_px: int

    def apply(self, strip: FloatArray, reference: FloatArray, weights: FloatArray) -> FloatArray:
        """Blend the estimate in.

        Args:
            strip: the scene (bands, height, width), NaN without data.
            reference: the clear date on the same pixels.
            weights: 0 where the scene stays, 1 where the estimate takes its place (height, width).

        Returns:
            The blend. Where the clear date has no data the scene stays; where the scene has none the estimate
            stands alone at full weight only, so that a seam does not grow the scene beyond its border.

        Raises:
            UsageError: shapes do not fit.

        """
        if strip.shape != reference.shape or strip.shape[1:] != weights.shape or len(strip) != len(self.gain):
            raise UsageError(
                f"cannot fill {strip.shape} from {reference.shape} with weights {weights.shape} and lines of "
                f"{len(self.gain)} bands: give all on the same pixels and bands"
            )
        estimate = reference * self.gain[:, None, None].astype(np.float32)
        estimate += self.offset[:, None, None].astype(np.float32)
        share = np.broadcast_to(weights, strip.shape)
        is_full = share >= _FULL
        blended = np.where(is_full, estimate, strip * (1 - share) + estimate * share)
        keep = (share <= 0) | ~np.isfinite(estimate)
        return np.asarray(np.where(keep, strip, blended), dtype=np.float32)

    def as_json(self) -> dict[str, Any]:
        """Parameters and figures for the catalogue."""
        return {
            "gain": _plain(self.gain),
            "offset": _plain(self.offset),
            "residual": _plain(self.residual),
            "compared_px": self.compared_px,
        }


def _plain(values: npt.NDArray[np.float64]) -> list[float | None]:
    """JSON knows no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def fit_filling(target: FloatArray, reference: FloatArray, hidden: BoolArray) -> Filling:
    """Fit the clear date to the scene.

    Args:
        target: reflectance of the scene (bands, height, width), NaN without data.
        reference: the clear date on the same pixels.
        hidden: cloud and shadow in the scene (height, width).

    Raises:
        UsageError: there is too little clear ground in common, or shapes do not fit.

    """
    if target.ndim != 3 or target.shape != reference.shape or target.shape[1:] != hidden.shape:
        raise UsageError(
            f"cannot compare {target.shape} with {reference.shape} under clouds of {hidden.shape}: "
            "bring all to one grid and the same bands"
        )
    clear = ~hidden & np.isfinite(target).any(axis=0) & np.isfinite(reference).any(axis=0)
    if hidden.any():
        distance = ndimage.distance_transform_edt(~hidden)
        near = clear & (distance <= NEAR_PX)
        clear = near if np.count_nonzero(near) >= 10 * FEWEST_PX else clear
    places = np.flatnonzero(clear)
    if len(places) < FEWEST_PX:
        raise UsageError(
            f"only {len(places)} clear pixels lie in the scene and in its reference, at least {FEWEST_PX} "
            "are "
            "needed to fill clouds: name another --reference or leave --fill-clouds out"
        )
    if len(places) > LARGEST_SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, LARGEST_SAMPLE, replace=False))
    gain, offset, residual = np.full((3, len(target)), np.nan)
    for band in range(len(target)):
        x = reference[band].ravel()[places].astype(np.float64)
        y = target[band].ravel()[places].astype(np.float64)
        both = np.isfinite(x) & np.isfinite(y)
        if np.count_nonzero(both) < FEWEST_PX:
            continue
        gain[band], offset[band], residual[band] = _robust_line(x[both], y[both])
    return Filling(gain, offset, residual, len(places))


def _robust_line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Line by iteratively reweighted least squares with Tukey's biweight; also the median residual."""
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(_ROUNDS):
        residual = y - gain * x - offset
        scale = 1.4826 * float(np.median(np.abs(residual))) + 1e-9
        weights = np.clip(1.0 - (residual / (4.685 * scale)) ** 2, 0.0, None) ** 2
        total = weights.sum()
        mean_x, mean_y = weights @ x / total, weights @ y / total
        spread = weights @ (x - mean_x) ** 2
        if spread <= 1e-12 * total:
            return 1.0, float(mean_y - mean_x), scale / 1.4826
        gain = float(weights @ ((x - mean_x) * (y - mean_y)) / spread)
        offset = float(mean_y - gain * mean_x)
    return gain, offset, float(np.median(np.abs(y - gain * x - offset)))


def feather_weights(hidden: BoolArray, resolution_m: float, width_m: float) -> FloatArray:
    """Weights of the estimate: 1 in hidden pixels, falling to 0 as a cosine over a seam.

    Args:
        hidden: cloud and shadow (height, width).
        resolution_m: pixel size, m.
        width_m: width of the seam, m.

    """
    if not hidden.any():
        return np.zeros(hidden.shape, np.float32)
    distance_m = ndimage.distance_transform_edt(~hidden) * resolution_m
    share = np.clip(distance_m / max(width_m, 1e-9), 0.0, 1.0)
    return np.asarray(0.5 * (1.0 + np.cos(np.pi * share)), dtype=np.float32)
