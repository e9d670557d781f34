"""A quick correction from the scene alone, for many bands.

After the idea of QUAC (Bernstein et al. 2005, doi:10.1117/12.603359): the darkest pixels give what the air
adds, and the deviation of reflectance over the scene's distinct materials is taken to be that of any varied
set of materials, which hardly depends on the wavelength. The curve below is a round one of that kind, not the
original's library: levels may be wrong by tens of per cent where a scene's materials are few, shapes of
spectra less so. A physical model with measured aerosol is better where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]

MATERIALS = 40
FEWEST_PX = 1000
LARGEST_GAIN = 8.0
_DARKEST_SHARE = 1e-3
_SAMPLE = 200_000
# Wavelength in nm and deviation of library reflectance over distinct materials.
_LIBRARY_NM = (400.0, 500.0, 600.0, 700.0, 800.0, 1000.0, 1300.0, 1700.0, 2200.0, 2500.0)
_LIBRARY_DEVIATION = (0.070, 0.085, 0.105, 0.120, 0.135, 0.140, 0.140, 0.140, 0.125, 0.115)


@dataclass(frozen=True)
class QuickCorrection:
    """surface = gain * (value - dark), by band; bands without signal pass untouched (gain 1, dark 0)."""

    gain: npt.NDArray[np.float64]
    dark: npt.NDArray[np.float64]
    materials: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct a strip (bands, height, width); NaN stays."""
        gain, dark = (each[:, None, None].astype(np.float32) for each in (self.gain, self.dark))
        corrected: FloatArray = (strip - dark) * gain
        return corrected

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {
            "gain": [round(float(value), 6) for value in self.gain],
            "dark": [round(float(value), 6) for value in self.dark],
            "materials": self.materials,
        }


def fit_quac(image: FloatArray, center_nm: npt.NDArray[np.float64]) -> QuickCorrection:
    """Find gain and dark level of each band.

    Args:
        image: clear reflectance at the top of the atmosphere (bands, height, width), NaN without data.
        center_nm: wavelengths, nm.

    Raises:
        UsageError: too few pixels, or ground too much alike.

    """
    alive = np.array(
        [
            band
            for band, values in enumerate(image)
            if np.isfinite(center_nm[band]) and np.isfinite(values).any() and np.nanstd(values) > 1e-6
        ],
        np.intp,
    )
    flat = image[alive].reshape(len(alive), -1)
    places = np.flatnonzero(np.isfinite(flat).all(axis=0)) if len(alive) else np.zeros(0, np.intp)
    if len(places) < FEWEST_PX:
        raise UsageError(
            f"the scene has {len(places)} clear pixels with data in all bands; at least {FEWEST_PX} are "
            "needed "
            "for --atmosphere quac"
        )
    if len(places) > _SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, _SAMPLE, replace=False))
    pixels = flat[:, places].T.astype(np.float64)
    dark = np.quantile(pixels, _DARKEST_SHARE, axis=0)
    spectra = _distinct(pixels - dark)
    deviation = spectra.std(axis=0)
    if (deviation < 1e-5).any():
        raise UsageError("the ground of the scene is too much alike for --atmosphere quac; use dark-object")
    gain, level = np.ones(len(image)), np.zeros(len(image))
    library = np.interp(center_nm[alive], _LIBRARY_NM, _LIBRARY_DEVIATION)
    gain[alive] = np.clip(library / deviation, 1.0 / LARGEST_GAIN, LARGEST_GAIN)
    level[alive] = dark
    return QuickCorrection(gain, level, len(spectra))


def _distinct(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Spectra of the scene that differ most in shape: each next one is farthest in angle from all before."""
    size = np.linalg.norm(pixels, axis=1)
    bright = pixels[size > np.quantile(size, 0.05)]
    unit = bright / np.linalg.norm(bright, axis=1, keepdims=True)
    mean = unit.mean(axis=0)
    chosen = [int(np.argmin(unit @ mean))]
    nearest = unit @ unit[chosen[0]]
    while len(chosen) < min(MATERIALS, len(bright)):
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, unit @ unit[chosen[-1]])
    return np.asarray(bright[chosen])
