"""Relative radiometric normalisation on ground that did not change.

Unchanged pixels are found by iteratively reweighted multivariate alteration detection (Nielsen 2007,
doi:10.1109/TIP.2006.888195); a line is fitted to them band by band by orthogonal regression (Canty and
Nielsen 2008, doi:10.1016/j.rse.2007.07.013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, stats

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]

FEWEST_PX = 1000
LARGEST_SAMPLE = 1_000_000
COMPARED_BANDS = 10
"""More bands than these tell nothing new of change and make the covariance ill-conditioned."""

UNCHANGED_PROBABILITY = 0.95
FEWEST_UNCHANGED_SHARE = 0.02
LEAST_CORRELATION = 0.5
_ROUNDS = 40
_SETTLED = 1e-3
_RIDGE = 1e-6


@dataclass(frozen=True)
class Normalisation:
    """A line for each band: fitted = gain * value + offset.

    Attributes:
        gain, offset: by band; 1 and 0 for bands that could not be compared.
        correlation: of the unchanged pixels, by band; NaN where not compared.
        unchanged_px: pixels that the lines are fitted to.
        compared_px: pixels that were looked at.
        rounds: rounds of reweighting.

    """

    gain: Matrix
    offset: Matrix
    correlation: Matrix
    unchanged_px: int
    compared_px: int
    rounds: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Fit the values of a strip (bands, height, width); NaN stays."""
        gain = self.gain[:, None, None].astype(np.float32)
        fitted: FloatArray = strip * gain + self.offset[:, None, None].astype(np.float32)
        return fitted

    def as_json(self) -> dict[str, Any]:
        """Parameters and figures for the catalogue."""
        return {
            "gain": [float(value) for value in self.gain],
            "offset": [float(value) for value in self.offset],
            "correlation": [None if np.isnan(value) else float(value) for value in self.correlation],
            "unchanged_px": self.unchanged_px,
            "compared_px": self.compared_px,
            "rounds": self.rounds,
        }


def irmad(target: FloatArray, reference: FloatArray, valid: BoolArray) -> Normalisation:
    """Fit the radiometry of one date to that of another.

    Args:
        target: reflectance to be fitted (bands, height, width).
        reference: the other date on the same pixels.
        valid: clear pixels that both have (height, width).

    Raises:
        UsageError: the dates have too little unchanged ground in common.

    """
    usable = _usable_bands(target, reference, valid)
    count = int(np.count_nonzero(valid))
    if count < FEWEST_PX or not usable:
        raise UsageError(
            f"the scene and its reference have {count} clear pixels in common and {len(usable)} bands with "
            f"data; at least {FEWEST_PX} pixels are needed: name another --reference or say --normalise none"
        )
    places = np.flatnonzero(valid)
    if count > LARGEST_SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, LARGEST_SAMPLE, replace=False))
    x, y = (image.reshape(len(image), -1)[:, places].T.astype(np.float64) for image in (target, reference))
    chosen = usable
    if len(usable) > COMPARED_BANDS:
        chosen = [usable[i] for i in np.linspace(0, len(usable) - 1, COMPARED_BANDS).round().astype(int)]
    probability, rounds = _no_change(x[:, chosen], y[:, chosen])
    unchanged = probability > UNCHANGED_PROBABILITY
    unchanged_px = int(np.count_nonzero(unchanged))
    if unchanged_px < max(200, FEWEST_UNCHANGED_SHARE * len(places)):
        # A chance alignment of few pixels must not decide: widen to the likeliest share.
        least = np.quantile(probability, 1.0 - max(FEWEST_UNCHANGED_SHARE, 200 / len(places)))
        unchanged = probability >= max(least, 0.5)
        unchanged_px = int(np.count_nonzero(unchanged))
    if unchanged_px < 200:
        raise UsageError(
            f"only {unchanged_px} of {len(places)} pixels look unchanged between the scene and its "
            "reference: "
            "name another --reference, or say --normalise histogram or none"
        )
    gain, offset = np.ones(len(target)), np.zeros(len(target))
    correlation = np.full(len(target), np.nan)
    for band in usable:
        gain[band], offset[band], correlation[band] = _line(x[unchanged, band], y[unchanged, band])
    if np.nanmedian(correlation) < LEAST_CORRELATION or (gain <= 0).any():
        raise UsageError(
            f"even unchanged pixels of the scene and its reference hardly agree (correlation "
            f"{np.nanmedian(correlation):.2f}): name another --reference, or say --normalise histogram or "
            "none"
        )
    return Normalisation(gain, offset, correlation, unchanged_px, len(places), rounds)


def _usable_bands(target: FloatArray, reference: FloatArray, valid: BoolArray) -> list[int]:
    """Bands that vary and have data on both dates."""
    found = []
    for band in range(len(target)):
        if all(
            np.isfinite(image[band][valid]).all()
            and (image[band][valid].std() > 1e-6 if valid.any() else False)
            for image in (target, reference)
        ):
            found.append(band)
    return found


def _no_change(x: Matrix, y: Matrix) -> tuple[npt.NDArray[np.float64], int]:
    """Probability of no change of each pixel, and the rounds it took."""
    bands = x.shape[1]
    weights = np.ones(len(x))
    before = np.zeros(bands)
    probability = weights
    step = 0
    for step in range(1, _ROUNDS + 1):
        total = weights.sum()
        mean_x, mean_y = weights @ x / total, weights @ y / total
        dx, dy = x - mean_x, y - mean_y
        sxx, syy, sxy = (
            (one * weights[:, None]).T @ other / total for one, other in ((dx, dx), (dy, dy), (dx, dy))
        )
        sxx += _RIDGE * np.trace(sxx) / bands * np.eye(bands)
        syy += _RIDGE * np.trace(syy) / bands * np.eye(bands)
        squares, a = linalg.eigh(sxy @ linalg.solve(syy, sxy.T), sxx)
        rho = np.sqrt(np.clip(squares, 0.0, 1.0 - 1e-9))
        b = linalg.solve(syy, sxy.T @ a)
        b /= np.sqrt(np.maximum(np.einsum("ij,ij->j", b, syy @ b), 1e-30))
        a /= np.sqrt(np.maximum(np.einsum("ij,ij->j", a, sxx @ a), 1e-30))
        variates = dx @ a - dy @ b
        variance = np.maximum(2.0 * (1.0 - rho), 1e-9)
        # The variance of what did not change, not of everything, or a small change would hide a large one.
        variance = np.maximum(
            np.minimum(variance, (weights[:, None] * variates**2).sum(axis=0) / total), 1e-9
        )
        chi_square = (variates**2 / variance).sum(axis=1)
        probability = stats.chi2.sf(chi_square, bands)
        if np.abs(rho - before).max() < _SETTLED or probability.mean() < 0.01:
            break
        before, weights = rho, probability
    return probability, step


def _line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Gain, offset and correlation by orthogonal regression, outliers left out."""
    keep = np.ones(len(x), bool)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        sxx, syy = x[keep].var(), y[keep].var()
        sxy = float(np.mean((x[keep] - x[keep].mean()) * (y[keep] - y[keep].mean())))
        if abs(sxy) < 1e-15:
            return 1.0, 0.0, 0.0
        gain = (syy - sxx + np.sqrt((syy - sxx) ** 2 + 4.0 * sxy**2)) / (2.0 * sxy)
        offset = float(y[keep].mean() - gain * x[keep].mean())
        residual = np.abs(y - gain * x - offset)
        keep = residual <= 4.0 * 1.4826 * np.median(residual[keep]) + 1e-9
    return float(gain), offset, float(np.corrcoef(x[keep], y[keep])[0, 1])
