"""Pan-sharpening: the detail of a panchromatic image in a multispectral one.

Brovey: Gillespie, Kahle and Walker 1987, doi:10.1016/0034-4257(87)90088-5, with intensity weights fitted to
the panchromatic band. Gram-Schmidt: Laben and Brower 2000 (US patent 6,011,875, expired) in the adaptive
form of Aiazzi, Baronti and Selva 2007, doi:10.1109/TGRS.2007.901007.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

FEWEST_PX = 50
_SAMPLE = 500_000
_DARKEST = 1e-3
_HIGHEST_RATIO = np.float32(10.0)
_LEAST_CORRELATION = 0.5


@dataclass(frozen=True)
class Brovey:
    """sharpened = band * (pan - offset) / intensity, intensity = sum of weights * bands.

    The offset is light of the air and the like that the panchromatic image has and the bands have not: left
    in, it would flatten the detail of dark places.
    """

    weights: Vector
    offset: float
    correlation: float

    def apply(self, multispectral: FloatArray, pan: FloatArray) -> FloatArray:
        """Sharpen a strip.

        Args:
            multispectral: reflectance on the fine grid (bands, height, width), NaN without data.
            pan: panchromatic reflectance (height, width), NaN without data.

        Returns:
            Reflectance (bands, height, width); NaN in every band where a band or the panchromatic image has
            no data. Where the intensity is next to nothing, the bands stay as they are.

        Raises:
            ValueError: other bands than were fitted, or another size.

        """
        _check_strip(self.weights, multispectral, pan)
        intensity = _intensity(self.weights, 0.0, multispectral)
        ratio = (pan - np.float32(self.offset)) / np.maximum(intensity, np.float32(_DARKEST))
        ratio = np.clip(ratio, 0.0, _HIGHEST_RATIO)
        ratio[intensity <= _DARKEST] = 1.0
        ratio[np.isnan(pan)] = np.nan
        ratio[np.isnan(intensity)] = np.nan
        return np.asarray(multispectral * ratio, dtype=np.float32)

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {
            "weights": [float(value) for value in self.weights],
            "intensity_offset": self.offset,
            "correlation": self.correlation,
        }


@dataclass(frozen=True)
class GramSchmidt:
    """sharpened = band + gain * (pan - intensity), gain = covariance with the intensity over its variance."""

    weights: Vector
    offset: float
    gains: Vector
    correlation: float

    def apply(self, multispectral: FloatArray, pan: FloatArray) -> FloatArray:
        """Sharpen a strip; see ``Brovey.apply``. Here dark pixels are sharpened as all others."""
        _check_strip(self.weights, multispectral, pan)
        detail = pan - _intensity(self.weights, self.offset, multispectral)
        return np.asarray(
            multispectral + self.gains[:, None, None].astype(np.float32) * detail, dtype=np.float32
        )

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {
            "weights": [float(value) for value in self.weights],
            "intensity_offset": self.offset,
            "gains": [float(value) for value in self.gains],
            "correlation": self.correlation,
        }


def fit_brovey(multispectral: FloatArray, pan: FloatArray) -> Brovey:
    """Fit the intensity to the panchromatic image.

    Args:
        multispectral: reflectance (bands, height, width), as coarse as the multispectral image really is.
        pan: panchromatic reflectance, reduced to the same pixels (height, width).

    Raises:
        UsageError: they differ in size, share too few pixels, the panchromatic image is constant, or it does
            not follow the bands.

    """
    bands, values = _samples(multispectral, pan)
    weights, offset, correlation = _weights(bands, values)
    return Brovey(weights, offset, correlation)


def fit_gram_schmidt(multispectral: FloatArray, pan: FloatArray) -> GramSchmidt:
    """Fit intensity and gains; see ``fit_brovey``."""
    bands, values = _samples(multispectral, pan)
    weights, offset, correlation = _weights(bands, values)
    intensity = bands @ weights + offset
    centred = intensity - intensity.mean()
    gains = (bands - bands.mean(axis=0)).T @ centred / np.maximum(centred @ centred, 1e-12)
    return GramSchmidt(weights, offset, gains, correlation)


def _intensity(weights: Vector, offset: float, multispectral: FloatArray) -> FloatArray:
    return np.asarray(
        np.tensordot(weights.astype(np.float32), multispectral, axes=1) + np.float32(offset), np.float32
    )


def _check_strip(weights: Vector, multispectral: FloatArray, pan: FloatArray) -> None:
    if multispectral.ndim != 3 or len(multispectral) != len(weights):
        raise ValueError(f"sharpening of {len(weights)} bands, pixels of {multispectral.shape}")
    if multispectral.shape[1:] != pan.shape:
        raise ValueError(f"{multispectral.shape} and {pan.shape} do not lie on the same pixels")


def _samples(multispectral: FloatArray, pan: FloatArray) -> tuple[Vector, Vector]:
    if multispectral.ndim != 3 or multispectral.shape[1:] != pan.shape:
        raise UsageError(
            f"the multispectral image {multispectral.shape} and the panchromatic one {pan.shape} do not "
            "lie on "
            "the same pixels"
        )
    places = np.flatnonzero(np.isfinite(multispectral).all(axis=0) & np.isfinite(pan))
    if len(places) < FEWEST_PX:
        raise UsageError(
            f"the panchromatic and the multispectral image have {len(places)} pixels in common; at least "
            f"{FEWEST_PX} are needed to sharpen"
        )
    if len(places) > _SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, _SAMPLE, replace=False))
    bands = multispectral.reshape(len(multispectral), -1)[:, places].T.astype(np.float64)
    return bands, pan.ravel()[places].astype(np.float64)


def _weights(bands: Vector, pan: Vector) -> tuple[Vector, float, float]:
    """Weights that make the bands' sum most like the panchromatic image; none is negative."""
    if pan.std() < 1e-6:
        raise UsageError("the panchromatic image is the same everywhere: there is nothing to sharpen with")
    weights, _ = nnls(bands - bands.mean(axis=0), pan - pan.mean())
    if not weights.any():
        raise UsageError("the panchromatic image does not follow the multispectral one: is it another scene?")
    offset = float(pan.mean() - bands.mean(axis=0) @ weights)
    correlation = float(np.corrcoef(bands @ weights, pan)[0, 1])
    if correlation < _LEAST_CORRELATION:
        raise UsageError(
            f"the panchromatic image hardly follows the multispectral one (correlation {correlation:.2f}): "
            "is it another scene, or are the two not registered?"
        )
    return weights, offset, correlation
